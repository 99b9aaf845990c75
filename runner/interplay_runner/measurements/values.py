"""From a statistic to a published Value: its interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator
from torch import Tensor

from interplay_runner.intervals import Estimate, IntervalError, block_jackknife, wilson
from interplay_runner.measurement import Output, State, UnmeasurableError, Value

__all__ = ["Distinct", "absent", "features_of", "jackknifed", "measured", "share"]

T = TypeVar("T", bound=float)


def _distinct(items: tuple[T, ...]) -> tuple[T, ...]:
    # Compared as the metric's name shows them: two values must never share one key.
    if len({f"{i:g}" for i in items}) < len(items):
        raise ValueError("two of the values are the same")
    return items


Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
"""A tuple of numbers whose names in a metric differ."""


def absent(n: int, reason: str) -> Value:
    """No number, and why."""
    return Value(None, n, reason=reason)


def measured(
    n: int,
    method: str,
    interval: Callable[[], Estimate],
    *,
    null: float | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Value:
    """What `interval` gives, or absent with its reason; the ends cut to the possible `bounds`."""
    try:
        value, low, high = interval()
    except (IntervalError, UnmeasurableError) as error:
        return absent(n, str(error))
    return Value(value, n, max(low, bounds[0]), min(high, bounds[1]), method, null)


def share(hits: npt.NDArray[np.bool_]) -> Value:
    """The share of `hits` [n] that are true, with Wilson's interval."""
    return measured(len(hits), "wilson", lambda: wilson(int(hits.sum()), len(hits)))


def jackknifed(
    statistic: Callable[[State], float],
    state: State,
    blocks: Sequence[State],
    *,
    rows: str = "n",
    sums: Sequence[str] | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Value:
    """`statistic` of the sums, with the interval of the block jackknife.

    rows: the sum that counts the samples. sums: the names that the statistic reads, all if None.
    """
    names = [*state] if sums is None else [*sums, rows]
    filled = [b for b in blocks if int(b[rows])]

    def interval() -> Estimate:
        full = statistic({k: state[k] for k in names})
        if len(filled) < 2:
            raise IntervalError(f"{int(state[rows])} samples are too few for a jackknife")
        without = [statistic({k: state[k] - b[k] for k in names}) for b in filled]
        return block_jackknife(full, without, [int(b[rows]) for b in filled])

    return measured(int(state[rows]), "jackknife", interval, bounds=bounds)


def features_of(output: Output) -> Tensor:
    """The features of a forward, float64 [n, d]."""
    return output.features.double()
