"""Run plans in this process, one model after the other: the same plans that pods would get."""

from __future__ import annotations

from pathlib import Path

from interplay_api.plan import Plan
from interplay_api.report import encode_report, parse_report
from interplay_api.resolve import Resolution
from interplay_api.results import cell_statuses, model_result
from interplay_runner.errors import one_line
from interplay_runner.logs import Log
from interplay_runner.run import run_plan
from interplay_runner.stop import Stop

from .outcome import Outcome
from .progress import Display

__all__ = ["run_locally"]


def run_locally(
    resolution: Resolution, display: Display, stop: Stop, output: Path | None = None
) -> Outcome:
    """Measure every model; one that fails leaves the others' numbers alone."""
    outcome = Outcome()
    total = len(resolution.runs)
    for number, run in enumerate(resolution.runs, 1):
        plan = run.spec.plan
        folder = output / run.name if output else None
        with display.model(number, total, plan) as log:
            try:
                _measure(plan, folder, log, stop, outcome)
            except Exception as error:
                outcome.failed[plan.model.name] = one_line(error)
    return outcome


def _measure(plan: Plan, folder: Path | None, log: Log, stop: Stop, outcome: Outcome) -> None:
    report = run_plan(plan, folder, log=log, stop=stop)
    # Through the wire form and back, so that the digits are those of a pod's report.
    cells = cell_statuses(plan, parse_report(encode_report(report)))
    outcome.results.append(model_result(plan.model.name, cells))
    outcome.failed_cells += [
        f"{plan.model.name}: {c.measurement} on {c.dataset}: {c.reason}"
        for c in cells
        if c.state == "Failed"
    ]
