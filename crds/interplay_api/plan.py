"""The plan: all that a runner needs to measure one model, frozen when the ModelRun is created."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Name, Parameters, Sha256
from .constants import MAX_CELLS, MAX_DATASETS, MAX_REFERENCE_MODELS
from .library import DatasetSpec, ModelSpec, References
from .names import digest

__all__ = ["Cell", "Plan", "PlanDataset", "PlanModel", "RunSettings"]

Split = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$", max_length=16)]


class PlanModel(ApiModel):
    """The one model of a plan."""

    name: Annotated[str, StringConstraints(max_length=253)] = Field(
        description="Name of the model as the Evaluation shows it."
    )
    spec: ModelSpec = Field(description="Where the model comes from.")


class PlanDataset(ApiModel):
    """One dataset that some cell of the plan reads."""

    name: Name = Field(description="Name of the Dataset.")
    spec: DatasetSpec = Field(description="Where the data comes from.")


class Cell(ApiModel):
    """One measurement of the model on one dataset: the unit that succeeds, fails or is reused."""

    measurement: Name = Field(description="Name of the Measurement.")
    dataset: Name = Field(description="Name of the Dataset.")
    entry_point: Annotated[str, StringConstraints(max_length=63)] = Field(
        description="Registered name of the code that measures."
    )
    category: Literal["property", "benefit"] = Field(description="What the number speaks of.")
    numerics: int = Field(ge=1, le=10_000, description="Version of the numbers it gives.")
    repeatable: bool = Field(
        True, description="Whether the same input gives the same numbers; otherwise never reused."
    )
    parameters: Parameters = Field(default_factory=dict, description="Parameters of the code.")
    references: References = Field(
        default_factory=dict, description="Further datasets that it reads, by role."
    )
    reference_model: Name | None = Field(None, description="The model that it compares with.")
    key: Sha256 = Field(description="Content key: equal keys mean equal numbers.")

    @property
    def datasets(self) -> dict[str, str]:
        """Every dataset that it reads by role; its own one has the role ``."""
        return {"": self.dataset, **self.references}


class RunSettings(ApiModel):
    """How the numbers are computed."""

    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Forward precision.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute.")
    batch_size: int = Field(64, ge=8, le=4096, description="Constant batch shape, last one padded.")
    workers: int = Field(0, ge=0, le=64, description="Decode threads; 0 decodes in line.")
    threads: int = Field(1, ge=1, le=256, description="Compute threads, pinned.")
    limit: int | None = Field(None, ge=1, le=10_000_000, description="Samples per dataset.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of everything random.")


class Plan(ApiModel):
    """What the operator froze and the runner executes."""

    version: int = Field(1, ge=1, le=1, description="Version of this format.")
    model: PlanModel = Field(description="The model.")
    datasets: Annotated[list[PlanDataset], Field(max_length=MAX_DATASETS)] = Field(
        description="The datasets."
    )
    cells: Annotated[list[Cell], Field(max_length=MAX_CELLS)] = Field(
        description="What to measure, in order."
    )
    models: Annotated[list[PlanModel], Field(max_length=MAX_REFERENCE_MODELS)] = Field(
        default_factory=list, description="Other models, which some cell compares this one with."
    )
    run: RunSettings = Field(description="How to compute.")

    @property
    def splits(self) -> dict[str, str]:
        """Dataset name to its split, which is part of every key."""
        return {d.name: d.spec.split for d in self.datasets}

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of this plan; the runner refuses any other text."""
        return digest(self.wire())
