"""MIG and SAP: how much more the best single feature knows of a factor than the second. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .known_factors import BINS, Factor
from .lasso import Scaled
from .mutual_information import binned, entropy, joint_counts, mutual_information

__all__ = ["information_gap", "variance_gap"]

Array = npt.NDArray[np.float64]


def information_gap(z: Array, factors: Sequence[Factor]) -> float:
    """MIG, mean_j (I_a - I_b) / H_j, of z float64 [n, d]; NaN where a factor does not vary."""
    codes = binned(z, BINS)
    gaps = []
    for factor in factors:
        counts = joint_counts(codes, BINS, factor.levels, factor.count)
        known = float(entropy(counts[0].sum(axis=0)))
        if not known > 0:
            return float("nan")
        gaps.append(_gap(mutual_information(counts) / known))
    return float(np.mean(gaps))


def variance_gap(z: Array, factors: Sequence[Factor]) -> float:
    """SAP with squared correlations, or correlation ratios; NaN where a factor does not vary."""
    x = Scaled.of(z).x
    gaps = []
    for factor, y in ((f, f.target - f.target.mean(axis=0)) for f in factors):
        if not np.square(y).sum() > 0:
            return float("nan")
        gaps.append(_gap(_ratio(x, factor) if factor.categorical else _correlation(x, y[:, 0])))
    return float(np.mean(gaps))


def _correlation(x: Array, y: Array) -> Array:
    """Squared correlation of each column of x, variance 1, with y of mean 0."""
    shared: Array = np.square(x.T @ y) / (len(y) * np.square(y).sum())
    return shared


def _ratio(x: Array, factor: Factor) -> Array:
    """Share of the variance of each column of x that lies between the categories."""
    indicators = (factor.levels[:, None] == np.arange(factor.count)).astype(np.float64)
    sizes = indicators.sum(axis=0)
    between: Array = np.square(x.T @ indicators) @ (1 / np.maximum(sizes, 1)) / len(x)
    return between


def _gap(known: Array) -> float:
    """Between the largest two shares, which a correction or rounding may take above 1."""
    second, first = np.partition(np.minimum(known, 1.0), -2)[-2:]
    return float(first - second)
