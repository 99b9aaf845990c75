"""Calibration: how far predicted probabilities are from what happens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from interplay_runner.intervals import Estimate, IntervalError, auroc, calibration_bound, mean_t
from interplay_runner.measurement import IDENTITY, Record, RecordMeasurement, Value, View

from .values import absent, measured

__all__ = ["Brier", "Ece", "Nll", "Selective"]

Array = npt.NDArray[np.float64]
BINS = 15
NULL_DRAWS = 500


class Nll(RecordMeasurement):
    """Negative log-likelihood of the label: mean_i -ln p_i(y_i), in nats.

    In [0, inf), lower is better; ln(classes) for a uniform guess. Student's t interval.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        loss = -records[IDENTITY].logp_label
        return {"nll": measured(len(loss), "t", lambda: mean_t(loss), bounds=(0, np.inf))}


class Brier(RecordMeasurement):
    """Brier score: mean_i sum_c (p_i(c) - [c = y_i])^2, summed over classes.

    In [0, 2], lower is better. Student's t interval. Source: Brier 1950; for two classes it is
    twice what some libraries report.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        score = records[IDENTITY].brier
        return {"brier": measured(len(score), "t", lambda: mean_t(score), bounds=(0, 2))}


class Ece(RecordMeasurement):
    """Expected calibration error of the first choice: sum_b (n_b / n) |acc_b - conf_b|.

    15 bins of equal width, (lo, hi], over the highest probability. In [0, 1], lower is better.
    It is positive even under perfect calibration: `null` is its expectation if every prediction
    were right with the probability it states. Source: Guo et al. 2017.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        n, confidence = len(record.maxprob), record.maxprob
        if n == 0:
            return {"ece": absent(0, "no samples")}
        bins = np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="left") - 1
        bins = np.clip(bins, 0, BINS - 1)
        rng = np.random.default_rng(self.seed)
        gap = _gaps(record.correct, confidence, bins)

        def interval() -> Estimate:
            low, high = calibration_bound(gap, _gap_variance(record.correct, bins), rng)
            return Estimate(float(np.abs(gap).sum()), low, high)

        null = _null(confidence, bins, rng)
        return {"ece": measured(n, "calibration-bound", interval, null=null)}


def _gaps(hits: npt.NDArray[np.bool_], confidence: Array, bins: npt.NDArray[np.int64]) -> Array:
    """(n_b / n) (acc_b - conf_b) of each bin, float64 [BINS]."""
    return np.bincount(bins, weights=hits - confidence, minlength=BINS) / len(hits)


def _gap_variance(hits: npt.NDArray[np.bool_], bins: npt.NDArray[np.int64]) -> Array:
    """Variance of each gap given the confidences, float64 [BINS].

    A bin's accuracy is shrunk by two hits and two misses (Agresti & Coull 1998): three hits of
    three do not show that the bin has no variance.
    """
    size = np.bincount(bins, minlength=BINS)
    rate = (np.bincount(bins, weights=hits, minlength=BINS) + 2) / (size + 4)
    variance: Array = size * rate * (1 - rate) / len(hits) ** 2
    return variance


def _null(confidence: Array, bins: npt.NDArray[np.int64], rng: np.random.Generator) -> float:
    """The expected ECE of a perfectly calibrated model with these confidences."""
    n = len(confidence)
    draws = [
        np.abs(_gaps(rng.random(n) < confidence, confidence, bins)).sum() for _ in range(NULL_DRAWS)
    ]
    return float(np.mean(draws))


class Selective(RecordMeasurement):
    """Does confidence tell right from wrong: AUROC of the highest probability.

    P(maxprob of a right prediction > maxprob of a wrong one), ties one half. In [0, 1], higher is
    better, .5 without any relation; DeLong's interval, Newcombe's where all right ones stand
    above all wrong ones. Absent with fewer than 2 right or 2 wrong predictions. Source:
    Hendrycks & Gimpel 2017.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        right, wrong = record.maxprob[record.correct], record.maxprob[~record.correct]
        try:
            value, low, high, method = auroc(right, wrong)
        except IntervalError as error:
            return {"selective_auroc": absent(len(record.maxprob), _in_words(error, right, wrong))}
        return {"selective_auroc": Value(value, len(record.maxprob), low, high, method, 0.5)}


def _in_words(error: IntervalError, right: Array, wrong: Array) -> str:
    return f"{len(right)} right and {len(wrong)} wrong predictions: {error}"
