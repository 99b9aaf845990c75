"""Library kinds: Model, Dataset, Measurement, MeasurementGroup (the Mode has a file of its own)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Name, Parameters, Sha256, Text
from .rules import AtMostOne, ExactlyOne

__all__ = [
    "Checkpoint",
    "DataConfig",
    "DatasetSpec",
    "Embedded",
    "FactorFile",
    "HubModel",
    "ImageFolder",
    "MeasurementGroupSpec",
    "MeasurementSpec",
    "ModelSpec",
    "Mounted",
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


Folder = Annotated[str, StringConstraints(max_length=253)]
ClassIndex = Annotated[int, Field(ge=0, le=99_999)]


class Embedded(ApiModel):
    """A dataset that the runner can make or carries, without any download."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        description="Registered name, for example digits."
    )


class Mounted(ApiModel):
    """A folder in the runner's pod, from a claim where one is named."""

    path: FilePath = Field(description="Absolute path; below /data when a claim is mounted.")
    claim_name: Name | None = Field(None, description="PersistentVolumeClaim, mounted read-only.")
    sub_path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]+$", max_length=500)] | (
        None
    ) = Field(None, description="Folder inside the claim.")


FileName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_@+=-][A-Za-z0-9._@+=-]*$", max_length=253)
]
Column = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


class ImageFolder(Mounted):
    """Images in one folder per class."""

    levels: Annotated[list[Column], Field(max_length=4)] | None = Field(
        None,
        description="Columns that the folders above the class folders give, for example "
        "corruption and severity.",
    )
    metadata: FileName | None = Field(
        None,
        description="CSV file in the folder: column id is the path of an image, the others tell "
        "more of it; class indices in a column labels, space-separated, are all that are right, "
        "and its folder stays the label.",
    )


class FactorFile(Mounted):
    """A published file of images whose generating factors are known."""

    file: FileName = Field(description="Name of the file in the folder.")
    format: Literal["dsprites", "shapes3d", "mpi3d"] = Field(description="Which one it is.")


class DatasetSpec(ApiModel):
    """Where images and labels come from."""

    rules = (
        ExactlyOne("embedded", "image_folder", "factor_file"),
        AtMostOne("label_map", "label_sets"),
    )

    embedded: Embedded | None = Field(None, description="A dataset without any download.")
    image_folder: ImageFolder | None = Field(None, description="One folder per class.")
    factor_file: FactorFile | None = Field(
        None, description="A file of images with known factors of variation."
    )
    split: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$", max_length=16)] = Field(
        "test", description="Which part, part of every value's key."
    )
    num_classes: int | None = Field(None, ge=1, le=100_000, description="Number of classes.")
    size: int | None = Field(
        None, ge=1, le=10**12, description="Number of samples, checked when given."
    )
    revision: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        None, description="What pins the content, for example a digest of the file list."
    )
    label_map: Annotated[dict[Folder, ClassIndex], Field(max_length=1000)] | None = Field(
        None, description="Folder name to class index; without it sorted order."
    )
    label_sets: (
        Annotated[
            dict[Folder, Annotated[list[ClassIndex], Field(min_length=1, max_length=64)]],
            Field(max_length=1000),
        ]
        | None
    ) = Field(
        None,
        description="Folder name to all class indices that are right for it; the first is the "
        "label, the others count where a measurement takes any label. Folders that it does not "
        "name are passed over.",
    )
    logits: Literal["All", "Mapped"] | None = Field(
        None,
        description="Which classes compete: All (default), or only those that labelMap or "
        "labelSets name, as is usual for ImageNet-A and -R.",
    )
    resize: Literal["Model", "Never"] | None = Field(
        None,
        description="Model (default): the model's own resize and crop. Never: the images are of "
        "the model's size already, as in ImageNet-C; any other size is an error.",
    )
    description: Text | None = Field(None, description="For people.")

    @property
    def mounted(self) -> Mounted | None:
        """The folder that the pod must see."""
        return self.image_folder or self.factor_file

    @property
    def competing(self) -> list[int] | None:
        """The classes whose logits count, sorted; None for all of them."""
        if self.logits != "Mapped":
            return None
        single = set((self.label_map or {}).values())
        return sorted(single.union(*(self.label_sets or {}).values()))


Role = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,15}$", max_length=16)]
References = Annotated[dict[Role, Name], Field(max_length=4)]
"""Role to Dataset: what a measurement reads beside the dataset that it is measured on."""


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
    references: References = Field(
        default_factory=dict,
        description="Further Datasets that it reads, by role, for example train or ood.",
    )
    reference_model: Name | None = Field(
        None, description="Model that it compares with, where it compares models."
    )
    parameters: Parameters = Field(default_factory=dict, description="Parameters of the code.")
    numerics: int = Field(1, ge=1, le=10_000, description="Version of the numbers it gives.")
    repeatable: bool = Field(
        True, description="Whether the same input gives the same numbers; timings do not."
    )
    description: Text | None = Field(None, description="For people.")


class MeasurementGroupSpec(ApiModel):
    """A named list of measurements."""

    measurements: Annotated[list[Name], Field(min_length=1, max_length=128)] = Field(
        description="Names of Measurements."
    )
    description: Text | None = Field(None, description="For people.")
