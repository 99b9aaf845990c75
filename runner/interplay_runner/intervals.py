"""95 % intervals: the named methods behind every value, pure functions of arrays.

Each returns ends that may be wide but are never made up: where a method cannot speak (one sample,
tied scores) it raises IntervalError with the reason, and the value is absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes seconds to import

from .measurement import UnmeasurableError

__all__ = [
    "Auroc",
    "Estimate",
    "IntervalError",
    "auroc",
    "block_jackknife",
    "calibration_bound",
    "classwise_bound",
    "mean_t",
    "mean_t_sums",
    "median_order",
    "null_minimum",
    "transformed_t",
    "wilson",
    "wilson_simultaneous",
]

Array = npt.NDArray[np.float64]
LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))


class IntervalError(UnmeasurableError):
    """No interval can be given; the text is the reason that a value is absent."""


class Estimate(NamedTuple):
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Auroc(NamedTuple):
    """An area under the ROC curve; the method depends on whether the classes overlap."""

    value: float
    low: float
    high: float
    method: str


def _wilson_ends(k: Array, n: Array, z: float) -> tuple[Array, Array]:
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At k = 0 and k = n the ends are exactly 0 and 1; rounding must not say otherwise.
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def wilson(k: int, n: int) -> Estimate:
    """Wilson's score interval of a proportion k / n (Wilson 1927, JASA 22:209)."""
    if n < 1:
        raise IntervalError("no samples")
    low, high = _wilson_ends(np.array(float(k)), np.array(float(n)), Z)
    return Estimate(k / n, float(low), float(high))


def wilson_simultaneous(k: Array, n: Array) -> tuple[Array, Array]:
    """Wilson intervals of K proportions that all hold together with 95 % (Sidak).

    k, n: float64 [K], n >= 1. Returns (low, high), each [K]. If all K hold, then
    min(low) <= min(p) <= min(high), which is how they serve the worst class.
    """
    alpha = 1 - LEVEL ** (1 / len(k))
    return _wilson_ends(k, n, float(special.ndtri(1 - alpha / 2)))


def _t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))


def mean_t(values: npt.ArrayLike) -> Estimate:
    """Mean of float [n] with Student's t interval; needs 2 values."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean()) if len(x) else 0.0
    return _mean_t(mean, float(((x - mean) ** 2).sum()), len(x))


def mean_t_sums(total: float, squares: float, n: int) -> Estimate:
    """The same from sum(x) and sum(x^2), for what is streamed; of x near 1, good to 1e-8."""
    mean = total / n if n else 0.0
    return _mean_t(mean, max(squares - total * mean, 0.0), n)


def _mean_t(mean: float, deviation: float, n: int) -> Estimate:
    if n == 0:
        raise IntervalError("no samples")
    if n == 1:
        raise IntervalError("one sample has no interval")
    half = _t(n - 1) * math.sqrt(deviation / (n - 1) / n)
    return Estimate(mean, mean - half, mean + half)


def transformed_t(value: float, error: float, freedom: int, *, scale: str) -> Estimate:
    """value +- t standard errors, made on the scale of the `log` or the `logit` and taken back.

    For what cannot pass 0 (and 1) and is skewed near it; value must lie strictly inside.
    """
    slope = 1 / value if scale == "log" else 1 / (value * (1 - value))
    half = min(_t(freedom) * error * slope, 700.0)
    odds = value if scale == "log" else value / (1 - value)
    low, high = odds * math.exp(-half), odds * math.exp(half)
    if scale == "log":
        return Estimate(value, low, high)
    return Estimate(value, low / (1 + low), high / (1 + high))


def median_order(values: Sequence[float]) -> Estimate:
    """The median of n numbers and the order statistics that hold it with at least 95 %.

    The k-th smallest and largest: the truth is beyond with 2 P(Bin(n, 1/2) < k). Needs 6 numbers.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    n, k = len(x), 0
    while 2 * special.bdtr(k, n, 0.5) <= 1 - LEVEL:
        k += 1
    if k == 0:
        raise IntervalError(f"{n} repeats are too few for the interval of a median")
    return Estimate(float(np.median(x)), float(x[k - 1]), float(x[-k]))


def block_jackknife(full: float, without: Sequence[float], sizes: Sequence[int]) -> Estimate:
    """Delete-one-block jackknife for blocks of unequal size (Busing et al. 1999, Stat. Comput. 9).

    full: the statistic of all rows; without[b]: of all rows but block b; sizes[b]: rows of block b.
    The interval is full +- t(g - 1) se: it speaks of the statistic's expectation at this n.
    """
    if len(without) < 4:
        raise IntervalError(f"{len(without)} blocks are too few for a jackknife")
    theta, m = np.asarray(without, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    n, g = float(m.sum()), len(theta)
    h = n / m
    estimate = g * full - float(((1 - m / n) * theta).sum())
    pseudo = h * full - (h - 1) * theta
    variance = float(((pseudo - estimate) ** 2 / (h - 1)).mean())
    half = _t(g - 1) * math.sqrt(variance)
    return Estimate(full, full - half, full + half)


def _newcombe(area: float, m: int, n: int) -> tuple[float, float]:
    """Newcombe's method 5 (2006, Stat. Med. 25:559): the ends solve a score equation."""
    mid = (m + n) / 2 - 1

    def se(a: float) -> float:
        spread = 1 + mid * ((1 - a) / (2 - a) + a / (1 + a))
        return math.sqrt(max(a * (1 - a) * spread / (m * n), 0.0))

    def end(outer: float) -> float:
        """Between `outer` and the area the distance falls below Z standard errors: bisect."""
        inner = area
        for _ in range(60):
            middle = (outer + inner) / 2
            if abs(area - middle) > Z * se(middle):
                outer = middle
            else:
                inner = middle
        return inner

    low = 0.0 if area == 0 else end(0.0)
    high = 1.0 if area == 1 else end(1.0)
    return low, high


def _midranks(x: Array) -> Array:
    """Ranks from 1, ties share the mean of theirs."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def auroc(positive: npt.ArrayLike, negative: npt.ArrayLike) -> Auroc:
    """P(score of a positive > of a negative), ties one half, with DeLong's interval.

    positive: float [m], negative: float [n]. DeLong's variance by midranks (Sun & Xu 2014), the
    interval on the logit scale. Perfect separation has variance 0, which is no interval; then
    Newcombe's score interval stands in, and the method says so.
    """
    x, y = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    m, n = len(x), len(y)
    if m < 2 or n < 2:
        raise IntervalError(f"{m} positives and {n} negatives are too few")
    ranks = _midranks(np.concatenate([x, y]))
    placed_x = (ranks[:m] - _midranks(x)) / n
    placed_y = 1 - (ranks[m:] - _midranks(y)) / m
    area = float(placed_x.mean())
    variance = float(placed_x.var(ddof=1) / m + placed_y.var(ddof=1) / n)
    if variance == 0 or area in (0.0, 1.0):
        if 0 < area < 1:
            raise IntervalError("all scores are tied")
        return Auroc(area, *_newcombe(area, m, n), "newcombe")
    logit, half = math.log(area / (1 - area)), Z * math.sqrt(variance) / (area * (1 - area))
    ends = [1 / (1 + math.exp(-v)) for v in (max(logit - half, -700), min(logit + half, 700))]
    return Auroc(area, ends[0], ends[1], "delong")


def calibration_bound(gap: Array, variance: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Ends for sum_k |delta_k|, given gap_k ~ N(delta_k, variance_k): the ECE's interval.

    gap, variance: float64 [bins]. |gap_k| lies within |e_k| of |delta_k|, so the sum is above the
    truth by more than the 97.5 % quantile of sum|e_k| at most 2.5 % of the time; and it is never
    below truth + sum sign(delta_k) e_k, a normal with variance sum(variance). Coverage is thus at
    least 95 % for every delta, 0 included, where subsampling and the bootstrap gave .6 to .9.
    """
    noise = np.abs(rng.standard_normal((4000, len(gap))) * np.sqrt(variance)).sum(axis=1)
    total = float(np.abs(gap).sum())
    low = total - float(np.quantile(noise, 0.5 + LEVEL / 2))
    return max(0.0, low), min(1.0, total + Z * math.sqrt(float(variance.sum())))


def classwise_bound(gap: Array, variance: Array) -> tuple[float, float]:
    """Ends for sum|delta|, given gap ~ N(delta, variance) with the errors of one-hot labels.

    As `calibration_bound`, in closed form. The covariance D - qq' of a one-hot label is at most
    twice its own diagonal, so no signed sum has more than twice the variance of independent
    errors, nor has the sum of their absolute values (Schur's product theorem).
    """
    total, spread = float(np.abs(gap).sum()), float(variance.sum())
    mean = float(np.sqrt(2 * variance / np.pi).sum())
    reach = Z * math.sqrt(2 * spread)
    return max(0.0, total - mean - reach * math.sqrt(1 - 2 / math.pi)), total + reach


def null_minimum(p: float, n: Array, rng: np.random.Generator) -> float:
    """E[min_i k_i / n_i] of K shares when every k_i ~ Binomial(n_i, p), by simulation.

    What the worst of K equal classes looks like: the number of classes alone makes it low.
    """
    draws = max(200, min(4000, 4_000_000 // max(len(n), 1)))
    shares = rng.binomial(n.astype(np.int64), p, size=(draws, len(n))) / n
    return float(shares.min(axis=1).mean())
