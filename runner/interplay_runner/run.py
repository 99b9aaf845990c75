"""Run a plan: model, data, passes, report. The same in a pod and without a cluster."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from interplay_api.names import digest
from interplay_api.plan import Plan
from interplay_api.report import CellResult, Provenance, Report

from . import outputs
from .columns import sort_by_id
from .conclude import conclude
from .data import Source, open_source
from .errors import DataError, ModelError, UnsafeCheckpointError, one_line
from .execute import Clock, PassRun
from .layout import sample_order
from .logs import Log, SilentLog
from .measurement import ModelInfo
from .models import LoadedModel, load_model
from .passes import Pass, plan_passes
from .registry import build
from .reporting import failed, without_collisions
from .resume import check_resumed
from .settings import pinned
from .state import Checkpoint, CheckpointError, Progress
from .stop import Stop, Stopped

__all__ = ["Identity", "run_plan"]

SAVE_SECONDS = 30.0
LIBRARIES = ("interplay", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which attempt in a cluster this is; empty without one."""

    modelrun_uid: str = ""
    pod_uid: str = ""
    attempt: int = 0


def run_plan(
    plan: Plan,
    output: Path | None = None,
    *,
    identity: Identity = Identity(),
    log: Log | None = None,
    stop: Stop | None = None,
    root: Path = Path("/"),
) -> Report:
    """Measure one model.

    With `output` the report, per-sample records and a checkpoint lie there, and a run that was
    stopped goes on where it was. Raises RunnerError where no cell can be measured, and Stopped,
    with the checkpoint saved, after `stop` was asked for. `root` is where paths of data begin.
    """
    with pinned(plan.run):
        run = _Run(plan, output, log or SilentLog(), stop or Stop(), root)
        return run.report(identity)


class _Run:
    def __init__(self, plan: Plan, output: Path | None, log: Log, stop: Stop, root: Path) -> None:
        self.plan, self.output, self.log, self.stop = plan, output, log, stop
        self.clock, self.start = Clock(), time.perf_counter()
        if output is not None:
            # A folder that cannot be made is known before hours of work, not after.
            output.mkdir(parents=True, exist_ok=True)
        with self.clock("load"):
            self.sources = {d.name: _open(d.name, open_source(d, root)) for d in plan.datasets}
            self.model = load_model(plan.model, plan.run.device, plan.run.precision)
            self.references, known = self._load_references()
        log.event(
            "model",
            model=plan.model.name,
            device=_device(self.model),
            weights=self.model.weights_sha256,
            seconds=round(self.clock.seconds["load"], 3),
        )
        self.passes = plan_passes(plan, self.model.network.info, build, known)
        self.saver = _Saver(self._checkpoint(), log)

    def _load_references(self) -> tuple[dict[str, LoadedModel], dict[str, ModelInfo | str]]:
        """The models to compare with, and what is known of each, or why it cannot be had.

        The latter fails only the cells that name it.
        """
        found: dict[str, LoadedModel] = {}
        known: dict[str, ModelInfo | str] = {}
        for item in self.plan.models:
            try:
                model = load_model(item, self.plan.run.device, self.plan.run.precision)
            except (ModelError, UnsafeCheckpointError) as error:
                known[item.name] = one_line(error)
                self.log.event("reference", model=item.name, reason=known[item.name])
            else:
                found[item.name], known[item.name] = model, model.network.info
        return found, known

    def report(self, identity: Identity) -> Report:
        progress = self._resume()
        for index, reason in self.passes.failures.items():
            self._finished(progress, index, failed(reason))
        runs = {p.dataset.name: self._pass_run(p, progress) for p in self.passes.passes}
        try:
            for run in runs.values():
                self._pass(run, runs, progress)
        except Stopped:
            self.saver.save(progress)
            raise
        cells = [progress.results[i] for i in range(len(self.plan.cells))]
        report = Report(
            plan_digest=self.plan.digest(),
            modelrun_uid=identity.modelrun_uid,
            pod_uid=identity.pod_uid,
            attempt=identity.attempt,
            cells=without_collisions(self.plan, cells),
            provenance=self._provenance(progress),
        )
        if self.output is not None:
            outputs.write_report(self.output, report)
        self.saver.remove()
        return report

    def _pass(self, run: PassRun, runs: Mapping[str, PassRun], progress: Progress) -> None:
        pass_, name = run.pass_, run.pass_.dataset.name
        current = progress.dataset == name
        over = name in progress.done or all(m.index in progress.results for m in pass_.members)
        if over and not current:
            return
        if not current:
            progress.begin(name)
        self.log.event(
            "pass",
            dataset=name,
            samples=run.layout.n,
            views=len(pass_.views),
            measurements=len(pass_.members),
        )
        try:
            for done, total in run.shards():
                self.log.event("shard", dataset=name, done=done, total=total)
                self.saver.save_if_due(progress)
            for member, result in conclude(run, runs):
                self._finished(progress, member.index, result)
                self.saver.save_if_due(progress)
        except DataError as error:
            raise DataError(f"dataset {name}: {error}") from error
        if self.output is not None and pass_.decodes:
            columns = sort_by_id(run.ids, progress.rows.columns)
            outputs.write_records(self.output, pass_.dataset, columns)
        progress.end(keep=not pass_.waiting <= progress.results.keys())

    def _pass_run(self, pass_: Pass, progress: Progress) -> PassRun:
        return PassRun(
            pass_,
            self.model,
            self.references,
            self.sources[pass_.dataset.name],
            self.plan.run,
            progress,
            self.stop,
            self.clock,
        )

    def _finished(self, progress: Progress, index: int, result: CellResult) -> None:
        progress.results[index] = result
        cell = self.plan.cells[index]
        fields = {"reason": result.reason} if result.reason else {}
        self.log.event(
            "cell",
            measurement=cell.measurement,
            dataset=cell.dataset,
            state=result.state,
            values=len(result.values),
            **fields,
        )

    def _checkpoint(self) -> Checkpoint | None:
        """Its identity is all that must be equal for the same numbers to come out."""
        if self.output is None:
            return None
        run = self.plan.run
        orders = {
            name: [source.ids[i] for i in sample_order(source.ids, run.seed, run.limit)]
            for name, source in self.sources.items()
        }
        key = [
            self.plan.digest(),
            self.model.weights_sha256,
            {name: m.weights_sha256 for name, m in self.references.items()},
            _device(self.model),
            _versions(),
            digest(orders),
        ]
        return Checkpoint(self.output / outputs.CHECKPOINT, digest(key))

    def _resume(self) -> Progress:
        progress = self.saver.load()
        if progress is None:
            return Progress()
        try:
            if not set(progress.results) <= set(range(len(self.plan.cells))):
                raise CheckpointError("it has results of cells that are not in the plan")
            names = {p.dataset.name for p in self.passes.passes}
            if not progress.done.keys() <= names:
                raise CheckpointError("it has rows of datasets that are not in the plan")
            for pass_ in self.passes.passes:
                check_resumed(self._pass_run(pass_, progress))
        except CheckpointError as error:
            self.log.event("checkpoint", action="refused", reason=str(error))
            return Progress()
        self.log.event("checkpoint", action="resumed", shards=progress.shards)
        return progress

    def _provenance(self, progress: Progress) -> Provenance:
        total = time.perf_counter() - self.start
        return Provenance(
            versions=_versions(),
            device=_device(self.model),
            weights_sha256=self.model.weights_sha256,
            seconds={k: round(v, 3) for k, v in {**self.clock.seconds, "total": total}.items()},
            forwards=progress.forwards,
        )


class _Saver:
    """Saves a checkpoint when 30 s have gone by since the last one; losing it loses no run."""

    def __init__(self, checkpoint: Checkpoint | None, log: Log) -> None:
        self.checkpoint, self.log = checkpoint, log
        self.last = time.monotonic()

    def load(self) -> Progress | None:
        if self.checkpoint is None:
            return None
        try:
            return self.checkpoint.load()
        except CheckpointError as error:
            self.log.event("checkpoint", action="refused", reason=str(error))
            return None

    def save_if_due(self, progress: Progress) -> None:
        if time.monotonic() - self.last >= SAVE_SECONDS:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.save(progress)
        except OSError as error:
            # A full disk must not end a run that needs no disk.
            self.log.event("checkpoint", action="failed", reason=str(error))
        else:
            self.log.event("checkpoint", action="saved", shards=progress.shards)
        self.last = time.monotonic()

    def remove(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.remove()


def _open(name: str, source: Source) -> Source:
    if not source.ids:
        raise DataError(f"dataset {name}: it has no samples")
    return source


def _device(model: LoadedModel) -> str:
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    return f"{model.device.type} {platform.machine()}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
