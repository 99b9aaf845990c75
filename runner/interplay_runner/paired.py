"""Two models on the same samples: paired tests, which see differences that intervals hide. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .intervals import IntervalError, mean_t, wilson

__all__ = ["Comparison", "compare_paired"]

Column = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Means of one column, their difference (first - second) with its 95 % interval, and p.

    method: `mcnemar` (exact binomial test; Newcombe's interval) or `paired-t`. first_only and
    second_only count the samples that are 1 for one model alone.
    """

    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    method: str
    first_only: int | None = None
    second_only: int | None = None


def compare_paired(first: Column, second: Column) -> Comparison:
    """first, second: [n], row i of both the same sample; 0/1 columns by McNemar, others by t.

    Raises IntervalError, with the reason, where they cannot be compared.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    bad = int((~np.isfinite(a) | ~np.isfinite(b)).sum())
    if bad:
        raise IntervalError(f"{bad} of {len(a)} samples are not finite")
    if len(a) < 2:
        raise IntervalError(f"{len(a)} samples are too few to compare")
    if np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all():
        return _mcnemar(a == 1, b == 1)
    return _paired_t(a, b)


def _mcnemar(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> Comparison:
    """Exact two-sided McNemar test: of the samples that differ, half should favour each."""
    from scipy.stats import binomtest

    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())
    n = len(a)
    differ = only_a + only_b
    low, high = _newcombe_paired(both, only_a, only_b, n - both - differ)
    return Comparison(
        n=n,
        first=(both + only_a) / n,
        second=(both + only_b) / n,
        difference=(only_a - only_b) / n,
        low=low,
        high=high,
        p=float(binomtest(only_a, differ).pvalue) if differ else 1.0,
        method="mcnemar",
        first_only=only_a,
        second_only=only_b,
    )


def _newcombe_paired(e: int, f: int, g: int, h: int) -> tuple[float, float]:
    """Newcombe 1998, Stat. Med. 17:2635, method 10: Wilson's ends, joined with the correlation.

    e both, f first only, g second only, h neither; the interval of (f - g) / n.
    """
    n = e + f + g + h
    p1, l1, u1 = wilson(e + f, n)
    p2, l2, u2 = wilson(e + g, n)
    cross = e * h - f * g
    # The continuity correction applies to a positive correlation only.
    cross_corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    phi = cross_corrected / math.sqrt(margins) if margins else 0.0

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    difference = (f - g) / n
    return difference - reach(p1 - l1, u2 - p2), difference + reach(u1 - p1, p2 - l2)


def _paired_t(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Comparison:
    from scipy.stats import t

    gap = a - b
    mean, low, high = mean_t(gap)
    error = float(gap.std(ddof=1)) / math.sqrt(len(gap))
    if error == 0 and mean != 0:
        raise IntervalError("the difference is the same on every sample: no test applies")
    p = float(2 * t.sf(abs(mean) / error, len(gap) - 1)) if error else 1.0
    return Comparison(len(gap), float(a.mean()), float(b.mean()), mean, low, high, p, "paired-t")
