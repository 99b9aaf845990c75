"""ModelRuns -> the status of their Evaluation: counts, conditions and the table of numbers. Pure.

Complete and Failed follow an Indexed Job: Complete=True when every model has numbers, Failed=True
when all models ended and at least one has none. Both are final for a generation. The good models'
numbers are there either way, and a failed measurement fails neither its model nor the Evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interplay_api.constants import MAX_STATUS_RESULT_BYTES
from interplay_api.evaluation import (
    Condition,
    EvaluationStatus,
    ModelCounts,
    ModelResult,
)
from interplay_api.resolve import Problem
from interplay_api.results import model_result

from .conditions import after, condition, stamp, with_conditions
from .policy import Policy
from .reasons import EvaluationCondition as Type
from .reasons import EvaluationReason as Reason
from .reasons import RunReason
from .records import EvaluationRecord, RunRecord

__all__ = ["Fold", "fold", "mark_library", "refuse", "unresolved"]

NAMED = 3
"""How many models a message names; the rest is a number."""


@dataclass(frozen=True, slots=True)
class Fold:
    """An Evaluation and what its frozen plan became."""

    evaluation: EvaluationRecord
    suspend: bool
    plan: Sequence[str]
    library_digest: str
    runs: Mapping[str, RunRecord]
    """By the ending of their names."""
    lost: frozenset[str]
    """Of the plan: deleted, and the library cannot make them again."""
    library_changed: bool
    now: datetime


def fold(view: Fold) -> EvaluationStatus:
    """The status of an Evaluation that has a plan."""
    old = view.evaluation.status
    runs = [view.runs[p] for p in view.plan if p in view.runs]
    counts = _counts(view, runs)
    over = counts.succeeded + counts.failed == counts.total
    results, dropped = _results(runs)
    conditions = [*_conditions(view, runs, counts, over)]
    if view.library_changed:
        conditions.append(_library_condition())
    if dropped:
        text = f"the numbers may have {dropped} bytes; see the ModelRuns"
        conditions.append(condition(Type.RESULTS_DROPPED, True, Reason.TOO_LARGE, text))
    generation = view.evaluation.meta.generation
    return EvaluationStatus(
        observed_generation=generation,
        conditions=with_conditions(old.conditions, conditions, generation, view.now),
        models=counts,
        progress_percent=100 * (counts.succeeded + counts.failed) // max(counts.total, 1),
        summary=f"{counts.succeeded + counts.failed}/{counts.total}",
        start_time=min((r.started for r in runs if r.started), default=None),
        completion_time=max((r.ended for r in runs), default=stamp(view.now)) if over else None,
        results=results,
        plan=list(view.plan),
        spec_digest=view.evaluation.wanted,
        library_digest=view.library_digest,
    )


def _counts(view: Fold, runs: Sequence[RunRecord]) -> ModelCounts:
    succeeded = sum(r.complete for r in runs)
    failed = sum(r.failed for r in runs) + len(view.lost)
    running = sum(r.live for r in runs)
    return ModelCounts(
        total=len(view.plan),
        pending=len(view.plan) - succeeded - failed - running,
        running=running,
        succeeded=succeeded,
        failed=failed,
        reused=sum(r.reused for r in runs),
    )


def _conditions(
    view: Fold, runs: Sequence[RunRecord], counts: ModelCounts, over: bool
) -> list[Condition]:
    bad = [r for r in runs if r.failed]
    deadline = any(r.reason == RunReason.DEADLINE for r in bad)
    failure = Reason.DEADLINE_EXCEEDED if deadline else Reason.MODELS_FAILED
    words = _failures(view, bad, counts)
    complete, failed = over and not counts.failed, over and bool(counts.failed)
    suspended = view.suspend and not over
    if over:
        progress = condition(Type.PROGRESSING, False, Reason.FINISHED, words)
    elif suspended:
        progress = condition(Type.PROGRESSING, False, Reason.SUSPENDED, words)
    else:
        text = "; ".join(filter(None, [_waiting(runs), words]))
        progress = condition(Type.PROGRESSING, True, Reason.RUNNING, text)
    partly = [r.model for r in runs if r.complete and r.reason == RunReason.SOME_FAILED]
    note = f"some measurements failed: {_some(partly)}" if partly else ""
    return [
        condition(
            Type.COMPLETE,
            complete,
            Reason.ALL_SUCCEEDED if complete else failure if failed else Reason.RUNNING,
            note if complete else "",
        ),
        condition(
            Type.FAILED,
            failed,
            failure if failed else Reason.FINISHED if over else Reason.RUNNING,
            words if failed else "",
        ),
        _suspended(suspended),
        progress,
    ]


def _suspended(on: bool) -> Condition:
    return condition(Type.SUSPENDED, on, Reason.SUSPENDED if on else Reason.NOT_SUSPENDED)


def _failures(view: Fold, bad: Sequence[RunRecord], counts: ModelCounts) -> str:
    if not counts.failed:
        return ""
    said = [f"{r.model}: {r.reason}" + (f": {r.message}" if r.message else "") for r in bad]
    said += [f"ModelRun {p} was deleted and the library has changed" for p in sorted(view.lost)]
    return f"{counts.failed} of {counts.total} models failed: {_some(said, '; ')}"


def _waiting(runs: Sequence[RunRecord]) -> str:
    usual = ("", RunReason.STARTING, RunReason.QUEUED, RunReason.SUSPENDED)
    stuck = [
        f"{r.model}: {r.reason}: {r.message}" for r in runs if r.live and r.reason not in usual
    ]
    return f"{len(stuck)} waiting: {_some(stuck, '; ')}" if stuck else ""


def _some(texts: Sequence[str], between: str = ", ") -> str:
    more = f"{between}{len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return between.join(t[:300] for t in texts[:NAMED]) + more


def _results(runs: Sequence[RunRecord]) -> tuple[list[ModelResult], int]:
    """The table in the order of the plan, or nothing and its size where it is too large."""
    done = [r for r in runs if r.complete]
    size = sum(r.row_bytes for r in done)
    if size > MAX_STATUS_RESULT_BYTES:
        return [], size
    return [model_result(r.model, r.status.cells) for r in done], 0


def _library_condition() -> Condition:
    text = "the library or the runner image has changed since this was planned; it stays as it is"
    return condition(Type.LIBRARY_CHANGED, True, Reason.LIBRARY_CHANGED, text)


def mark_library(view: EvaluationRecord, changed: bool, now: datetime) -> EvaluationStatus:
    """A final status, of which only this one condition may still change."""
    old = view.status
    kept = [c for c in old.conditions if c.type != Type.LIBRARY_CHANGED]
    mark = [_library_condition()] if changed else []
    stamped = with_conditions(old.conditions, mark, view.meta.generation, now)
    return old.model_copy(update={"conditions": [*kept, *stamped]})


def refuse(view: EvaluationRecord, message: str, now: datetime) -> EvaluationStatus:
    """A spec that no waiting can heal."""
    return _unplanned(view, True, Reason.INVALID_SPEC, message, None, now)


def unresolved(
    view: EvaluationRecord, policy: Policy, problems: Sequence[Problem], now: datetime
) -> EvaluationStatus:
    """Names that mean nothing yet: somebody may still apply them, until the start deadline."""
    old = view.status
    same = old.observed_generation == view.meta.generation
    since = (old.unresolved_since if same else None) or stamp(now)
    deadline = after(since, policy.start_deadline_seconds)
    late = deadline is not None and now >= deadline
    text = "; ".join(str(p) for p in problems)
    return _unplanned(view, late, Reason.UNRESOLVED, text, since, now)


def _unplanned(
    view: EvaluationRecord,
    failed: bool,
    reason: str,
    message: str,
    since: str | None,
    now: datetime,
) -> EvaluationStatus:
    conditions = [
        condition(Type.COMPLETE, False, reason),
        condition(Type.FAILED, failed, reason, message if failed else ""),
        _suspended(False),
        condition(Type.PROGRESSING, False, reason, message),
    ]
    generation = view.meta.generation
    return EvaluationStatus(
        observed_generation=generation,
        conditions=with_conditions(view.status.conditions, conditions, generation, now),
        unresolved_since=since,
        completion_time=stamp(now) if failed else None,
    )
