"""How unequal the shares of several groups are: lowest, gap, difference, ratio. Pure.

hits, sizes: float64 [K], hits of so many samples in each of K groups, sizes >= 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from interplay_runner.intervals import Estimate, IntervalError, Z, wilson, wilson_simultaneous

__all__ = ["Family", "difference", "gap", "largest_gap", "lowest", "null_gap", "relative_error"]

Array = npt.NDArray[np.float64]
Family = tuple[Array, Array]
"""hits and sizes of one kind of share, by group."""


def lowest(hits: Array, sizes: Array) -> Estimate:
    """The lowest share; the ends are the lowest of intervals that hold for all groups together."""
    if len(sizes) == 0:
        raise IntervalError("no samples")
    low, high = wilson_simultaneous(hits, sizes)
    return Estimate(float((hits / sizes).min()), float(low.min()), float(high.min()))


def gap(hits: Array, sizes: Array) -> Estimate:
    """Highest minus lowest share; see `largest_gap`."""
    return largest_gap([(hits, sizes)])


def largest_gap(families: Sequence[Family]) -> Estimate:
    """The largest of several gaps, each the highest minus the lowest share of its kind.

    If all of the simultaneous Wilson intervals (low_i, high_i) hold, then every difference
    p_i - p_j lies in (low_i - high_j, high_i - low_j), and so does the largest of them between the
    largest ends: at least 95 % coverage, for equal groups too.
    """
    hits, sizes = (np.concatenate(parts) for parts in zip(*families, strict=True))
    if min(len(f[0]) for f in families) < 2:
        raise IntervalError("fewer than 2 groups have enough samples: there is no gap")
    low, high = wilson_simultaneous(hits, sizes)
    cuts = np.cumsum([len(f[0]) for f in families])[:-1]
    parts = [np.split(x, cuts) for x in (hits / sizes, low, high)]
    ends = [_ends(*part) for part in zip(*parts, strict=True)]
    value, bottom, top = (max(e[i] for e in ends) for i in range(3))
    return Estimate(value, bottom, top)


def _ends(share: Array, low: Array, high: Array) -> tuple[float, float, float]:
    """The gap of one kind, and the largest low and high end of the difference of two groups."""
    at_least, at_most = np.subtract.outer(low, high), np.subtract.outer(high, low)
    np.fill_diagonal(at_most, -np.inf)
    return float(np.ptp(share)), max(0.0, float(at_least.max())), float(at_most.max())


def null_gap(families: Sequence[Family], rng: np.random.Generator) -> float:
    """E[largest gap] if all groups had the pooled share of their kind, by simulation."""
    groups = sum(len(f[0]) for f in families)
    draws = max(200, min(4000, 4_000_000 // max(groups, 1)))
    gaps = [
        np.ptp(rng.binomial(n.astype(np.int64), k.sum() / n.sum(), (draws, len(n))) / n, axis=1)
        for k, n in families
    ]
    return float(np.max(gaps, axis=0).mean())


def difference(hits: tuple[int, int], sizes: tuple[int, int]) -> Estimate:
    """First share minus second, of independent samples: Newcombe 1998 (Stat. Med. 17:873), 10."""
    p1, l1, u1 = wilson(hits[0], sizes[0])
    p2, l2, u2 = wilson(hits[1], sizes[1])
    d = p1 - p2
    return Estimate(d, d - math.hypot(p1 - l1, u2 - p2), d + math.hypot(u1 - p1, p2 - l2))


def relative_error(errors: tuple[int, int], sizes: tuple[int, int]) -> Estimate:
    """Error rate of the first of two parts over that of both together.

    R = e_1 / (w e_1 + (1 - w) e_2) = 1 / (w + (1 - w) t), t = e_2 / e_1 and w the share of samples
    in the first part, taken as given. R falls with t alone, so its ends are those of the score
    interval of t (Miettinen & Nurminen 1985, Stat. Med. 4:213), which stands few errors and none.
    """
    if min(sizes) == 0 or sum(errors) == 0:
        raise IntervalError("no errors" if min(sizes) else "all samples or none have the factor")
    w = sizes[0] / sum(sizes)

    def ratio(t: float) -> float:
        return 1 / (w + (1 - w) * t)

    t = errors[1] / sizes[1] * sizes[0] / errors[0] if errors[0] else math.inf
    low, high = _ratio_ends(t, errors, sizes)
    return Estimate(ratio(t), ratio(high), ratio(low))


def _ratio_ends(t: float, errors: tuple[int, int], sizes: tuple[int, int]) -> tuple[float, float]:
    """Where the score of the ratio second/first passes Z, on either side of its estimate t."""

    def end(outer: float) -> float:
        """Bisect the logarithm between an end of the scale and the estimate."""
        inner = math.log(t) if 0 < t < math.inf else -outer
        for _ in range(80):
            middle = (outer + inner) / 2
            if abs(_score(math.exp(middle), errors, sizes)) > Z:
                outer = middle
            else:
                inner = middle
        return math.exp(inner)

    return (0.0 if t == 0 else end(-60.0)), (math.inf if t == math.inf else end(60.0))


def _score(t: float, errors: tuple[int, int], sizes: tuple[int, int]) -> float:
    """(e_2 - t e_1) over its standard error under e_2 = t e_1, the rates fitted so."""
    (x1, x2), (n1, n2) = errors, sizes
    n = n1 + n2
    b = n2 * t + x2 + n1 + x1 * t
    # The smaller root of n t p^2 - b p + (x1 + x2) = 0, without cancellation.
    p1 = 2 * (x1 + x2) / (b + math.sqrt(max(b * b - 4 * n * t * (x1 + x2), 0.0)))
    p2 = min(t * p1, 1.0)
    variance = (p2 * (1 - p2) / n2 + t * t * p1 * (1 - p1) / n1) * n / (n - 1)
    gap = x2 / n2 - t * x1 / n1
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)
