"""`interplay plan`: passes, views, forwards and decodes of every model, before anything runs."""

from __future__ import annotations

from pathlib import Path

from interplay_api.plan import Plan, PlanDataset
from interplay_api.resolve import Resolution
from interplay_runner.data import open_source
from interplay_runner.errors import RunnerError
from interplay_runner.layout import Layout
from interplay_runner.measurement import ModelInfo
from interplay_runner.passes import Pass, plan_passes, view_name
from interplay_runner.registry import build

__all__ = ["describe"]


def describe(resolution: Resolution, root: Path = Path("/")) -> str:
    """One paragraph for all models that share the same passes."""
    groups: dict[str, list[str]] = {}
    forwards = decodes = 0
    sizes: dict[str, int | None] = {}
    for run in resolution.runs:
        text, cost = _forecast(run.spec.plan, sizes, root)
        groups.setdefault(text, []).append(run.spec.model)
        forwards, decodes = forwards + cost[0], decodes + cost[1]
    lines = []
    for text, models in groups.items():
        lines += [f"{len(models)} x {', '.join(models)}", text]
    known = "" if all(sizes.values()) else ", without the datasets of unknown size"
    lines.append(
        f"total: {len(resolution.runs)} models, {decodes:,} decodes, "
        f"{forwards:,} shared forwards{known}"
    )
    return "\n".join(lines)


def _forecast(plan: Plan, sizes: dict[str, int | None], root: Path) -> tuple[str, tuple[int, int]]:
    """The text of one plan and its (forwards, decodes)."""
    passes = plan_passes(plan, _nominal(plan), build)
    lines: list[str] = []
    forwards = decodes = 0
    for pass_ in passes.passes:
        dataset = pass_.dataset
        if dataset.name not in sizes:
            sizes[dataset.name] = _size(dataset, root)
        n = min(sizes[dataset.name] or 0, plan.run.limit or 10**12)
        lines += _pass_lines(pass_, n, plan.run.batch_size)
        if pass_.decodes:
            decodes, forwards = decodes + n, forwards + n * len(pass_.views)
    for index, reason in passes.failures.items():
        cell = plan.cells[index]
        lines.append(f"  cannot run: {cell.measurement} on {cell.dataset}: {reason}")
    return "\n".join(lines), (forwards, decodes)


def _pass_lines(pass_: Pass, n: int, batch_size: int) -> list[str]:
    dataset, views = pass_.dataset, pass_.views
    lines = []
    if pass_.decodes:
        layout = Layout(n, batch_size)
        batches = len(list(layout.batches(range(n))))
        cost = (
            f"{n:,} decodes, {n:,} x {len(views)} views = {n * len(views):,} forwards "
            f"in batches of {batch_size}, {batches} per view"
            if n
            else f"size unknown; one decode and {len(views)} forwards per sample"
        )
        lines.append(f"  {dataset.name} ({dataset.spec.split}): {cost}")
        lines.append(f"    views: {', '.join(view_name(v) for v in views)}")
    else:
        lines.append(f"  {dataset.name} ({dataset.spec.split}): no shared pass")
    names = ", ".join(m.cell.measurement for m in pass_.members)
    lines.append(f"    measurements: {names}")
    if pass_.own_work:
        own = ", ".join(m.cell.measurement for m in pass_.own_work)
        lines.append(f"    with forwards of their own beside these: {own}")
    return lines


def _size(dataset: PlanDataset, root: Path) -> int | None:
    """How many samples, where the data is on this machine or its size is declared."""
    if dataset.spec.size is not None:
        return dataset.spec.size
    try:
        return len(open_source(dataset, root).ids)
    except RunnerError:
        return None


def _nominal(plan: Plan) -> ModelInfo:
    """Stands in for a model that is not loaded: what a cell needs hardly ever depends on it."""
    classes = plan.model.spec.num_classes or 1000
    return ModelInfo(plan.model.name, classes, 512, (3, 224, 224), 0)
