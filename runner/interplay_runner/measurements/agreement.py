"""Do two observers err on the same images: agreement beyond what their accuracies alone give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from interplay_runner.intervals import Estimate, IntervalError, Z
from interplay_runner.measurement import (
    IDENTITY,
    REFERENCE,
    ModelInfo,
    Need,
    Parameters,
    Record,
    RecordMeasurement,
    UnmeasurableError,
    Value,
    View,
)

from .groups import ColumnName, column_of
from .values import measured, share

__all__ = ["ErrorConsistency", "HumanConsistency"]

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
FIRST, SECOND = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
"""Who of the two is right in each cell of the table: both, the first, the second, none."""
ADDED = 0.5
"""Put into each of the four cells for the interval alone: rare errors leave cells empty."""


class ErrorConsistency(RecordMeasurement):
    """Do two models err on the same images: Cohen's kappa of who is right on which image.

    With a_i, b_i in {0, 1} whether the model and the cell's reference model are right on image i:

    - `observed_consistency` = mean_i [a_i = b_i], in [0, 1], Wilson's interval;
    - `expected_consistency` = mean(a) mean(b) + (1 - mean(a)) (1 - mean(b)), what independent
      errors at these accuracies give, in [0, 1];
    - `error_consistency` = (observed - expected) / (1 - expected), in [-1, 1]: 1: right and wrong
      on the same images, 0: by chance, below 0: on opposite ones. Neither good nor bad by itself;
      undefined, and absent, where both are right everywhere, or both wrong.

    Intervals of kappa and of the expected share: the delta method over the table of both right,
    one, the other, none, with half a count added to each (kappa on Fisher's scale): coverage by
    simulation .92 to 1.0 down to two errors per model, where without it .4 to .9. Source: Geirhos
    et al. 2020 (arXiv 2006.16736). Cost: F, D: a forward of the reference model.
    """

    category = "property"
    cost = "F+D"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need(views=(IDENTITY, REFERENCE))

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        own, other = records[IDENTITY], records[REFERENCE]
        if (other.rank < 0).any():
            raise UnmeasurableError("referenceModel: the labels are not classes of this model")
        return _consistency("", own.correct, other.correct)


class HumanParams(Parameters):
    """Where the dataset holds the trials of a person."""

    column: ColumnName
    holds: Literal["correct", "class"] = "correct"


class HumanConsistency(RecordMeasurement):
    """Does the model err on the images that a person errs on: Cohen's kappa of correctness.

    As error consistency, with the trials of one person in place of the reference model: the
    dataset's column `column` holds 0 and 1, wrong and right (`holds: correct`), or the class
    index that was answered (`class`), right where it is the label's.

    - `observed_consistency_<column>`, `expected_consistency_<column>`: shares in [0, 1];
    - `error_consistency_<column>`: kappa in [-1, 1], higher is more alike. Of one person; over
      several, the source takes the mean of their kappas.

    Intervals as there. Source: Geirhos et al. 2021 (arXiv 2106.07411). Cost: F.
    """

    Params = HumanParams
    category = "benefit"
    params: HumanParams

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record, name = records[IDENTITY], self.params.column
        trials = column_of(record, name)
        if trials.dtype.kind not in "if":
            raise UnmeasurableError(f"column {name} holds text, not trials")
        if self.params.holds == "class":
            return _consistency(f"_{name}", record.correct, trials == record.label)
        if not np.isin(trials, (0, 1)).all():
            raise UnmeasurableError(f"column {name} holds more than 0 and 1")
        return _consistency(f"_{name}", record.correct, trials == 1)


def _consistency(suffix: str, first: Mask, second: Mask) -> dict[str, Value]:
    n = len(first)
    counts = np.array(
        [(a & b).sum() for a in (first, ~first) for b in (second, ~second)], dtype=np.float64
    )
    method = "delta"
    return {
        f"error_consistency{suffix}": measured(n, method, lambda: _kappa(counts)),
        f"observed_consistency{suffix}": share(first == second),
        f"expected_consistency{suffix}": measured(n, method, lambda: _expected(counts)),
    }


def _moments(counts: Array) -> tuple[float, float, Array]:
    """Observed and expected agreement, and how each cell pulls at the expected one."""
    p = counts / counts.sum()
    a, b = float(p @ FIRST), float(p @ SECOND)
    pull = (FIRST - a) * (2 * b - 1) + (SECOND - b) * (2 * a - 1)
    return float(p[0] + p[3]), a * b + (1 - a) * (1 - b), pull


def _error(counts: Array, pull: Array) -> float:
    """The standard error of a statistic whose influence is `pull`, float64 [4] by cell."""
    return math.sqrt(float(counts @ pull**2)) / float(counts.sum())


def _kappa(counts: Array) -> Estimate:
    if not counts.sum():
        raise IntervalError("no samples")
    observed, expected, _ = _moments(counts)
    if expected == 1:
        both = "right" if counts[0] else "wrong"
        raise IntervalError(f"both are {both} on every image: kappa is undefined")
    kappa = (observed - expected) / (1 - expected)
    counts = counts + ADDED
    observed, expected, pull = _moments(counts)
    centre = (observed - expected) / (1 - expected)
    agree = (FIRST == SECOND).astype(np.float64)
    pull = (agree - observed - (1 - centre) * pull) / (1 - expected)
    half = Z * _error(counts, pull) / (1 - centre**2)
    low, high = (math.tanh(math.atanh(centre) + s * half) for s in (-1, 1))
    return Estimate(kappa, min(low, kappa), max(high, kappa))


def _expected(counts: Array) -> Estimate:
    if not counts.sum():
        raise IntervalError("no samples")
    _, value, _ = _moments(counts)
    counts = counts + ADDED
    _, centre, pull = _moments(counts)
    half = Z * _error(counts, pull)
    return Estimate(value, max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value)))
