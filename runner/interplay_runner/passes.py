"""What a plan costs before anything runs: one pass per dataset, one forward per distinct view.

Pure. The same passes are printed by `interplay plan` and run by execute.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from interplay_api.plan import Cell, Plan, PlanDataset

from .errors import one_line
from .measurement import (
    IDENTITY,
    BatchMeasurement,
    FreeMeasurement,
    Measurement,
    ModelInfo,
    Need,
    RecordMeasurement,
    StreamMeasurement,
    UnmeasurableError,
    View,
)

__all__ = ["Member", "Pass", "Passes", "plan_passes", "view_name"]


def view_name(view: View) -> str:
    """`rotate_deg15`: how columns and people call a view."""
    params = "".join(f"_{k}{v:.12g}" for k, v in view.params)
    return f"{view.op}{params}" + (f"_v{view.version}" if view.version != 1 else "")


@dataclass(frozen=True, slots=True)
class Member:
    """One cell that takes part in a pass."""

    index: int
    """Its place in the plan."""
    cell: Cell
    measurement: Measurement
    need: Need

    @property
    def shared(self) -> bool:
        """Whether it lives on the shared pass; a free measurement reads the data itself."""
        return not isinstance(self.measurement, FreeMeasurement)


@dataclass(frozen=True, slots=True)
class Pass:
    """One dataset, decoded once for all of its members."""

    dataset: PlanDataset
    members: tuple[Member, ...]

    def of(self, kind: type[Measurement]) -> list[Member]:
        """The members of one kind of measurement."""
        return [m for m in self.members if isinstance(m.measurement, kind)]

    @property
    def views(self) -> tuple[View, ...]:
        """The distinct views that some member shares in, by name."""
        found = {v for m in self.members if m.shared for v in m.need.views}
        return tuple(sorted(found, key=lambda v: (v.op != "identity", v.op, v.params, v.version)))

    @property
    def recorded(self) -> tuple[View, ...]:
        """The views with a per-sample record: those that a member reads, and the plain images."""
        wanted = {v for m in self.of(RecordMeasurement) for v in m.need.views} | {IDENTITY}
        return tuple(v for v in self.views if v in wanted)

    @property
    def featured(self) -> tuple[View, ...]:
        """The views whose features some member reads."""
        streams = self.of(StreamMeasurement)
        wanted = {v for m in streams if "features" in m.need.outputs for v in m.need.views}
        return tuple(v for v in self.views if v in wanted)

    @property
    def decodes(self) -> bool:
        """Whether there is a shared pass at all."""
        return any(m.shared for m in self.members)

    @property
    def own_work(self) -> list[Member]:
        """Members that run forwards of their own beside the shared ones."""
        return [*self.of(BatchMeasurement), *self.of(FreeMeasurement)]


@dataclass(frozen=True, slots=True)
class Passes:
    """All passes of a plan, and the cells that take part in none, with the reason."""

    passes: tuple[Pass, ...]
    failures: Mapping[int, str] = field(default_factory=dict)


def plan_passes(plan: Plan, model: ModelInfo, build: Callable[[Cell, int], Measurement]) -> Passes:
    """Group the cells of a plan by dataset, in the plan's order.

    A cell whose measurement cannot be built, or that cannot speak of this model, fails alone.
    """
    members: dict[str, list[Member]] = {d.name: [] for d in plan.datasets}
    failures: dict[int, str] = {}
    for index, cell in enumerate(plan.cells):
        try:
            measurement = build(cell, plan.run.seed)
            need = measurement.need(model)
        except UnmeasurableError as error:
            failures[index] = str(error)
        except Exception as error:
            failures[index] = one_line(error)
        else:
            members[cell.dataset].append(Member(index, cell, measurement, need))
    passes = tuple(Pass(d, tuple(members[d.name])) for d in plan.datasets if members[d.name])
    return Passes(passes, failures)
