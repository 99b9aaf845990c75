"""Measurements' answers made fit for a report: bounded, finite, absent only with a reason. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from interplay_api import report as api
from interplay_api.names import value_key
from interplay_api.plan import Plan

from .errors import MAX_LINE, one_line
from .measurement import UnmeasurableError, Value

__all__ = ["cell_of", "failed", "reason_of", "without_collisions"]


def reason_of(error: Exception) -> str:
    """Why a cell failed: the measurement's own words, or the exception in one line."""
    if isinstance(error, UnmeasurableError):
        return " ".join(str(error).split())[:MAX_LINE] or "cannot be measured"
    return one_line(error)


def failed(reason: str) -> api.CellResult:
    """A cell without numbers."""
    return api.CellResult(state="Failed", reason=reason[:MAX_LINE])


def cell_of(values: Mapping[str, Value | float], n: int) -> api.CellResult:
    """A cell with numbers; `n` stands behind those that come as bare floats."""
    if not values:
        return failed("the measurement gave no values")
    try:
        return api.CellResult(
            state="Succeeded", values=[_value(k, v, n) for k, v in sorted(values.items())]
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        return failed(f"{first.get('input')!r:.60}: {where}: {first['msg']}")


def _value(metric: str, given: Value | float, n: int) -> api.Value:
    if not isinstance(given, Value):
        given = Value(float(given), n)
    value, low, high = (_number(x) for x in (given.value, given.low, given.high))
    reason = given.reason
    if value is None:
        reason = reason or "no reason was given"
    elif not math.isfinite(value):
        reason = "the number is not finite"
    elif not all(math.isfinite(x) for x in (low, high) if x is not None):
        reason = "its interval is not finite"
    if reason is not None:
        return api.Value(metric=metric, n=int(given.n), reason=reason[:MAX_LINE])
    null = _number(given.null)
    return api.Value(
        metric=metric,
        value=value,
        n=int(given.n),
        low=low,
        high=high,
        method=given.method,
        null=null if null is not None and math.isfinite(null) else None,
    )


def _number(x: float | None) -> float | None:
    """A plain float of whatever acts like one: numpy and torch scalars too."""
    return None if x is None else float(x)


def without_collisions(plan: Plan, cells: Sequence[api.CellResult]) -> list[api.CellResult]:
    """The same cells, where no two values share a key: the later cell fails and says why."""
    splits = plan.splits
    owner: dict[str, str] = {}
    out = []
    for cell, result in zip(plan.cells, cells, strict=True):
        split = splits[cell.dataset]
        keys = [value_key(cell.dataset, split, v.metric) for v in result.values]
        taken = next((k for k in keys if k in owner), None)
        if taken is not None:
            result = failed(f"{taken} is already given by measurement {owner[taken]}")
        elif len(set(keys)) < len(keys):
            result = failed("two of its values have the same key")
        else:
            owner.update(dict.fromkeys(keys, cell.measurement))
        out.append(result)
    return out
