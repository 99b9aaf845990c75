"""A pod's report, believed or refused: what a pod says is hostile until it passed here. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from interplay_api.constants import MAX_RUN_STATUS_BYTES
from interplay_api.modelrun import CellStatus, ModelRunSpec
from interplay_api.names import canonical_json
from interplay_api.plan import Plan
from interplay_api.report import (
    Provenance,
    Report,
    ReportError,
    decode_log,
    decode_termination,
    parse_report,
)
from interplay_api.results import cell_statuses

__all__ = ["Expected", "Taken", "in_log", "missing_plan", "take"]

TRUNCATED = re.compile(r"interplay-report/1 ([0-9a-f]{64})( |$)")


@dataclass(frozen=True, slots=True)
class Expected:
    """Who is allowed to report what."""

    run_uid: str
    pod_uid: str
    attempt: int
    plan: Plan
    """Of this attempt."""
    spec: ModelRunSpec
    """With the full plan."""
    copied: tuple[CellStatus, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A believed report."""

    sha256: str
    cells: tuple[CellStatus, ...]
    """All cells of the full plan in its order, copied ones included."""
    provenance: Provenance


def missing_plan(plan: Plan, held: Sequence[CellStatus]) -> Plan:
    """The plan without the cells whose numbers are here already."""
    have = {(c.measurement, c.dataset, c.key) for c in held}
    cells = [c for c in plan.cells if (c.measurement, c.dataset, c.key) not in have]
    if len(cells) == len(plan.cells):
        return plan
    used = {d for c in cells for d in c.datasets.values()}
    others = {c.reference_model for c in cells}
    return plan.model_copy(
        update={
            "cells": cells,
            "datasets": [d for d in plan.datasets if d.name in used],
            "models": [m for m in plan.models if m.name in others],
        }
    )


def in_log(message: str) -> str:
    """Digest of the report to look for in the log: it did not fit, or the message was cut.

    Empty where the message holds the whole report, or none at all.
    """
    try:
        sha, data = decode_termination(message)
    except ReportError:
        cut = TRUNCATED.match(message.strip())
        return cut[1] if cut else ""
    return sha if data is None else ""


def take(expected: Expected, message: str, log: str | None) -> Taken:
    """The report of a pod that succeeded. Raises ReportError with one line for people."""
    sha = in_log(message)
    if sha:
        data = decode_log((log or "").splitlines(), sha)
    else:
        sha, found = decode_termination(message)
        assert found is not None
        data = found
    report = parse_report(data)
    _check_sender(expected, report)
    fresh = {(c.measurement, c.dataset): c for c in cell_statuses(expected.plan, report)}
    fresh |= {(c.measurement, c.dataset): c for c in expected.copied}
    cells = tuple(fresh[c.measurement, c.dataset] for c in expected.spec.plan.cells)
    keys = [v.key for c in cells for v in c.values]
    if len(keys) != len(set(keys)):
        raise ReportError("report: a value is called like one that was copied")
    size = len(canonical_json([c.wire() for c in cells]))
    if size > MAX_RUN_STATUS_BYTES:
        raise ReportError(f"report: {size} bytes are more than a status may hold")
    return Taken(sha, cells, report.provenance)


def _check_sender(expected: Expected, report: Report) -> None:
    if report.modelrun_uid != expected.run_uid:
        raise ReportError("report: modelrunUid: it is of another ModelRun")
    if report.pod_uid != expected.pod_uid:
        raise ReportError("report: podUid: it is of another pod")
    if report.attempt != expected.attempt:
        raise ReportError(f"report: attempt: {report.attempt} is not {expected.attempt}")
