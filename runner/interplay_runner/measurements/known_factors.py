"""The known factors of a dataset, from its columns: as numbers to predict and as levels to count.

Pure. A factor that cannot be measured is left out with a reason, the others stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from interplay_runner.measurement import UnmeasurableError

from .mutual_information import binned

__all__ = ["BINS", "Factor", "read_factors"]

BINS = 20
MAX_CATEGORIES = 64
"""Each is a column to predict."""
MAX_LEVELS = 100
"""Of a number; one with more values is counted in bins."""

Array = npt.NDArray[np.float64]
Column = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of n samples.

    target: float64 [n, c], of variance 1 in sum; one column for an ordered factor, an indicator of
    each category for one that has no order. levels: int64 [n] in [0, count). categorical: whether
    it has no order.
    """

    target: Array
    levels: npt.NDArray[np.int64]
    count: int
    categorical: bool

    def rows(self, keep: npt.NDArray[np.bool_]) -> Factor:
        """The same of some samples."""
        return replace(self, target=self.target[keep], levels=self.levels[keep])


def read_factors(
    columns: Mapping[str, Column], names: Sequence[str] | None, categorical: Collection[str]
) -> tuple[dict[str, Factor], dict[str, str]]:
    """The factors by column, and of those that are left out the reason.

    names: the columns, or None for all that start with `factor_`. A column of words has no order,
    nor have those in `categorical`.
    """
    chosen = names if names is not None else [c for c in columns if c.startswith("factor_")]
    factors: dict[str, Factor] = {}
    left_out: dict[str, str] = {}
    for name in chosen:
        try:
            if name not in columns:
                raise UnmeasurableError(f"the dataset has no column {name}")
            factors[name] = _factor(name, columns[name], name in categorical)
        except UnmeasurableError as error:
            left_out[name] = str(error)
    return factors, left_out


def _factor(name: str, column: Column, categorical: bool) -> Factor:
    words = column.dtype.kind not in "if"
    if not words and not np.isfinite(column.astype(np.float64)).all():
        raise UnmeasurableError(f"{name} is not finite on some samples")
    values, levels = np.unique(column, return_inverse=True)
    if len(values) < 2:
        raise UnmeasurableError(f"{name} has the same value on all samples")
    if words or categorical:
        if len(values) > MAX_CATEGORIES:
            raise UnmeasurableError(
                f"{name} has {len(values)} categories, more than {MAX_CATEGORIES}"
            )
        indicators = (levels[:, None] == np.arange(len(values))).astype(np.float64)
        return Factor(_unit(indicators), levels.astype(np.int64), len(values), True)
    numbers = column.astype(np.float64)[:, None]
    if len(values) > MAX_LEVELS:
        return Factor(_unit(numbers), binned(numbers, BINS)[:, 0], BINS, False)
    return Factor(_unit(numbers), levels.astype(np.int64), len(values), False)


def _unit(target: Array) -> Array:
    """Mean 0 in each column, variance 1 in sum."""
    centred = target - target.mean(axis=0)
    unit: Array = centred / np.sqrt(np.square(centred).mean(axis=0).sum())
    return unit
