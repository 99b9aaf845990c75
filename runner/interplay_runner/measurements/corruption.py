"""Common corruptions: accuracy and corruption error, on images corrupted here or stored so.

Both classes bring their samples into cells, one per corruption and severity; the scores are pure
functions of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from interplay_api.names import metric_key
from interplay_runner.corruptions.constants import (
    ALEXNET_CLEAN,
    ALEXNET_ERROR,
    COMMON,
    EXTRA,
    SEVERITIES,
    SIZES,
    Common,
)
from interplay_runner.intervals import Estimate, mean_t, wilson
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Parameters,
    Record,
    RecordMeasurement,
    UnmeasurableError,
    Value,
    View,
)

from .values import Distinct, absent, measured, share

__all__ = [
    "CLEAN",
    "Cell",
    "Cells",
    "CorruptionColumns",
    "Corruptions",
    "against_alexnet",
    "scores",
]

T = TypeVar("T")
Weights = Mapping[tuple[str, int], float]
CLEAN = ("clean", 0)
"""The cell of the images without corruption."""


class Cell(NamedTuple):
    """The samples of one corruption at one severity.

    images: int64 [n], which image each was made of; wrong: bool [n], whether the first choice is
    not the label.
    """

    images: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.bool_]


Cells = Mapping[tuple[str, int], Cell]


def _per_image(cells: Cells, weights: Weights) -> npt.NDArray[np.float64]:
    """Float64 [images] whose mean is the weighted sum of the cells' error rates.

    The samples of one image go together, so images, not samples, are what is independent. Where
    every image is once in every cell, its entry is the weighted sum of its own errors. Otherwise it
    is the sum plus the image's linearised influence on it, the usual one for clustered samples.
    """
    missing = [key for key in weights if key not in cells or not len(cells[key].wrong)]
    if missing:
        kind, severity = missing[0]
        raise UnmeasurableError(f"no samples of {kind} at severity {severity}")
    used = [cells[key].images for key in weights]
    found = np.unique(np.concatenate(used))
    total, influence = 0.0, np.zeros(len(found))
    for key, weight in weights.items():
        images, wrong = cells[key]
        rate = float(wrong.mean())
        part = np.bincount(np.searchsorted(found, images), wrong - rate, minlength=len(found))
        total += weight * rate
        influence += weight * part / len(wrong)
    return total + len(found) * influence


def _value(
    cells: Cells, weights: Weights, bounds: tuple[float, float], *, flipped: bool = False
) -> Value:
    """The weighted sum of error rates, or one minus it, with Student's t over images."""
    try:
        sums = _per_image(cells, weights)
    except UnmeasurableError as error:
        return absent(0, str(error))
    if flipped:
        sums = 1 - sums
    return measured(len(sums), "t", lambda: mean_t(sums), bounds=bounds)


def _accuracy(cells: Cells, kinds: Sequence[str], severities: Sequence[int]) -> Value:
    """Mean accuracy over the cells; Wilson's interval where all images are right, or all wrong."""
    weight = 1 / (len(kinds) * len(severities))
    weights = {(k, s): weight for k in kinds for s in severities}
    value = _value(cells, weights, (0, 1), flipped=True)
    if value.value is None or value.low != value.high:
        return value

    def alike() -> Estimate:
        return wilson(round(value.n * (value.value or 0)), value.n)

    return measured(value.n, "wilson", alike)


def scores(
    cells: Cells,
    kinds: Sequence[str],
    severities: Sequence[int],
    *,
    extra: Sequence[str] = (),
    detail: bool = False,
) -> dict[str, Value]:
    """Accuracies per kind and over `kinds`, and the error; `extra` kinds are in no mean."""
    values: dict[str, Value] = {}
    for kind in (*kinds, *extra):
        values[f"corruption_top1_{kind}"] = _accuracy(cells, [kind], severities)
        for severity in severities if detail else ():
            name = metric_key(f"corruption_top1_{kind}", severity=severity)
            cell = cells.get((kind, severity))
            values[name] = share(~cell.wrong) if cell else absent(0, "no samples")
    values["corruption_top1"] = mean = _accuracy(cells, kinds, severities)
    values["corruption_error"] = _complement(mean)
    return values


def _complement(value: Value) -> Value:
    if value.value is None or value.low is None or value.high is None:
        return value
    return Value(1 - value.value, value.n, 1 - value.high, 1 - value.low, value.method)


def against_alexnet(
    cells: Cells, kinds: Sequence[str], severities: Sequence[int], classes: int
) -> dict[str, Value]:
    """mCE and relative mCE, or why they have no meaning here."""
    reason = None
    if classes != 1000:
        reason = f"AlexNet's errors are of ImageNet's 1000 classes, the model has {classes}"
    elif set(kinds) != set(COMMON) or set(severities) != set(SEVERITIES):
        reason = "mCE is over all 15 corruptions at all 5 severities"
    if reason:
        n = max((len(c.wrong) for c in cells.values()), default=0)
        return dict.fromkeys(("corruption_mce", "corruption_relative_mce"), absent(n, reason))
    count = len(COMMON) * len(SEVERITIES)
    plain: Weights = {(k, s): 1 / (count * ALEXNET_ERROR[k]) for k in COMMON for s in SEVERITIES}
    relative: Weights = {
        (k, s): 1 / (count * (ALEXNET_ERROR[k] - ALEXNET_CLEAN)) for k in COMMON for s in SEVERITIES
    }
    most, gain = sum(plain.values()), sum(relative.values())
    return {
        "corruption_mce": _value(cells, plain, (0, most)),
        "corruption_relative_mce": _value(cells, {**relative, CLEAN: -gain}, (-gain, gain)),
    }


def _different(items: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(items)) < len(items):
        raise ValueError("two of the values are the same")
    return items


class ScoreParams(Parameters):
    """What to average over, and what to show."""

    corruptions: Annotated[tuple[Common, ...], AfterValidator(_different)] = Field(
        COMMON, min_length=1
    )
    severities: Distinct[Annotated[int, Field(ge=1, le=5)]] = Field(SEVERITIES, min_length=1)
    extra: bool = False
    """Whether the 4 extra corruptions are measured too; no mean has them."""
    detail: bool = False
    """Whether every severity is shown by itself."""

    @property
    def extras(self) -> tuple[str, ...]:
        """The extra corruptions that were asked for."""
        return EXTRA if self.extra else ()


class CorruptionParams(ScoreParams):
    """Whose severities."""

    protocol: Literal["imagenet", "cifar"] = "imagenet"

    def view(self, kind: str, severity: int) -> View:
        """The images under one corruption."""
        return View.of(kind, severity=severity, size=SIZES[self.protocol])


class Corruptions(RecordMeasurement):
    """Accuracy under common corruptions, 15 kinds at 5 severities, made from the dataset's images.

    With E_cs the top-1 error under corruption c at severity s, K corruptions and S severities:

    - `corruption_top1_<c>`: 1 - mean_s E_cs. In [0, 1], higher is better. With `extra` also for
      speckle_noise, gaussian_blur, spatter and saturate, which are in no mean.
    - `corruption_top1_<c>_severity<s>`: 1 - E_cs, with `detail`.
    - `corruption_top1`: 1 - mean_c mean_s E_cs. In [0, 1], higher is better.
    - `corruption_error`: mean_c mean_s E_cs, the unnormalised mCE. In [0, 1], lower is better.
    - `corruption_mce`: mean_c [sum_s E_cs / sum_s A_cs], A the published errors of AlexNet. At
      least 0, 1 is AlexNet, lower is better; often printed in percent.
    - `corruption_relative_mce`: mean_c [sum_s (E_cs - E) / sum_s (A_cs - A)], E and A the errors on
      the plain images: 0 loses nothing, 1 loses what AlexNet loses. Lower is better, yet a model
      that is wrong everywhere also loses nothing.

    The last two with the protocol imagenet only, and absent for other than 1000 classes or fewer
    corruptions. The same images occur in all views, so Student's t is over images: n of them, each
    with its weighted mean over views (Wilson's interval where all images are alike, and for
    `detail`).

    protocol: the severities of ImageNet-C (`imagenet`, for 224 pixels) or of CIFAR-10-C (`cifar`,
    for 32). Corruptions are applied at the model's input size after its resize and crop, and stay
    in floating point; the published files were stored as JPEG of quality 85, which costs some
    accuracy more, and their frost is of photographs where ours is procedural. So compare models
    with these values; to compare with published ones measure `corruption-columns` on ImageNet-C.

    Cost class T: 75 transformed forwards. Source: Hendrycks & Dietterich 2019 (arXiv 1903.12261).
    """

    Params = CorruptionParams
    category = "benefit"
    cost = "T"
    params: CorruptionParams
    _classes = 0

    def need(self, model: ModelInfo) -> Need:
        self._classes = model.num_classes
        kinds = (*self.params.corruptions, *self.params.extras)
        views = [self.params.view(k, s) for k in kinds for s in self.params.severities]
        return Need(views=(IDENTITY, *views))

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        given = self.params
        images = np.arange(len(records[IDENTITY].ids))
        cells = {
            (kind, severity): Cell(images, ~records[given.view(kind, severity)].correct)
            for kind in (*given.corruptions, *given.extras)
            for severity in given.severities
        }
        values = scores(
            cells, given.corruptions, given.severities, extra=given.extras, detail=given.detail
        )
        if given.protocol == "imagenet":
            cells[CLEAN] = Cell(images, ~records[IDENTITY].correct)
            values |= against_alexnet(cells, given.corruptions, given.severities, self._classes)
        return values


class CorruptionColumns(RecordMeasurement):
    """Accuracy under common corruptions on images that are stored corrupted, such as ImageNet-C.

    The values of `corruptions`, from columns of the dataset: `corruption`, one of the 15 kinds or
    the 4 extra or `clean`; and `severity`, 1 to 5. In ImageNet-C both are names of folders. Samples
    of one image are known by a column `image`, or else by the last folder and the name of the file;
    Student's t is over images, n of them, also where some are missing at some severity.

    ImageNet-C has no plain images, so `corruption_relative_mce` is absent unless the dataset has
    rows `clean`. The images have the model's size already: a dataset with `resize: Never`, as any
    second resize changes them and the error.

    Cost class D. Source: Hendrycks & Dietterich 2019 (arXiv 1903.12261); ResNet-50 of torchvision
    has an mCE of 0.767.
    """

    Params = ScoreParams
    category = "benefit"
    cost = "D"
    params: ScoreParams
    _classes = 0

    def need(self, model: ModelInfo) -> Need:
        self._classes = model.num_classes
        return Need()

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        given, cells = self.params, _stored(records[IDENTITY])
        values = scores(
            cells, given.corruptions, given.severities, extra=given.extras, detail=given.detail
        )
        return values | against_alexnet(cells, given.corruptions, given.severities, self._classes)


def _stored(record: Record) -> dict[tuple[str, int], Cell]:
    """The cells of a dataset with the columns `corruption` and `severity`."""
    for name in ("corruption", "severity"):
        if name not in record.meta:
            raise UnmeasurableError(f"the dataset has no column {name}")
    kinds, kind = np.unique(record.meta["corruption"].astype(str), return_inverse=True)
    levels, level = np.unique(record.meta["severity"].astype(str), return_inverse=True)
    made_of = record.meta.get("image")
    if made_of is None:
        made_of = np.array(["/".join(i.split("/")[-2:]) for i in record.ids.tolist()], dtype=str)
    _, image = np.unique(made_of, return_inverse=True)
    wrong = ~record.correct
    cells = {}
    for k, name in enumerate(kinds.tolist()):
        for s, text in enumerate(levels.tolist()):
            rows = (kind == k) & (level == s)
            if name == CLEAN[0]:
                cells[CLEAN] = Cell(image[kind == k], wrong[kind == k])
            elif rows.any() and text.isdecimal():
                cells[name, int(text)] = Cell(image[rows], wrong[rows])
    return cells
