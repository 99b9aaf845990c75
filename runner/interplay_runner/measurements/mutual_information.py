"""Mutual information of binned codes with a factor, from counts alone. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["binned", "entropy", "joint_counts", "mutual_information"]

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def binned(z: Array, bins: int) -> Integers:
    """Each column of z [n, d] in `bins` bins of equal width between its least and largest value.

    A constant column has all in bin 0.
    """
    low = z.min(axis=0)
    width = z.max(axis=0) - low
    place = (z - low) * (bins / np.where(width > 0, width, 1.0))
    codes: Integers = np.minimum(place.astype(np.int64), bins - 1)
    return codes


def joint_counts(codes: Integers, bins: int, factor: Integers, levels: int) -> Integers:
    """How often bin and level meet, int64 [d, bins, levels]; codes [n, d], factor [n]."""
    d = codes.shape[1]
    place = (np.arange(d) * bins + codes) * levels + factor[:, None]
    return np.bincount(place.ravel(), minlength=d * bins * levels).reshape(d, bins, levels)


def entropy(counts: Integers) -> Array:
    """In nats, over the last axis, plus Miller and Madow's correction (m - 1) / 2n.

    m is the number of filled cells: plugged in, an entropy is too low by about that.
    """
    n = counts.sum(axis=-1, keepdims=True)
    p = counts / n
    plugged = -np.where(counts > 0, p * np.log(np.where(counts > 0, p, 1.0)), 0.0).sum(axis=-1)
    corrected: Array = plugged + ((counts > 0).sum(axis=-1) - 1) / (2 * n[..., 0])
    return corrected


def mutual_information(counts: Integers) -> Array:
    """H(z) + H(v) - H(z, v) of each code, float64 [d], not below 0; counts [d, bins, levels]."""
    d = len(counts)
    each = entropy(counts.sum(axis=2)) + entropy(counts.sum(axis=1))
    return np.maximum(each - entropy(counts.reshape(d, -1)), 0.0)
