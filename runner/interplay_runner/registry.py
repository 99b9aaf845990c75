"""Names to measurement code: entry points of installed packages, loaded when they are used."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from interplay_api.catalog import problem_of
from interplay_api.plan import Cell

from .errors import PlanError, one_line
from .measurement import Measurement

__all__ = ["GROUP", "build", "load_measurement"]

GROUP = "interplay.measurements"
"""Entry-point group; a package in the runner's image adds measurements by joining it."""


@cache
def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def load_measurement(entry_point: str) -> type[Measurement]:
    """The class behind a registered name; raises PlanError, with near matches if unknown."""
    known = _registered()
    if entry_point not in known:
        near = difflib.get_close_matches(entry_point, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise PlanError(f"entryPoint: no measurement is registered as {entry_point}{hint}")
    try:
        found = known[entry_point].load()
    except Exception as error:
        # Foreign code runs at import: whatever it raises harms only the cells that name it.
        raise PlanError(f"entryPoint: {entry_point} cannot be loaded: {one_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Measurement)):
        raise PlanError(f"entryPoint: {entry_point} is not a Measurement")
    return found


def build(cell: Cell, seed: int) -> Measurement:
    """The measurement of a cell with its parameters checked; raises PlanError naming the field."""
    kind = load_measurement(cell.entry_point)
    if kind.numerics != cell.numerics:
        # The content key speaks of the plan's numbers: others must not stand under it.
        raise PlanError(
            f"numerics: the plan says {cell.numerics}, {cell.entry_point} is at {kind.numerics}"
        )
    if kind.category != cell.category:
        raise PlanError(
            f"category: the plan says {cell.category}, {cell.entry_point} is a {kind.category}"
        )
    if cell.repeatable and not kind.repeatable:
        # Otherwise its numbers would be copied to where they were never measured.
        raise PlanError(f"repeatable: {cell.entry_point} gives other numbers each time: say false")
    try:
        params = kind.Params.model_validate(cell.parameters)
    except ValidationError as error:
        field, message = problem_of(error, "parameters")
        raise PlanError(f"{field}: {message}") from None
    return kind(params, seed)
