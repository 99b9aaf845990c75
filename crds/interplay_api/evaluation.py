"""Evaluation: which models, which measurements, in which mode; and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Count, Labels, Name, Sha256
from .constants import MAX_EVALUATION_NAME, MAX_MODELS
from .library import ModelSpec
from .report import Number
from .rules import ExactlyOne, Keyed, NameRule, Needs, NotAllEmpty

__all__ = [
    "EVALUATION_NAME",
    "Condition",
    "Conditions",
    "EvaluationSpec",
    "EvaluationStatus",
    "MeasurementChoice",
    "ModelChoice",
    "ModelCounts",
    "ModelResult",
    "ModelSelector",
    "Outputs",
    "Overrides",
    "ResultValue",
]

Timestamp = Annotated[str, StringConstraints(max_length=40)]

EVALUATION_NAME = NameRule(MAX_EVALUATION_NAME)
"""ModelRuns, Jobs and Services are called after it."""


class ModelSelector(ApiModel):
    """A sweep by label over the Models of the library."""

    match_labels: Annotated[Labels, Field(min_length=1)] = Field(
        description="Labels that a Model must carry, all of them."
    )


class ModelChoice(ApiModel):
    """One model by name, many by label, or one described in place."""

    rules = (ExactlyOne("name", "selector", "inline"), Needs("alias", "inline"))

    name: Name | None = Field(None, description="A Model of the library.")
    selector: ModelSelector | None = Field(None, description="All Models with these labels.")
    inline: ModelSpec | None = Field(None, description="A model without a library entry.")
    alias: Name | None = Field(None, description="Name of an inline model in the results.")


class MeasurementChoice(ApiModel):
    """Measurements by group and by name; both may be given."""

    rules = (NotAllEmpty("groups", "names"),)

    groups: Annotated[list[Name], Field(max_length=32)] = Field(
        default_factory=list, description="MeasurementGroups."
    )
    names: Annotated[list[Name], Field(max_length=128)] = Field(
        default_factory=list, description="Measurements."
    )


class Overrides(ApiModel):
    """The only fields of a Mode that a user may override."""

    limit: int | None = Field(None, ge=1, le=10_000_000, description="Samples per dataset.")
    batch_size: int | None = Field(None, ge=8, le=4096, description="Constant batch shape.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Seed of everything random.")


class Outputs(ApiModel):
    """Where full reports and per-sample records go."""

    claim_name: Name = Field(description="PersistentVolumeClaim, labelled for Evaluations.")


class EvaluationSpec(ApiModel):
    """What to measure."""

    models: Annotated[list[ModelChoice], Field(min_length=1, max_length=MAX_MODELS)] = Field(
        description="Which models."
    )
    measurements: MeasurementChoice = Field(description="Which measurements.")
    mode: Name = Field("default", description="How to run: a Mode.")
    overrides: Overrides | None = Field(None, description="Overrides of the Mode.")
    parallelism: int = Field(4, ge=1, le=1000, description="Jobs at the same time.")
    suspend: bool = Field(False, description="True stops running Jobs and starts none.")
    backoff_limit: int = Field(3, ge=0, le=20, description="Retries of a failing pod.")
    start_deadline_seconds: int = Field(
        600,
        ge=1,
        le=604_800,
        description="How long errors of image, configuration or mounts may last.",
    )
    scheduling_deadline_seconds: int | None = Field(
        None, ge=1, le=31_536_000, description="How long a pod may wait for a node; no limit."
    )
    active_deadline_seconds: int | None = Field(
        None, ge=1, le=31_536_000, description="How long the Evaluation may run after its start."
    )
    ttl_seconds_after_finished: int | None = Field(
        None, ge=0, le=315_360_000, description="When a finished Evaluation is deleted; never."
    )
    reuse: Literal["IfUnchanged", "Never"] = Field(
        "IfUnchanged", description="Whether results with the same content key are copied."
    )
    keep_pods: Literal["none", "failed", "all"] = Field(
        "failed", description="Which finished Jobs stay after their result is stored."
    )
    outputs: Outputs | None = Field(None, description="Where full reports go.")


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=64)] = Field(description="Type.")
    status: Literal["True", "False", "Unknown"] = Field(description="Status.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Reason, one word."
    )
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        "", description="For people."
    )
    observed_generation: Count | None = Field(None, description="Generation it speaks of.")
    last_transition_time: Timestamp = Field(description="When status last changed.")


Conditions = Annotated[list[Condition], Field(max_length=16), Keyed("type")]


class ModelCounts(ApiModel):
    """How many models are in which state; they add up to total."""

    total: Count = Field(0, description="All models.")
    pending: Count = Field(0, description="Not started.")
    running: Count = Field(0, description="With a live Job.")
    succeeded: Count = Field(0, description="With results.")
    failed: Count = Field(0, description="Without.")
    reused: Count = Field(0, description="Of the succeeded, copied without a Job.")


class ResultValue(ApiModel):
    """One number of the table."""

    value: Number = Field(description="The number.")
    low: Number | None = Field(None, description="Lower end of the 95 % interval.")
    high: Number | None = Field(None, description="Upper end of the 95 % interval.")
    n: Count | None = Field(None, description="Samples behind it.")


class ModelResult(ApiModel):
    """The numbers of one model."""

    model: Annotated[str, StringConstraints(max_length=253)] = Field(description="Model.")
    values: Annotated[
        dict[Annotated[str, StringConstraints(max_length=200)], ResultValue], Field(max_length=1024)
    ] = Field(default_factory=dict, description="By key <dataset>_<split>_<metric>[_<param>].")


class EvaluationStatus(ApiModel):
    """What came of an Evaluation."""

    observed_generation: Count | None = Field(None, description="Generation it speaks of.")
    conditions: Conditions = Field(
        default_factory=list, description="Complete, Failed, Suspended, Progressing."
    )
    models: ModelCounts | None = Field(None, description="Counts of models.")
    progress_percent: int | None = Field(None, ge=0, le=100, description="Finished models.")
    summary: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="done/total, for the printer column."
    )
    start_time: Timestamp | None = Field(None, description="When the first Job was started.")
    completion_time: Timestamp | None = Field(None, description="When the last model ended.")
    unresolved_since: Timestamp | None = Field(
        None, description="Since when the spec names what is not there."
    )
    plan: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$", max_length=8)]],
        Field(max_length=1000, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default_factory=list, description="The frozen ModelRuns: how their names end.")
    spec_digest: Sha256 | None = Field(
        None, description="Digest of what the plan follows from; policies are not part of it."
    )
    library_digest: Sha256 | None = Field(
        None, description="Digest of the library that the plan was made with."
    )
    results: Annotated[
        list[ModelResult],
        Field(
            max_length=MAX_MODELS,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = Field(default_factory=list, description="The numbers, while they fit.")
