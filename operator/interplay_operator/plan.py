"""Evaluation -> its frozen plan: which ModelRuns it has, and which of the existing ones go.

A plan is made once for what it follows from (models, measurements, mode, overrides, outputs).
Policies may change, and so may the library and the chart, without anything running again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interplay_api.catalog import Catalog
from interplay_api.constants import (
    ANNOTATION_GENERATION,
    API_VERSION,
    DATA_ROOT,
    LABEL_EVALUATION_UID,
    LABEL_MANAGED,
    MANAGED_BY,
    OUTPUT_ROOT,
    PLAN_PATH,
)
from interplay_api.evaluation import EvaluationSpec
from interplay_api.keys import is_pinned
from interplay_api.modelrun import ModelRunSpec
from interplay_api.names import digest
from interplay_api.plan import Cell
from interplay_api.resolve import Problem, ResolvedRun, ResolveError, resolve

from .records import Meta, RunRecord

__all__ = [
    "Draft",
    "claims",
    "draft",
    "ending",
    "is_genuine",
    "modelrun_manifest",
    "reusable_keys",
    "startable",
    "superseded",
]

RESERVED = (posixpath.dirname(PLAN_PATH), OUTPUT_ROOT, "/tmp", "/dev", "/proc", "/sys", "/etc")


@dataclass(frozen=True, slots=True)
class Draft:
    """What an Evaluation would be with today's library."""

    runs: tuple[ResolvedRun, ...]

    @property
    def plan(self) -> tuple[str, ...]:
        """How the names of its ModelRuns end."""
        return tuple(ending(r.name) for r in self.runs)


def ending(name: str) -> str:
    """The part of a ModelRun's name that says which one of its Evaluation it is."""
    return name[-8:]


def is_genuine(run: RunRecord) -> bool:
    """Whether the name is of this spec, as a plan names it; a forged spec has another digest."""
    return ending(run.meta.name) == digest(run.packed_spec.unpack())[:8]


def draft(
    name: str, namespace: str, spec: EvaluationSpec, catalog: Catalog, modes: Catalog, image: str
) -> Draft:
    """Resolve; raises ResolveError with every problem, those that only a cluster has included."""
    runs = resolve(name, namespace, spec, catalog, image=image, modes=modes).runs
    problems = dict.fromkeys(p for r in runs for p in _mount_problems(r.spec, spec.mode))
    names: dict[str, str] = {}
    for run in runs:
        other = names.setdefault(ending(run.name), run.name)
        if other != run.name:
            problems[Problem("spec.models", f"{other} and {run.name} end alike")] = None
    if problems:
        raise ResolveError(list(problems))
    return Draft(runs)


def _mount_problems(spec: ModelRunSpec, mode: str) -> Iterable[Problem]:
    """Mounts that would hide what the pod needs, or climb out of where they belong."""
    taken: dict[str, tuple[str, str | None]] = {}
    for volume in spec.pod.volumes:
        path = volume.mount_path
        taken[path] = (volume.claim_name, None)
        if posixpath.normpath(path) != path or _is_below(path, RESERVED):
            yield Problem(
                "spec.mode", f"Mode {mode}: volume {volume.name}: mountPath {path} is reserved"
            )
    for dataset in spec.plan.datasets:
        folder = dataset.spec.mounted
        if folder is None or folder.claim_name is None:
            continue
        field = "spec.measurements"
        path, inside = folder.path, folder.sub_path or "."
        if posixpath.normpath(path) != path or not path.startswith(f"{DATA_ROOT}/"):
            yield Problem(field, f"Dataset {dataset.name}: path {path} is not below {DATA_ROOT}")
        if posixpath.isabs(inside) or ".." in inside.split("/"):
            yield Problem(field, f"Dataset {dataset.name}: subPath {inside} leaves its claim")
        source = (folder.claim_name, folder.sub_path)
        if taken.setdefault(path, source) != source:
            yield Problem(field, f"Dataset {dataset.name}: another volume is mounted at {path}")


def _is_below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def modelrun_manifest(evaluation: Meta, run: ResolvedRun) -> dict[str, Any]:
    """The ModelRun; its spec is never changed, its status is written by its own reconciler."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRun",
        "metadata": {
            "name": run.name,
            "namespace": evaluation.namespace,
            "labels": {LABEL_MANAGED: MANAGED_BY, LABEL_EVALUATION_UID: evaluation.uid},
            "annotations": {ANNOTATION_GENERATION: str(evaluation.generation)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "Evaluation",
                    "name": evaluation.name,
                    "uid": evaluation.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": run.spec.wire(),
    }


def claims(runs: Sequence[ResolvedRun]) -> dict[str, str]:
    """Claims that the user names and the Mode does not list: claim -> field of the Evaluation."""
    found: dict[str, str] = {}
    for run in runs[:1]:
        listed = {v.claim_name for v in run.spec.pod.volumes}
        if run.spec.outputs_claim:
            found[run.spec.outputs_claim] = "spec.outputs.claimName"
        for dataset in run.spec.plan.datasets:
            folder = dataset.spec.mounted
            if folder and folder.claim_name:
                found.setdefault(folder.claim_name, "spec.measurements")
        found = {claim: field for claim, field in found.items() if claim not in listed}
    return found


def startable(plan: Sequence[str], runs: Mapping[str, RunRecord], parallelism: int) -> list[str]:
    """The endings of the ModelRuns that may start now, in the order of the plan.

    The answer depends on the order alone, so two ModelRuns reconciled at the same moment cannot
    both take the last slot.
    """
    free = parallelism - sum(runs[p].live for p in plan if p in runs)
    waiting = [p for p in plan if p in runs and not runs[p].attempt and not runs[p].finished]
    return waiting[: max(free, 0)]


def superseded(
    plan: Iterable[str], runs: Iterable[RunRecord], generation: int, reuse: bool
) -> list[RunRecord]:
    """ModelRuns that are not in the plan and that nobody will copy from any more.

    One that a later generation made is not ours to judge: our view is old.
    """
    current = set(plan)
    every = list(runs)
    old = [
        r
        for r in every
        if ending(r.meta.name) not in current
        and r.evaluation_generation <= generation
        and not r.meta.deleting
    ]
    wanted: set[str] = set()
    if old and reuse:
        for run in every:
            if ending(run.meta.name) in current and not run.attempt and not run.finished:
                wanted |= reusable_keys(run.spec) - run.done_keys
    return [r for r in old if not wanted & r.done_keys]


def reusable_keys(spec: ModelRunSpec) -> set[str]:
    """Content keys of the cells that stand for one content for ever."""
    plan, image = spec.plan, spec.pod.image or ""
    datasets = {d.name: d.spec for d in plan.datasets}
    others = {m.name: m.spec for m in plan.models}

    def pinned(cell: Cell) -> bool:
        models = [plan.model.spec]
        if cell.reference_model is not None:
            models.append(others[cell.reference_model])
        return is_pinned(models, [datasets[d] for d in cell.datasets.values()], image)

    return {c.key for c in plan.cells if c.repeatable and pinned(c)}
