"""What is known about a ModelRun, and what a decision about it can be. Pure types and statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from interplay_api.modelrun import CellStatus, ModelRunSpec, ModelRunStatus

from .conditions import condition, stamp, with_conditions
from .policy import Policy
from .reasons import RunCondition, RunReason
from .records import EvaluationRecord, RunRecord, condition_of
from .workloads import EventRecord, JobRecord, PodRecord

__all__ = ["Ask", "Evidence", "Offer", "RunView", "Step", "finish", "write"]


class Ask(StrEnum):
    """Evidence that a step wants before it decides."""

    RUN = "run"
    JOB = "job"
    PODS = "pods"
    EVENTS = "events"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read beyond the cache; None where nobody asked."""

    run_current: bool = False
    job_gone: bool = False
    pods_listed: bool = False
    events: tuple[EventRecord, ...] | None = None
    log: str | None = None
    refusal: str = ""
    """What the API server said when the Job was to be created."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A finished cell of another ModelRun."""

    source: str
    cell: CellStatus


@dataclass(frozen=True, slots=True)
class RunView:
    """All that is known about one ModelRun."""

    run: RunRecord
    spec: ModelRunSpec
    status: ModelRunStatus
    evaluation: EvaluationRecord
    policy: Policy
    may_start: bool
    evaluation_started: str
    jobs: Sequence[JobRecord]
    pods: Sequence[PodRecord]
    now: datetime
    offers: Mapping[str, Offer] = field(default_factory=dict)
    evidence: Evidence = Evidence()


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, in this order: status, Job, then wait."""

    status: ModelRunStatus | None = None
    create: bool = False
    suspend: tuple[JobRecord, bool] | None = None
    delete: tuple[JobRecord, ...] = ()
    ask: Ask | None = None
    about: str = ""
    """Uid or name that is asked about."""
    wake: datetime | None = None


def finish(
    view: RunView, status: ModelRunStatus, type_: RunCondition, reason: str, message: str
) -> Step:
    done = [
        condition(type_, True, reason, message),
        condition(RunCondition.RUNNING, False, RunReason.FINISHED),
        condition(RunCondition.WAITING, False, RunReason.FINISHED),
    ]
    changed = status.model_copy(
        update={
            "observed_generation": view.run.meta.generation,
            "completion_time": stamp(view.now),
            "stuck_since": None,
            "conditions": with_conditions(
                view.status.conditions, done, view.run.meta.generation, view.now
            ),
        }
    )
    return Step(status=changed)


def write(
    view: RunView,
    status: ModelRunStatus,
    *,
    running: bool = False,
    waiting: tuple[str, str] | None = None,
) -> Step:
    """A status that is not final; no step at all where it would change nothing."""
    reason, message = waiting or (RunReason.RUNNING, "")
    before = condition_of(view.status.conditions, RunCondition.WAITING)
    if before and before.status == "True" and before.reason == reason and before.message:
        # The cluster words one trouble in many ways; the first will do.
        message = before.message
    conditions = [
        condition(RunCondition.RUNNING, running, reason),
        condition(RunCondition.WAITING, waiting is not None, reason, message),
    ]
    generation = view.run.meta.generation
    changed = status.model_copy(
        update={
            "observed_generation": generation,
            "conditions": with_conditions(view.status.conditions, conditions, generation, view.now),
        }
    )
    return Step(status=changed if changed != view.status else None)
