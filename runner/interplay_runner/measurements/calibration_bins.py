"""Calibration of the first choice, by bins of the highest probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from interplay_runner.intervals import Estimate, calibration_bound, wilson_simultaneous
from interplay_runner.measurement import IDENTITY, Record, RecordMeasurement, Value, View

from .values import absent, measured

__all__ = ["BINS", "EDGES", "AdaptiveEce", "Ece", "Mce", "equal_mass", "equal_width"]

Array = npt.NDArray[np.float64]
Bins = npt.NDArray[np.int64]
Hits = npt.NDArray[np.bool_]
BINS = 15
EDGES: Array = np.linspace(0, 1, BINS + 1)
NULL_DRAWS = 500


class Ece(RecordMeasurement):
    """Expected calibration error of the first choice: sum_b (n_b / n) |acc_b - conf_b|.

    `ece`: 15 bins of equal width, (lo, hi], over the highest probability p_i, float [n]; n_b
    predictions of bin b, a share acc_b right, conf_b their mean p. In [0, 1], lower is better. It
    is positive even under perfect calibration: `null` is its expectation if every prediction were
    right with the probability it states. Interval: a bound with at least 95 % coverage given the
    p_i. Source: Guo et al. 2017 (arXiv 1706.04599). Cost: F.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        return {"ece": _expected_error(records[IDENTITY], equal_width, self.seed)}


class AdaptiveEce(RecordMeasurement):
    """Expected calibration error over bins of equal mass: sum_b (n_b / n) |acc_b - conf_b|.

    `adaptive_ece`: 15 bins with as many predictions each, by the rank of the highest probability
    p_i, float [n]; a bin is (lo, hi] with ends among the p_i, so equal ones share a bin. Where most
    predictions are sure, bins of equal width put them all in the last one; these do not. It looks
    at the first choice only: the class-wise adaptive error (ACE) is another thing. In [0, 1], lower
    is better. `null` is its expectation if every prediction were right with the probability it
    states. Interval: a bound with at least 95 % coverage given the p_i. Source: Nguyen & O'Connor
    2015 (arXiv 1508.05154), Nixon et al. 2019 (arXiv 1904.01685). Cost: F.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        return {"adaptive_ece": _expected_error(records[IDENTITY], equal_mass, self.seed)}


class Mce(RecordMeasurement):
    """Maximum calibration error of the first choice: max_b |acc_b - conf_b|.

    `mce`: the bins of the ECE, 15 of equal width, (lo, hi]; those without predictions do not count.
    In [0, 1], lower is better. The maximum goes to the bins with the fewest predictions: `null`,
    its expectation if every prediction were right with the probability it states, is large, and the
    value says little where it is near. Interval: [max_b low_b, max_b high_b] of the gap's ends by
    Wilson intervals of acc_b that hold for all bins together. Source: Guo et al. 2017 (arXiv
    1706.04599). Cost: F.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        n, confidence = len(record.maxprob), record.maxprob
        if n == 0:
            return {"mce": absent(0, "no samples")}
        bins = equal_width(confidence)
        size = np.bincount(bins, minlength=BINS)
        filled = size > 0

        def largest(hits: Hits) -> float:
            gaps = np.abs(_gaps(hits, confidence, bins))[filled]
            return float((gaps * n / size[filled]).max())

        def interval() -> Estimate:
            rows = size[filled].astype(np.float64)
            right = np.bincount(bins[record.correct], minlength=BINS)[filled].astype(np.float64)
            stated = np.bincount(bins, weights=confidence, minlength=BINS)[filled] / rows
            low, high = wilson_simultaneous(right, rows)
            nearest = np.maximum(0, np.maximum(low - stated, stated - high))
            farthest = np.maximum(stated - low, high - stated)
            gap = np.abs(right / rows - stated)
            return Estimate(float(gap.max()), float(nearest.max()), float(farthest.max()))

        null = _null(confidence, largest, np.random.default_rng(self.seed))
        return {"mce": measured(n, "wilson-simultaneous", interval, null=null, bounds=(0, 1))}


def equal_width(confidence: Array) -> Bins:
    """The bin of each confidence, (lo, hi] of width 1 / 15."""
    bins = np.searchsorted(EDGES, confidence, side="left") - 1
    return np.clip(bins, 0, BINS - 1)


def equal_mass(confidence: Array) -> Bins:
    """The bin of each confidence, (lo, hi] between order statistics; at most 15, none empty."""
    n = len(confidence)
    last = np.arange(1, BINS + 1) * n // BINS - 1
    edges = np.unique(np.sort(confidence)[last[last >= 0]])
    return np.searchsorted(edges, confidence, side="left")


def _expected_error(record: Record, binning: Callable[[Array], Bins], seed: int) -> Value:
    n, confidence = len(record.maxprob), record.maxprob
    if n == 0:
        return absent(0, "no samples")
    bins, rng = binning(confidence), np.random.default_rng(seed)
    gap = _gaps(record.correct, confidence, bins)

    def interval() -> Estimate:
        low, high = calibration_bound(gap, _gap_variance(record.correct, bins), rng)
        return Estimate(float(np.abs(gap).sum()), low, high)

    def error(hits: Hits) -> float:
        return float(np.abs(_gaps(hits, confidence, bins)).sum())

    null = _null(confidence, error, rng)
    return measured(n, "calibration-bound", interval, null=null)


def _gaps(hits: Hits, confidence: Array, bins: Bins) -> Array:
    """(n_b / n) (acc_b - conf_b) of each bin, float64 [BINS]."""
    return np.bincount(bins, weights=hits - confidence, minlength=BINS) / len(hits)


def _gap_variance(hits: Hits, bins: Bins) -> Array:
    """Variance of each gap given the confidences, float64 [BINS].

    A bin's accuracy is shrunk by two hits and two misses (Agresti & Coull 1998): three hits of
    three do not show that the bin has no variance.
    """
    size = np.bincount(bins, minlength=BINS)
    rate = (np.bincount(bins, weights=hits, minlength=BINS) + 2) / (size + 4)
    variance: Array = size * rate * (1 - rate) / len(hits) ** 2
    return variance


def _null(confidence: Array, error: Callable[[Hits], float], rng: np.random.Generator) -> float:
    """The expected error of a perfectly calibrated model with these confidences."""
    n = len(confidence)
    return float(np.mean([error(rng.random(n) < confidence) for _ in range(NULL_DRAWS)]))
