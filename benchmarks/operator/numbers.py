"""Quantiles and medians, as the tables print them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

__all__ = ["milliseconds", "quantile", "spread"]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def milliseconds(seconds: Iterable[float]) -> dict[str, float]:
    """p50, p99, largest and n of times."""
    values = [s * 1000 for s in seconds]
    if not values:
        raise ValueError("no times were measured")
    shown = {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": max(values)}
    return {**{k: round(v, 1) for k, v in shown.items()}, "n": len(values)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
        "n": len(values),
    }
