"""What a measurement is: the one interface that built-in and users' own measurements implement.

A measurement says what it needs of the shared pass over the data and turns that into named values.
It never reads data or runs the shared forwards itself: any number of measurements cost one decode
per sample and one forward per view. Pick the narrowest of the five kinds:

- `RecordMeasurement`: a pure function of per-sample columns of the logits (accuracy, calibration);
- `StreamMeasurement`: sums over batches, for what needs features (moments, Gram matrices);
- `BatchMeasurement`: its own work on each decoded batch, gradients allowed (attacks);
- `TableMeasurement`: fits or compares on kept outputs, of several datasets (probes, OOD);
- `FreeMeasurement`: everything else, in one go and without resume: `measure() -> {name: number}`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from torch import Tensor

__all__ = [
    "COSTS",
    "GRADIENT",
    "IDENTITY",
    "OWN",
    "REFERENCE",
    "Batch",
    "BatchMeasurement",
    "Columns",
    "Context",
    "FreeMeasurement",
    "Head",
    "Measurement",
    "ModelInfo",
    "Need",
    "Network",
    "Output",
    "Parameters",
    "Record",
    "RecordMeasurement",
    "State",
    "StreamMeasurement",
    "Table",
    "TableMeasurement",
    "UnmeasurableError",
    "Value",
    "View",
]

State = dict[str, Tensor]
"""Named sums, float64 or int64; two states merge by addition."""
Columns = dict[str, npt.NDArray[np.generic]]
"""Named per-sample arrays, first axis the sample."""

COSTS: Mapping[str, str] = {
    "F": "falls out of the shared forward of the plain images",
    "T": "needs forwards of transformed images, shared by all that transform alike",
    "G": "runs forwards or gradients of its own on every image",
    "D": "needs a dataset or a model beside the usual one",
    "L": "fits or searches on frozen outputs, or reads the data by itself",
}
"""Cost classes, from nothing to most."""
GRADIENT = 2.5
"""What a forward with the gradient of the image costs, in forwards: no parameter asks for one.

Timed on the digits zoo: 2.0 to 2.5, by architecture.
"""


class UnmeasurableError(ValueError):
    """A number cannot be had here; the text, one line, is published as the reason."""


@dataclass(frozen=True, slots=True)
class View:
    """A change of the image: [n, C, H, W] in [0, 1] after resize and crop, before normalisation.

    `op` names a registered function (views.py), `params` its arguments in sorted order. Its
    randomness is seeded by sample id; `version` is part of what decides a number. `model` says who
    sees it: the model under measurement, or `reference`, the one that the cell compares with.
    """

    op: str
    params: tuple[tuple[str, float], ...] = ()
    version: int = 1
    model: str = ""

    @classmethod
    def of(cls, op: str, **params: float) -> View:
        """`View.of("rotate", deg=30)`."""
        return cls(op, tuple(sorted(params.items())))


IDENTITY = View("identity")
REFERENCE = View("identity", model="reference")
"""The image as the cell's reference model sees it, by that model's own preprocessing."""
OWN = ""
"""The role of the dataset that a cell is measured on, beside those of its references."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one measurement needs of the shared pass over a dataset.

    labels: whether the dataset's labels must be classes of the model. rows: of how many samples a
    table is kept, chosen by a hash of the id; None for all. blocks: in how many blocks, at most,
    the sums of a stream measurement are kept for its jackknife.
    """

    views: tuple[View, ...] = (IDENTITY,)
    outputs: frozenset[Literal["logits", "features", "layers"]] = frozenset({"logits"})
    labels: bool = True
    rows: int | None = None
    blocks: int = 20


@dataclass(frozen=True, slots=True)
class Head:
    """The linear classifier: logits = features W' + b.

    weight: float32 [classes, d]; bias: float32 [classes].
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before it runs.

    layers: width of each stage whose pooled output `Output.layers` holds, in order. head: None
    where the logits are not a linear map of the features. reference: the cell's reference model.
    macs: multiply-adds of a forward of one image, in matrix products and convolutions; None where
    they cannot be counted.
    """

    name: str
    num_classes: int
    feature_dim: int
    input_size: tuple[int, int, int]
    parameters: int
    layers: Mapping[str, int] = field(default_factory=dict)
    head: Head | None = field(default=None, compare=False)
    reference: ModelInfo | None = None
    macs: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Output:
    """What one forward gives: logits float32 [n, classes]; pooled features float32 [n, d].

    layers: pooled outputs of the model's stages, float32 [n, width] each, where they were asked
    for.
    """

    logits: Tensor
    features: Tensor
    layers: Mapping[str, Tensor] = field(default_factory=dict)


class Network(Protocol):
    """The model under measurement, in evaluation mode, on its device."""

    info: ModelInfo

    def forward(self, images: Tensor) -> Output:
        """images: float32 [n, C, H, W] in [0, 1]; normalised inside, so gradients are of pixels."""
        ...

    def forward_layers(self, images: Tensor) -> Output:
        """The same forward, with the outputs of the stages."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded samples in the constant batch shape; rows from `valid` on are padding.

    others: the same samples as each reference model sees them.
    """

    ids: Sequence[str]
    images: Tensor
    labels: Tensor
    valid: int
    others: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """Per-sample columns of one view, sorted by id, n rows each.

    ids: str [n]. label, pred: int64. rank: int64, how many classes stand before the label (0 is
    top-1; ties go to the lower class index, as argmax does). logp_label: float64, log softmax at
    the label. maxprob: float64 in (0, 1]. brier: float64 in [0, 2], sum over classes of
    (p - onehot)^2. energy: float64, -logsumexp(logits). maxlogit: float64. any_rank: int64, the
    lowest rank among all labels that are right for the sample, -1 where there is none; rank where
    the dataset has one label each. Where the labels are not classes of the model, rank and any_rank
    are -1 and logp_label and brier are NaN. meta: further columns of the dataset, str, int64 or
    float64.
    """

    ids: npt.NDArray[np.str_]
    label: npt.NDArray[np.int64]
    pred: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int64]
    logp_label: npt.NDArray[np.float64]
    maxprob: npt.NDArray[np.float64]
    brier: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    maxlogit: npt.NDArray[np.float64]
    any_rank: npt.NDArray[np.int64]
    meta: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the first choice is the label."""
        correct: npt.NDArray[np.bool_] = self.rank == 0
        return correct


@dataclass(frozen=True, slots=True)
class Value:
    """A number with n, its 95 % interval and the method's name; or None with a reason.

    `null` is what a model without the effect would show, where that is not zero.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    method: str = "none"
    null: float | None = None
    reason: str | None = None


class Context(Protocol):
    """What a FreeMeasurement is given: the model, and its dataset batch by batch."""

    network: Network
    seed: int

    def batches(self) -> Iterable[Batch]:
        """The samples of the dataset in the pass's order; decoded anew for each call."""
        ...


class Parameters(BaseModel):
    """Base of a measurement's parameters: unknown names and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measurement(ABC):
    """Base of the five kinds; subclass one of those.

    Registered by an entry point of the group `interplay.measurements`, whose name is the
    `entryPoint` of a Measurement resource. Values are returned under `<metric>[_<param>]`, lower
    case, see `interplay_api.names.metric_key`; dataset and split are put in front.
    """

    Params: ClassVar[type[Parameters]] = Parameters
    category: ClassVar[Literal["property", "benefit"]]
    numerics: ClassVar[int] = 1
    """Raised by hand whenever the same input gives other numbers."""
    cost: ClassVar[str]
    """Its cost class, a key of COSTS, or two such as `D+L`."""
    repeatable: ClassVar[bool] = True
    """Whether the same run gives the same numbers again; timings do not."""

    def __init__(self, params: Parameters, seed: int = 0) -> None:
        self.params = params
        self.seed = seed

    def need(self, model: ModelInfo) -> Need:
        """What it needs; raises UnmeasurableError where this model cannot be measured so."""
        del model
        return Need()

    def forwards(self, model: ModelInfo) -> float | None:
        """Its own work beside the shared pass, in forwards per image; None where nobody knows.

        A forward with a gradient counts as GRADIENT. `interplay plan` adds it up.
        """
        del model
        return 0.0


class RecordMeasurement(Measurement):
    """A pure function of per-sample columns."""

    cost = "F"

    @abstractmethod
    def compute(self, records: Mapping[View, Record]) -> Mapping[str, Value | float]:
        """Values from the records of its views; rows of all views are the same samples."""


class StreamMeasurement(Measurement):
    """Sums over the samples, kept per block; blocks feed the jackknife."""

    cost = "F"

    @abstractmethod
    def init(self, model: ModelInfo) -> State:
        """Zeros."""

    @abstractmethod
    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        """Add rows to the sums in place; all tensors lie on the CPU and hold valid rows only."""

    def samples(
        self, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> Columns:
        """One number per row, kept in the record file for paired comparisons; none by default."""
        del ids, labels, outputs
        return {}

    @abstractmethod
    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> Mapping[str, Value | float]:
        """Values from all sums and from those of each block; `state` is the sum of `blocks`."""


class BatchMeasurement(Measurement):
    """Own work on every decoded batch of the shared pass; gradients allowed."""

    cost = "G"

    def forwards(self, model: ModelInfo) -> float | None:
        """Not known unless a subclass says so."""
        del model
        return None

    @abstractmethod
    def run_batch(self, network: Network, batch: Batch) -> Columns:
        """Columns for all rows of the batch, padding included (it is cut off afterwards)."""

    @abstractmethod
    def compute(self, columns: Columns) -> Mapping[str, Value | float]:
        """Values from the columns of all samples, sorted by id (column `id`)."""


@dataclass(frozen=True, slots=True)
class Table:
    """Kept outputs of one dataset, n rows each, sorted by id.

    records: by view, always. logits: float32 [n, classes]; features: float32 [n, d]; both by view,
    where the need names them.
    """

    records: Mapping[View, Record]
    logits: Mapping[View, Tensor]
    features: Mapping[View, Tensor]


class TableMeasurement(Measurement):
    """Fits something on kept outputs, or compares datasets.

    The cell's `references` name a dataset for each further role; all are read once, in the shared
    passes of this model.
    """

    cost = "L"
    roles: ClassVar[Mapping[str, str]] = {}
    """Role to what the dataset in it is for; a cell must name a dataset for each."""

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        """What it needs of each dataset by role, `OWN` included."""
        return dict.fromkeys([OWN, *self.roles], self.need(model))

    @abstractmethod
    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> Mapping[str, Value | float]:
        """Values from the tables by role."""


class FreeMeasurement(Measurement):
    """The simple class for users: does what it likes, in one unit."""

    cost = "L"

    def forwards(self, model: ModelInfo) -> float | None:
        """Not known unless a subclass says so."""
        del model
        return None

    @abstractmethod
    def measure(self, context: Context) -> Mapping[str, Value | float]:
        """Values by name; a bare float is published without an interval (method `none`)."""
