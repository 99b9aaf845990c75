"""What a local run shows while it runs: a bar in a terminal, a line per model anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from interplay_api.plan import Plan
from interplay_runner.logs import Log

__all__ = ["Display", "display"]


class Display(Protocol):
    """Shows models one after the other."""

    @contextmanager
    def model(self, number: int, total: int, plan: Plan) -> Iterator[Log]:
        """A log for the run of one model."""
        ...


class _Count:
    """Counts cells as they finish."""

    def __init__(self) -> None:
        self.done = self.failed = 0

    def event(self, event: str, **fields: object) -> None:
        if event == "cell":
            self.done += 1
            self.failed += fields["state"] == "Failed"


class _Lines:
    """One line when a model is done."""

    @contextmanager
    def model(self, number: int, total: int, plan: Plan) -> Iterator[Log]:
        count, start = _Count(), time.monotonic()
        try:
            yield count
        finally:
            good = count.done - count.failed
            took = time.monotonic() - start
            print(
                f"[{number}/{total}] {plan.model.name}: "
                f"{good} of {len(plan.cells)} measurements, {took:.1f} s",
                file=sys.stderr,
                flush=True,
            )


class _BarLog:
    """Moves the bar by shards: a dataset is one unit of it."""

    def __init__(self, progress: Progress, plan: Plan) -> None:
        self.progress, self.name, self.passes = progress, plan.model.name, 0
        self.task = progress.add_task(self.name, total=len(plan.datasets))

    def event(self, event: str, **fields: object) -> None:
        if event == "pass":
            self.passes += 1
        elif event == "shard":
            done, total = cast(int, fields["done"]), cast(int, fields["total"])
            self.progress.update(
                self.task,
                description=f"{self.name}  {fields['dataset']} {done}/{total}",
                completed=self.passes - 1 + done / total,
            )


class _Bar:
    """One bar for the model under way, gone when it is done."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def model(self, number: int, total: int, plan: Plan) -> Iterator[Log]:
        columns = (
            TextColumn(f"[{number}/{total}]", markup=False),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield _BarLog(progress, plan)


def display() -> Display:
    """What suits standard error."""
    console = Console(stderr=True)
    return _Bar(console) if console.is_terminal else _Lines()
