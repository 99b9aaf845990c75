"""`interplay plan`: passes, forwards and what they cost, for every model, before anything runs.

An estimate from declared figures alone: sizes of the datasets, the work that a measurement says it
does by itself, and the multiply-adds of the architecture.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interplay_api.library import ModelSpec
from interplay_api.plan import Plan, PlanDataset, PlanModel
from interplay_api.resolve import Resolution
from interplay_runner.data import open_source
from interplay_runner.errors import RunnerError
from interplay_runner.layout import Layout
from interplay_runner.measurement import COSTS, FreeMeasurement, View
from interplay_runner.passes import Member, Pass, plan_passes, view_name
from interplay_runner.registry import build

from .weightless import Shape, shape_of

__all__ = ["describe"]

MANY = 24
"""Views of one dataset."""


@dataclass
class Cost:
    """A sum over models. own: in forwards, as measurements declare it. macs: multiply-adds."""

    decodes: int = 0
    shared: int = 0
    own: float = 0.0
    macs: float = 0.0
    left_out: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Models whose MACs are not known."""

    def add(self, other: Cost) -> None:
        """Add the cost of another model or pass."""
        self.decodes += other.decodes
        self.shared += other.shared
        self.own += other.own
        self.macs += other.macs
        self.left_out |= other.left_out
        self.unknown |= other.unknown


def describe(resolution: Resolution, rate: float | None = None, root: Path = Path("/")) -> str:
    """One paragraph for all models that share the same passes, and the total.

    rate: forwards a second, for an estimate of the time.
    """
    desk = _Desk(root)
    groups: dict[str, list[str]] = {}
    total = Cost()
    for run in resolution.runs:
        text, cost = desk.forecast(run.spec.plan)
        groups.setdefault(text, []).append(desk.title(run.spec.plan.model))
        total.add(cost)
    lines = []
    for text, models in groups.items():
        lines += [f"{len(models)} x {', '.join(models)}", text]
    return "\n".join([*lines, *_total(len(resolution.runs), total, rate)])


class _Desk:
    """Looks each dataset and each architecture up once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sizes: dict[str, int | None] = {}
        self.shapes: dict[str, Shape] = {}

    def shape(self, model: PlanModel) -> Shape:
        """Equal but for weights and description is the same shape."""
        spec = model.spec.model_copy(update={"checkpoint": None, "description": None})
        key = ModelSpec.model_dump_json(spec)
        if key not in self.shapes:
            self.shapes[key] = shape_of(model)
        return self.shapes[key]

    def title(self, model: PlanModel) -> str:
        """The model's name and, where it is known, what one forward costs."""
        macs = self.shape(model).macs
        return model.name if macs is None else f"{model.name} ({_scaled(macs)}MAC)"

    def size(self, dataset: PlanDataset) -> int | None:
        """How many samples, where the data is on this machine or its size is declared."""
        if dataset.name not in self.sizes:
            self.sizes[dataset.name] = _size(dataset, self.root)
        return self.sizes[dataset.name]

    def forecast(self, plan: Plan) -> tuple[str, Cost]:
        """The text of one plan, and its cost."""
        shapes = {"": self.shape(plan.model)} | {m.name: self.shape(m) for m in plan.models}
        infos = {name: s.info for name, s in shapes.items()}
        passes = plan_passes(plan, infos.pop(""), build, infos)
        lines: list[str] = []
        cost = Cost()
        for pass_ in passes.passes:
            n = self.size(pass_.dataset)
            known = n if n is None else min(n, plan.run.limit or n)
            lines += _pass_lines(pass_, known, plan.run.batch_size)
            cost.add(_cost(pass_, known, shapes))
        for index, reason in passes.failures.items():
            cell = plan.cells[index]
            lines.append(f"  cannot run: {cell.measurement} on {cell.dataset}: {reason}")
        return "\n".join(lines), cost


def _cost(pass_: Pass, n: int | None, shapes: dict[str, Shape]) -> Cost:
    """What one pass adds."""
    cost = Cost()
    if n is None:
        cost.left_out.add(f"dataset {pass_.dataset.name} (size unknown)")
        return cost
    forwards: dict[str, float] = defaultdict(float)
    for view in pass_.views:
        forwards[view.model] += n
    cost.shared = n * len(pass_.views)
    cost.decodes = n if pass_.decodes else 0
    for member in _own(pass_):
        declared = member.measurement.forwards(member.info)
        if declared is None:
            cost.left_out.add(f"{member.cell.measurement} (its own forwards are not declared)")
        else:
            cost.own += n * declared
            forwards[""] += n * declared
        if isinstance(member.measurement, FreeMeasurement):
            cost.left_out.add(f"what {member.cell.measurement} decodes by itself")
    for name, count in forwards.items():
        macs = shapes[name].macs
        if macs is None:
            cost.unknown.add(shapes[name].info.name)
        else:
            cost.macs += count * macs
    return cost


def _own(pass_: Pass) -> list[Member]:
    """The members that are measured on the dataset of this pass; others only refer to it."""
    return [m for m in pass_.members if m.cell.dataset == pass_.dataset.name]


def _pass_lines(pass_: Pass, n: int | None, batch_size: int) -> list[str]:
    dataset, views = pass_.dataset, pass_.views
    lines = []
    if pass_.decodes:
        lines.append(f"  {dataset.name} ({dataset.spec.split}): {_work(n, len(views), batch_size)}")
        lines.append(f"    views: {', '.join(_names(views))}")
    else:
        lines.append(f"  {dataset.name} ({dataset.spec.split}): no shared pass")
    by_class: dict[str, list[str]] = defaultdict(list)
    for member in pass_.members:
        by_class[member.measurement.cost].append(_named(member, dataset.name))
    order = sorted(by_class, key=_rank)
    return [*lines, *(f"    {c}: {', '.join(by_class[c])}" for c in order)]


def _rank(cost: str) -> list[int]:
    """Cost classes from nothing to most; a user's own letters come last."""
    known = [*COSTS]
    return [known.index(c) if c in known else len(known) for c in cost.split("+")]


def _names(views: Sequence[View]) -> Iterable[str]:
    """Each by its name, or how many there are of each operation where nobody would read them."""
    if len(views) <= MANY:
        return [view_name(v) for v in views]
    counts = Counter(v.op + (f" by {v.model}" if v.model else "") for v in views)
    return [op if count == 1 else f"{count} x {op}" for op, count in counts.items()]


def _work(n: int | None, views: int, batch_size: int) -> str:
    if n is None:
        return f"size unknown; one decode and {views} forwards per sample"
    batches = len(list(Layout(n, batch_size).batches(range(n))))
    return (
        f"{n:,} decodes, {n:,} x {views} views = {n * views:,} forwards "
        f"in batches of {batch_size}, {batches} per view"
    )


def _named(member: Member, dataset: str) -> str:
    """A measurement, and what it does here beside reading the shared pass."""
    cell = member.cell
    roles = [role for role, name in cell.references.items() if name == dataset]
    notes = [f"as {' and '.join(roles)}"] if roles else []
    if cell.dataset == dataset:
        declared = member.measurement.forwards(member.info)
        if declared is None:
            notes.append("own forwards not declared")
        elif declared:
            notes.append(f"+{declared:,.4g} forward{'s' * (declared != 1)} per image")
        if isinstance(member.measurement, FreeMeasurement):
            notes.append("reads the data itself")
    return cell.measurement + (f" ({', '.join(notes)})" if notes else "")


def _total(models: int, cost: Cost, rate: float | None) -> Iterable[str]:
    forwards = cost.shared + cost.own
    own = f" and {cost.own:,.0f} of measurements' own" if cost.own else ""
    macs = f", {_scaled(cost.macs)}MAC" if cost.macs else ""
    yield (
        f"total: {models} models, {cost.decodes:,} decodes, "
        f"{cost.shared:,} shared forwards{own}{macs}"
    )
    if rate is not None:
        yield f"  at {rate:,g} forwards a second: {_duration(forwards / rate)} of forwards"
    if cost.unknown:
        names = sorted(cost.unknown)
        some = ", ".join(names) if len(names) <= 3 else f"{len(names)} models"
        yield f"  without the MACs of {some}: they are not known before these are loaded"
    if cost.left_out:
        yield f"  without {', '.join(sorted(cost.left_out))}"


def _scaled(count: float) -> str:
    """`4.09 G`: three digits and the SI prefix, ready for a unit."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 0.9995 * 10**power:
            return f"{count / 10**power:.3g} {prefix}"
    return f"{count:.3g} "


def _duration(seconds: float) -> str:
    """`2 h 5 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 59.95:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def _size(dataset: PlanDataset, root: Path) -> int | None:
    if dataset.spec.size is not None:
        return dataset.spec.size
    try:
        return len(open_source(dataset, root).ids)
    except RunnerError:
        return None
