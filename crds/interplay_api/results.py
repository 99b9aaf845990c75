"""A believed report, put under the plan's own names: the same with and without a cluster."""

from __future__ import annotations

from collections.abc import Iterable

from .evaluation import ModelResult, ResultValue
from .modelrun import CellStatus, StatusValue
from .names import value_key
from .plan import Plan
from .report import Report, ReportError

__all__ = ["cell_statuses", "model_result"]


def cell_statuses(plan: Plan, report: Report) -> list[CellStatus]:
    """Cells of a report with names, keys and value keys from the plan, never from the pod.

    Raises ReportError where the report does not fit the plan, and where two values would
    stand under one key.
    """
    if report.plan_digest != plan.digest():
        raise ReportError("report: it speaks of another plan")
    if len(report.cells) != len(plan.cells):
        raise ReportError(f"report: {len(report.cells)} cells for {len(plan.cells)} in the plan")
    splits = plan.splits
    seen: set[str] = set()
    statuses = []
    for cell, result in zip(plan.cells, report.cells, strict=True):
        values = []
        for value in result.values:
            key = value_key(cell.dataset, splits[cell.dataset], value.metric)
            if key in seen:
                raise ReportError(f"report: two values are called {key}")
            if value.value is None and value.reason is None:
                raise ReportError(f"report: {key} has neither a value nor a reason")
            seen.add(key)
            values.append(StatusValue(key=key, **value.model_dump()))
        statuses.append(
            CellStatus(
                measurement=cell.measurement,
                dataset=cell.dataset,
                key=cell.key,
                state=result.state,
                reason=result.reason,
                values=values,
            )
        )
    return statuses


def model_result(model: str, cells: Iterable[CellStatus]) -> ModelResult:
    """The row of one model: every value that is there, by key."""
    values = {
        v.key: ResultValue(value=v.value, low=v.low, high=v.high, n=v.n)
        for cell in cells
        for v in cell.values
        if v.value is not None
    }
    return ModelResult(model=model, values=values)
