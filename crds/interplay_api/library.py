"""Library kinds: Model, Dataset, Measurement, MeasurementGroup (the Mode has a file of its own)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Name, Parameters, Sha256, Text
from .rules import ExactlyOne

__all__ = [
    "Checkpoint",
    "DataConfig",
    "DatasetSpec",
    "Embedded",
    "HubModel",
    "ImageFolder",
    "MeasurementGroupSpec",
    "MeasurementSpec",
    "ModelSpec",
]

FilePath = Annotated[
    str, StringConstraints(pattern=r"^/[A-Za-z0-9._/@+=-]{1,1000}$", max_length=1001)
]


class HubModel(ApiModel):
    """A model of a hub, pinned to one commit."""

    id: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", max_length=200)
    ] = Field(description="Repository on the hub, owner/name.")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$", max_length=40)] = Field(
        description="Full commit hash; a branch can move."
    )


class Checkpoint(ApiModel):
    """Weights by digest: exactly one place, and the SHA-256 that they must have."""

    rules = (ExactlyOne("embedded", "file", "url"),)

    embedded: Annotated[str, StringConstraints(pattern=r"^[a-z0-9/-]+$", max_length=100)] | None = (
        Field(None, description="Name of weights that the runner image carries.")
    )
    file: FilePath | None = Field(None, description="Absolute path inside the runner's pod.")
    url: Annotated[str, StringConstraints(pattern=r"^https://", max_length=1000)] | None = Field(
        None, description="Address to download from, https only."
    )
    sha256: Sha256 = Field(description="SHA-256 of the file; anything else is refused.")


class DataConfig(ApiModel):
    """Overrides of the model's own evaluation preprocessing (timm's data config)."""

    input_size: (
        Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=3, max_length=3)]
        | None
    ) = Field(None, description="Channels, height, width.")
    interpolation: Literal["bilinear", "bicubic", "nearest", "lanczos"] | None = Field(
        None, description="Resize filter."
    )
    crop_pct: float | None = Field(None, gt=0, le=1, description="Share kept by the centre crop.")
    mean: Annotated[list[float], Field(min_length=1, max_length=4)] | None = Field(
        None, description="Per-channel mean in [0, 1]."
    )
    std: Annotated[list[float], Field(min_length=1, max_length=4)] | None = Field(
        None, description="Per-channel standard deviation."
    )


class ModelSpec(ApiModel):
    """Where a model comes from: an architecture by timm name, or a hub repository."""

    rules = (ExactlyOne("timm", "hub"),)

    timm: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=200)] | None = (
        Field(None, description="timm model name; without a checkpoint its pretrained weights.")
    )
    hub: HubModel | None = Field(None, description="A timm model on the hub at a fixed commit.")
    checkpoint: Checkpoint | None = Field(None, description="Weights to load, by digest.")
    args: Parameters = Field(default_factory=dict, description="Arguments of timm.create_model.")
    num_classes: int | None = Field(None, ge=1, le=100_000, description="Width of the logits.")
    data_config: DataConfig | None = Field(None, description="Overrides of the preprocessing.")
    description: Text | None = Field(None, description="For people.")


class Embedded(ApiModel):
    """A dataset that the runner can make or carries, without any download."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        description="Registered name, for example digits."
    )


class ImageFolder(ApiModel):
    """Images in one folder per class."""

    path: FilePath = Field(description="Absolute path; below /data when a claim is mounted.")
    claim_name: Name | None = Field(None, description="PersistentVolumeClaim, mounted read-only.")
    sub_path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]+$", max_length=500)] | (
        None
    ) = Field(None, description="Folder inside the claim.")


class DatasetSpec(ApiModel):
    """Where images and labels come from."""

    rules = (ExactlyOne("embedded", "image_folder"),)

    embedded: Embedded | None = Field(None, description="A dataset without any download.")
    image_folder: ImageFolder | None = Field(None, description="One folder per class.")
    split: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$", max_length=16)] = Field(
        "test", description="Which part, part of every value's key."
    )
    num_classes: int | None = Field(None, ge=1, le=100_000, description="Number of classes.")
    size: int | None = Field(None, ge=1, description="Number of samples, checked when given.")
    revision: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        None, description="What pins the content, for example a digest of the file list."
    )
    label_map: (
        Annotated[
            dict[Annotated[str, StringConstraints(max_length=253)], Annotated[int, Field(ge=0)]],
            Field(max_length=1000),
        ]
        | None
    ) = Field(None, description="Folder name to class index; without it sorted order.")
    description: Text | None = Field(None, description="For people.")


class MeasurementSpec(ApiModel):
    """What to measure, on which datasets, with which parameters."""

    category: Literal["property", "benefit"] = Field(
        description="property: of the model itself; benefit: behaviour that a user wants."
    )
    entry_point: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        description="Registered name of the code; never a dotted path."
    )
    datasets: Annotated[list[Name], Field(min_length=1, max_length=32)] = Field(
        description="Datasets it is measured on."
    )
    parameters: Parameters = Field(default_factory=dict, description="Parameters of the code.")
    numerics: int = Field(1, ge=1, le=10_000, description="Version of the numbers it gives.")
    description: Text | None = Field(None, description="For people.")


class MeasurementGroupSpec(ApiModel):
    """A named list of measurements."""

    measurements: Annotated[list[Name], Field(min_length=1, max_length=128)] = Field(
        description="Names of Measurements."
    )
    description: Text | None = Field(None, description="For people.")
