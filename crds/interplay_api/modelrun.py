"""ModelRun: one model of one Evaluation, its frozen plan, its results. The operator's to write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Count, Name, Sha256
from .evaluation import Conditions, Timestamp
from .mode import PodShape
from .plan import Plan
from .report import Provenance, Value

__all__ = ["CellStatus", "ModelRunSpec", "ModelRunStatus", "StatusValue"]

Uid = Annotated[str, StringConstraints(max_length=64)]


class ModelRunSpec(ApiModel):
    """Frozen when it is created; a changed plan or pod makes another ModelRun.

    Policies (retries, deadlines, reuse, keepPods) are not here: they are read from the Evaluation,
    so that changing one of them runs nothing again.
    """

    evaluation: Name = Field(description="Name of the Evaluation.")
    model: Annotated[str, StringConstraints(max_length=253)] = Field(description="The model.")
    plan: Plan = Field(description="What the runner is told.")
    plan_digest: Sha256 = Field(description="SHA-256 of the plan's canonical JSON.")
    pod: PodShape = Field(description="How the pod looks.")
    outputs_claim: Name | None = Field(None, description="Claim for full reports.")


class StatusValue(Value):
    """A value under its own key."""

    key: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,200}$", max_length=200)] = Field(
        description="<dataset>_<split>_<metric>[_<param>]."
    )


class CellStatus(ApiModel):
    """What became of one cell."""

    measurement: Name = Field(description="Name of the Measurement.")
    dataset: Name = Field(description="Name of the Dataset.")
    key: Sha256 = Field(description="Content key: equal keys mean equal numbers.")
    state: Literal["Succeeded", "Failed"] = Field(description="A failed cell fails alone.")
    reason: Annotated[str, StringConstraints(max_length=300)] | None = Field(
        None, description="Why it failed."
    )
    values: Annotated[
        list[StatusValue],
        Field(max_length=512, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default_factory=list, description="Its numbers.")
    reused_from: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        None, description="ModelRun that it was copied from."
    )


class ModelRunStatus(ApiModel):
    """What came of a ModelRun."""

    observed_generation: Count | None = Field(None, description="Generation it speaks of.")
    conditions: Conditions = Field(
        default_factory=list, description="Complete, Failed, Running, Waiting."
    )
    attempt: int = Field(0, ge=0, le=99, description="The Job that counts; 0 before the first.")
    reruns: int = Field(0, ge=0, le=99, description="Attempts after lost or refused results.")
    job_name: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        None, description="Name of that Job."
    )
    job_uid: Uid | None = Field(None, description="Uid of that Job, once it was seen.")
    disruptions: Annotated[
        list[Uid], Field(max_length=101, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list, description="Pods that were evicted or preempted.")
    start_time: Timestamp | None = Field(None, description="When the first Job was started.")
    stuck_since: Timestamp | None = Field(
        None, description="First sight of the error that the start deadline counts."
    )
    completion_time: Timestamp | None = Field(None, description="When it ended.")
    report_sha256: Sha256 | None = Field(None, description="Digest of the report.")
    cells: Annotated[
        list[CellStatus],
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default_factory=list, description="What became of each cell.")
    provenance: Provenance | None = Field(None, description="Where the numbers came from.")
