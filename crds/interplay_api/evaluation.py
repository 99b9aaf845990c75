"""Evaluation: which models, which measurements, in which mode; and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from .base import ApiModel, Labels, Name
from .library import ModelSpec, exactly_one
from .report import Number

__all__ = [
    "Condition",
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


class ModelSelector(ApiModel):
    """A sweep by label over the Models of the library."""

    match_labels: Annotated[Labels, Field(min_length=1)] = Field(
        description="Labels that a Model must carry, all of them."
    )


class ModelChoice(ApiModel):
    """One model by name, many by label, or one described in place."""

    name: Name | None = Field(None, description="A Model of the library.")
    selector: ModelSelector | None = Field(None, description="All Models with these labels.")
    inline: ModelSpec | None = Field(None, description="A model without a library entry.")
    alias: Name | None = Field(None, description="Name of an inline model in the results.")

    @model_validator(mode="after")
    def _one(self) -> ModelChoice:
        exactly_one(self, ("name", "selector", "inline"))
        if self.alias is not None and self.inline is None:
            raise ValueError("alias is only for inline models")
        return self


class MeasurementChoice(ApiModel):
    """Measurements by group and by name; both may be given."""

    groups: Annotated[list[Name], Field(max_length=32)] = Field(
        default_factory=list, description="MeasurementGroups."
    )
    names: Annotated[list[Name], Field(max_length=128)] = Field(
        default_factory=list, description="Measurements."
    )

    @model_validator(mode="after")
    def _some(self) -> MeasurementChoice:
        if not self.groups and not self.names:
            raise ValueError("name at least one group or measurement")
        return self


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

    models: Annotated[list[ModelChoice], Field(min_length=1, max_length=1000)] = Field(
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
    observed_generation: int | None = Field(None, ge=0, description="Generation it speaks of.")
    last_transition_time: Timestamp = Field(description="When status last changed.")


class ModelCounts(ApiModel):
    """How many models are in which state; they add up to total."""

    total: int = Field(0, ge=0, description="All models.")
    pending: int = Field(0, ge=0, description="Not started.")
    running: int = Field(0, ge=0, description="With a live Job.")
    succeeded: int = Field(0, ge=0, description="With results.")
    failed: int = Field(0, ge=0, description="Without.")
    reused: int = Field(0, ge=0, description="Of the succeeded, copied without a Job.")


class ResultValue(ApiModel):
    """One number of the table."""

    value: Number = Field(description="The number.")
    low: Number | None = Field(None, description="Lower end of the 95 % interval.")
    high: Number | None = Field(None, description="Upper end of the 95 % interval.")
    n: int | None = Field(None, ge=0, description="Samples behind it.")


class ModelResult(ApiModel):
    """The numbers of one model."""

    model: Annotated[str, StringConstraints(max_length=253)] = Field(description="Model.")
    values: Annotated[
        dict[Annotated[str, StringConstraints(max_length=200)], ResultValue], Field(max_length=1024)
    ] = Field(default_factory=dict, description="By key <dataset>_<split>_<metric>[_<param>].")


class EvaluationStatus(ApiModel):
    """What came of an Evaluation."""

    observed_generation: int | None = Field(None, ge=0, description="Generation it speaks of.")
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = Field(default_factory=list, description="Complete, Failed, Suspended, Progressing.")
    models: ModelCounts | None = Field(None, description="Counts of models.")
    progress_percent: int | None = Field(None, ge=0, le=100, description="Finished models.")
    summary: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="done/total, for the printer column."
    )
    start_time: Timestamp | None = Field(None, description="When the first Job was started.")
    completion_time: Timestamp | None = Field(None, description="When the last model ended.")
    results: Annotated[
        list[ModelResult],
        Field(
            max_length=1000,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = Field(default_factory=list, description="The numbers, while they fit.")
