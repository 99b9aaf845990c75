"""What a plan costs before anything runs: one pass per dataset, one forward per distinct view.

Pure. The same passes are printed by `interplay plan` and run by execute.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from interplay_api.plan import Cell, Plan, PlanDataset

from .errors import one_line
from .measurement import (
    IDENTITY,
    OWN,
    BatchMeasurement,
    FreeMeasurement,
    Measurement,
    ModelInfo,
    Need,
    RecordMeasurement,
    TableMeasurement,
    UnmeasurableError,
    View,
)
from .restrict import restricted

__all__ = ["Member", "Pass", "Passes", "plan_passes", "view_name"]

T = TypeVar("T")


def view_name(view: View) -> str:
    """`rotate_deg15`: how columns and people call a view."""
    params = "".join(f"_{k}{v:.12g}" for k, v in view.params)
    version = f"_v{view.version}" if view.version != 1 else ""
    return f"{view.op}{params}{version}" + (f"_by_{view.model}" if view.model else "")


@dataclass(frozen=True, slots=True)
class Member:
    """One cell that takes part in a pass."""

    index: int
    """Its place in the plan."""
    cell: Cell
    measurement: Measurement
    need: Need
    """Of this pass, in the measurement's own terms."""
    info: ModelInfo
    needs: Mapping[str, Need] = field(default_factory=dict)
    """Of every role, for a measurement of several datasets."""

    @property
    def shared(self) -> bool:
        """Whether it lives on the shared pass; a free measurement reads the data itself."""
        return not isinstance(self.measurement, FreeMeasurement)

    def seen(self, view: View) -> View:
        """The view as the pass knows it: by the name of the model that sees it."""
        return replace(view, model=self.cell.reference_model or "") if view.model else view

    @property
    def views(self) -> tuple[View, ...]:
        """The views of its need, as the pass knows them."""
        return tuple(map(self.seen, self.need.views))

    def own(self, outputs: Mapping[View, T]) -> dict[View, T]:
        """Its part of what there is by view, in its own terms."""
        return {v: outputs[self.seen(v)] for v in self.need.views}


@dataclass(frozen=True, slots=True)
class Pass:
    """One dataset, decoded once for all of its members."""

    dataset: PlanDataset
    members: tuple[Member, ...]
    waiting: frozenset[int] = frozenset()
    """Cells that cannot be concluded here, because a later pass has another dataset of theirs."""

    def of(self, kind: type[Measurement]) -> list[Member]:
        """The members of one kind of measurement."""
        return [m for m in self.members if isinstance(m.measurement, kind)]

    @property
    def views(self) -> tuple[View, ...]:
        """The distinct views that some member shares in, by name."""
        found = {v for m in self.members if m.shared for v in m.views}
        return tuple(
            sorted(found, key=lambda v: (v.model, v.op != "identity", v.op, v.params, v.version))
        )

    @property
    def recorded(self) -> tuple[View, ...]:
        """The views with a per-sample record: those that a member reads, and the plain images."""
        readers = [*self.of(RecordMeasurement), *self.of(TableMeasurement)]
        wanted = {v for m in readers for v in m.views} | {IDENTITY}
        return tuple(v for v in self.views if v in wanted)

    def giving(self, output: str) -> tuple[View, ...]:
        """The views of which some member reads `features` or `layers`."""
        wanted = {v for m in self.members if output in m.need.outputs for v in m.views}
        return tuple(v for v in self.views if v in wanted)

    def tables(self) -> dict[tuple[str, View], int | None]:
        """What is kept row by row, (`logits` or `features`, view), and of how many samples."""
        kept: dict[tuple[str, View], int | None] = {}
        for member in self.of(TableMeasurement):
            rows = member.need.rows
            for key in itertools.product(("logits", "features"), member.views):
                if key[0] in member.need.outputs:
                    before = kept.get(key, 0)
                    kept[key] = None if rows is None or before is None else max(rows, before)
        return kept

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


def plan_passes(
    plan: Plan,
    model: ModelInfo,
    build: Callable[[Cell, int], Measurement],
    references: Mapping[str, ModelInfo | str] | None = None,
) -> Passes:
    """Group the cells of a plan by dataset, in the plan's order.

    A cell whose measurement cannot be built, or that cannot speak of this model, fails alone.
    references: the other models of the plan, or why one cannot be had; None where no model is
    loaded, which stands for any.
    """
    members: dict[str, list[Member]] = {d.name: [] for d in plan.datasets}
    specs = {d.name: d.spec for d in plan.datasets}
    failures: dict[int, str] = {}
    for index, cell in enumerate(plan.cells):
        try:
            measurement = build(cell, plan.run.seed)
            info = replace(model, reference=_reference(cell, model, references))
            needs = _needs(cell, measurement, restricted(info, specs[cell.dataset].competing))
            if references is not None:
                _check_layers(needs, info)
            parts = {}
            for name in cell.datasets.values():
                own = restricted(info, specs[name].competing)
                need = _joined([needs[r] for r, d in cell.datasets.items() if d == name])
                parts[name] = Member(index, cell, measurement, need, own, needs)
        except UnmeasurableError as error:
            failures[index] = str(error)
        except Exception as error:
            failures[index] = one_line(error)
        else:
            for name, member in parts.items():
                members[name].append(member)
    passes, later = [], set[int]()
    for dataset in reversed(plan.datasets):
        here = tuple(members[dataset.name])
        if here:
            indices = {m.index for m in here}
            passes.append(Pass(dataset, here, frozenset(indices & later)))
            later |= indices
    return Passes(tuple(reversed(passes)), failures)


def _reference(
    cell: Cell, model: ModelInfo, references: Mapping[str, ModelInfo | str] | None
) -> ModelInfo | None:
    if cell.reference_model is None:
        return None
    if references is None:
        return model
    found = references.get(cell.reference_model)
    if isinstance(found, str):
        raise UnmeasurableError(f"referenceModel: {found}")
    return found


def _needs(cell: Cell, measurement: Measurement, info: ModelInfo) -> Mapping[str, Need]:
    """The need of every role; raises UnmeasurableError where a role has no dataset."""
    table = isinstance(measurement, TableMeasurement)
    roles = measurement.roles if isinstance(measurement, TableMeasurement) else {}
    for role in cell.references:
        if role not in roles:
            known = ", ".join(roles) or "none"
            raise UnmeasurableError(f"references.{role}: no such role; there are {known}")
    for role, meaning in roles.items():
        if role not in cell.references:
            raise UnmeasurableError(f"references.{role}: a dataset is needed: {meaning}")
    needs = measurement.needs(info) if table else {OWN: measurement.need(info)}  # type: ignore[attr-defined]
    for view in (v for n in needs.values() for v in n.views):
        if view.model and info.reference is None:
            raise UnmeasurableError("referenceModel: a model to compare with is needed")
    return needs


def _check_layers(needs: Mapping[str, Need], info: ModelInfo) -> None:
    for view in (v for n in needs.values() if "layers" in n.outputs for v in n.views):
        seen_by = info.reference if view.model else info
        if seen_by is not None and not seen_by.layers:
            raise UnmeasurableError(f"model {seen_by.name} declares no stages")


def _joined(needs: Sequence[Need]) -> Need:
    """One need for all roles that a dataset has."""
    if len(needs) == 1:
        return needs[0]
    rows = [n.rows for n in needs]
    return Need(
        views=tuple(dict.fromkeys(v for n in needs for v in n.views)),
        outputs=frozenset().union(*(n.outputs for n in needs)),
        labels=any(n.labels for n in needs),
        rows=None if None in rows else max(r for r in rows if r is not None),
    )
