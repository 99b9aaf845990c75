"""The next step of one ModelRun. Pure: everything known goes in, one step comes out.

The order of a ModelRun's life: copy what is known already, write the attempt, create its Job, watch
it, take the report, tidy up. Where a verdict would be dangerous on old news, the step asks for
fresh evidence first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from interplay_api.modelrun import CellStatus, ModelRunStatus
from interplay_api.report import ReportError

from .conditions import after, stamp
from .observe import Observation, State, observe
from .plan import is_genuine
from .reasons import STOPPED, RunCondition, RunReason
from .records import condition_of
from .results import Expected, Taken, in_log, missing_plan, take
from .steps import Ask, RunView, Step, finish, write
from .workloads import JobRecord, PodRecord

__all__ = ["ASK_AGAIN_SECONDS", "decide"]

MAX_RERUNS = 3
MAX_ATTEMPTS = 99
PATIENCE_SECONDS = 5
"""How long silence is normal before Events are read."""
ASK_AGAIN_SECONDS = 30
COUNTED = frozenset({RunReason.IMAGE, RunReason.CONFIG, RunReason.MOUNT, RunReason.CREATE})
"""What `startDeadlineSeconds` counts; all else heals by waiting and is only reported."""


def decide(view: RunView) -> Step:
    """The next step."""
    if view.run.finished:
        return _tidy(view)
    if view.run.meta.deleting or view.evaluation.meta.deleting:
        return Step()
    seconds = view.policy.active_deadline_seconds
    deadline = after(view.evaluation_started, seconds)
    step = _begin(view) if view.status.attempt == 0 else _go_on(view)
    ends = step.status is not None and step.status.completion_time is not None
    if deadline and view.now >= deadline and not ends and step.ask is not Ask.LOG:
        # A result that is there counts, however late it is seen.
        return _fail(view, RunReason.DEADLINE, f"the Evaluation ran for {seconds} s")
    times = [t for t in (step.wake, deadline) if t is not None]
    return replace(step, wake=min(times, default=None))


def _begin(view: RunView) -> Step:
    """Before the first attempt: copy cells that are known, then take a slot."""
    if not is_genuine(view.run):
        return _fail(view, RunReason.BAD_PLAN, "metadata.name: it is not of this spec")
    held = _with_copies(view)
    status = view.status.model_copy(update={"cells": list(held)})
    if not missing_plan(view.spec.plan, held).cells:
        text = f"{len(held)} measurements were copied"
        return finish(view, status, RunCondition.COMPLETE, RunReason.REUSED, text)
    if view.may_start and not view.policy.suspend:
        return _attempt(view, status, RunReason.STARTING, "")
    if len(held) == len(view.status.cells):
        return Step()
    return write(view, status, waiting=(RunReason.QUEUED, "waits for its turn"))


def _with_copies(view: RunView) -> tuple[CellStatus, ...]:
    held = {(c.measurement, c.dataset): c for c in view.status.cells}
    for cell in view.spec.plan.cells:
        offer = view.offers.get(cell.key)
        if offer is not None and (cell.measurement, cell.dataset) not in held:
            held[cell.measurement, cell.dataset] = offer.cell.model_copy(
                update={
                    "measurement": cell.measurement,
                    "dataset": cell.dataset,
                    "reused_from": offer.source,
                }
            )
    cells = view.spec.plan.cells
    return tuple(
        held[c.measurement, c.dataset] for c in cells if (c.measurement, c.dataset) in held
    )


def _attempt(view: RunView, status: ModelRunStatus, reason: str, message: str) -> Step:
    """The next attempt: written before its Job is created, so that it is never forgotten."""
    if status.attempt >= MAX_ATTEMPTS:
        return _fail(view, RunReason.ATTEMPTS, f"{status.attempt} Jobs were created")
    attempt = status.attempt + 1
    changed = status.model_copy(
        update={
            "attempt": attempt,
            "job_name": f"{view.run.meta.name}-{attempt}",
            "job_uid": None,
            "stuck_since": None,
            "start_time": status.start_time or stamp(view.now),
        }
    )
    return replace(write(view, changed, waiting=(reason, message)), create=True)


def _go_on(view: RunView) -> Step:
    """After the first attempt was written."""
    older = [j for j in view.jobs if j.meta.name != view.status.job_name and not j.finished]
    if older:
        return Step(delete=tuple(j for j in older if not j.meta.deleting))
    job = _current_job(view)
    return _watch(view, job) if job else _without_job(view)


def _current_job(view: RunView) -> JobRecord | None:
    return next((j for j in view.jobs if j.meta.name == view.status.job_name), None)


def _without_job(view: RunView) -> Step:
    if view.policy.suspend:
        return write(view, view.status, waiting=(RunReason.SUSPENDED, ""))
    waiting = condition_of(view.status.conditions, RunCondition.WAITING)
    suspended = waiting is not None and waiting.reason == RunReason.SUSPENDED
    if view.status.job_uid and not view.evidence.job_gone:
        return Step(ask=Ask.JOB, about=view.status.job_name or "")
    if any(not p.over for p in view.pods if p.meta.owner_uid):
        # Pods of a Job that was deleted still run; their end wakes us.
        return Step()
    if view.status.job_uid is None:
        return _create(view)
    if suspended:
        return _attempt(view, view.status, RunReason.STARTING, "")
    return _rerun(view, RunReason.RESULT_LOST, "the Job was deleted before it ended")


def _create(view: RunView) -> Step:
    if not view.evidence.refusal:
        # Where our view is old, this attempt may have had its Job, and the Job its end.
        return Step(create=True) if view.evidence.run_current else Step(ask=Ask.RUN)
    quota = "exceeded quota" in view.evidence.refusal
    seen = Observation(
        State.WAITING, RunReason.QUOTA if quota else RunReason.CREATE, view.evidence.refusal
    )
    step = _waiting(view, view.status, seen)
    failed = step.status is not None and step.status.completion_time is not None
    return step if failed else replace(step, create=True)


def _rerun(view: RunView, reason: RunReason, message: str) -> Step:
    """A result that was lost or refused is run again, never invented."""
    if view.status.reruns >= MAX_RERUNS:
        return _fail(view, reason, f"{message}; it was run {MAX_RERUNS + 1} times")
    status = view.status.model_copy(update={"reruns": view.status.reruns + 1})
    return _attempt(view, status, RunReason.RETRYING, f"{reason}: {message}")


def _watch(view: RunView, job: JobRecord) -> Step:
    """The current attempt has a Job."""
    pods = [p for p in view.pods if p.meta.owner_uid == job.meta.uid]
    seen = observe(job, pods, view.evidence.events or ())
    disrupted = [p for p in pods if p.disrupted and p.phase == "Failed"]
    uids = (p.meta.uid for p in disrupted)
    counted = list(dict.fromkeys([*view.status.disruptions, *uids]))[:101]
    status = view.status.model_copy(update={"job_uid": job.meta.uid, "disruptions": counted})
    if seen.state is State.SUCCEEDED:
        assert seen.pod is not None
        return _take(view, status, job, seen.pod)
    if seen.state is State.FAILED:
        return finish(view, status, RunCondition.FAILED, seen.reason, seen.message)
    if seen.state is State.LOST:
        if not view.evidence.pods_listed:
            return Step(ask=Ask.PODS, about=job.meta.uid)
        return _rerun(view, RunReason.RESULT_LOST, seen.message)
    if len(counted) > view.spec.pod.max_disruptions:
        why = "".join(f", the last by {p.disruption}" for p in disrupted[-1:])
        text = f"{len(counted)} pods were disrupted{why}"
        return finish(view, status, RunCondition.FAILED, RunReason.DISRUPTED, text)
    if job.meta.deleting:
        return Step()
    if view.policy.suspend or job.suspended:
        return _suspension(view, status, job, seen)
    if seen.state is State.RUNNING:
        cleared = status.model_copy(update={"stuck_since": None})
        return write(view, cleared, running=True)
    return _waiting(view, status, seen)


def _suspension(view: RunView, status: ModelRunStatus, job: JobRecord, seen: Observation) -> Step:
    queued = view.spec.pod.queue_name is not None
    if view.policy.suspend:
        step = write(view, status, waiting=(RunReason.SUSPENDED, ""))
        if queued:
            # An admitted Job would be unsuspended again by its queue.
            return replace(step, delete=(job,))
        return step if job.suspended else replace(step, suspend=(job, True))
    if not queued:
        return Step(suspend=(job, False))
    if not seen.message and view.evidence.events is None:
        return _ask_events(view, status, job.meta.uid, job.meta.created)
    return write(view, status, waiting=(RunReason.QUEUED, seen.message))


def _waiting(view: RunView, status: ModelRunStatus, seen: Observation) -> Step:
    """Explain what it waits for; fail what waiting cannot heal."""
    if (about := _untold(view, seen)) and view.evidence.events is None:
        job = _current_job(view)
        meta = seen.pod.meta if seen.pod else job.meta if job else view.run.meta
        return _ask_events(view, status, about, meta.created)
    wake: datetime | None = None
    if seen.reason in COUNTED:
        status = status.model_copy(update={"stuck_since": status.stuck_since or stamp(view.now)})
        wake = after(status.stuck_since, view.policy.start_deadline_seconds)
        if wake and view.now >= wake:
            return _fail(view, RunReason.START_DEADLINE, f"{seen.reason}: {seen.message}")
    elif seen.reason == RunReason.UNSCHEDULABLE:
        wake = after(seen.since, view.policy.scheduling_deadline_seconds)
        if wake and view.now >= wake:
            return _fail(view, RunReason.SCHEDULING_DEADLINE, seen.message)
    if seen.puzzled_by:
        again = view.now + timedelta(seconds=ASK_AGAIN_SECONDS)
        return replace(_starting(view, status), wake=again)
    return replace(write(view, status, waiting=(seen.reason, seen.message)), wake=wake)


def _untold(view: RunView, seen: Observation) -> str:
    """Uid of the object whose Events would say more than what was seen."""
    pod = view.spec.pod
    secrets = pod.image_pull_secrets or pod.service_account_name
    if seen.pod and seen.reason == RunReason.IMAGE and secrets:
        return seen.pod.meta.uid
    return seen.puzzled_by


def _ask_events(view: RunView, status: ModelRunStatus, uid: str, created: str) -> Step:
    patience = after(created, PATIENCE_SECONDS) or view.now
    if view.now < patience:
        return replace(_starting(view, status), wake=patience)
    return Step(ask=Ask.EVENTS, about=uid)


def _starting(view: RunView, status: ModelRunStatus) -> Step:
    """Nothing to tell yet; a write only where something else was told before."""
    waiting = condition_of(view.status.conditions, RunCondition.WAITING)
    told = waiting.reason if waiting else RunReason.STARTING
    if (
        told in (RunReason.STARTING, RunReason.RETRYING)
        and status.disruptions == view.status.disruptions
    ):
        return Step()
    return write(view, status, waiting=(RunReason.STARTING, ""))


def _take(view: RunView, status: ModelRunStatus, job: JobRecord, pod: PodRecord) -> Step:
    copied = tuple(c for c in view.status.cells if c.reused_from)
    expected = Expected(
        run_uid=view.run.meta.uid,
        pod_uid=pod.meta.uid,
        attempt=status.attempt,
        plan=missing_plan(view.spec.plan, copied),
        spec=view.spec,
        copied=copied,
    )
    if in_log(pod.exit_message) and view.evidence.log is None:
        return Step(ask=Ask.LOG, about=pod.meta.name)
    try:
        taken = take(expected, pod.exit_message, view.evidence.log)
    except ReportError as error:
        # The next attempt starts only when this Job is over.
        return _rerun(view, RunReason.REPORT_REFUSED, str(error)) if job.finished else Step()
    return _publish(view, status, taken)


def _publish(view: RunView, status: ModelRunStatus, taken: Taken) -> Step:
    status = status.model_copy(
        update={
            "cells": list(taken.cells),
            "report_sha256": taken.sha256,
            "provenance": taken.provenance,
        }
    )
    bad = [c for c in taken.cells if c.state == "Failed"]
    first = f"{bad[0].measurement} on {bad[0].dataset}: {bad[0].reason}" if bad else ""
    text = f"{len(bad)} of {len(taken.cells)} measurements failed: {first}" if bad else ""
    if len(bad) == len(taken.cells):
        return finish(view, status, RunCondition.FAILED, RunReason.ALL_FAILED, text)
    reason = RunReason.SOME_FAILED if bad else RunReason.SUCCEEDED
    return finish(view, status, RunCondition.COMPLETE, reason, text)


def _fail(view: RunView, reason: str, message: str) -> Step:
    return finish(view, view.status, RunCondition.FAILED, reason, message)


def _tidy(view: RunView) -> Step:
    """A result is stored: its Jobs go, but for those that somebody may want to look at."""
    stopped = view.run.failed and view.run.reason in STOPPED

    def goes(job: JobRecord) -> bool:
        if stopped and not job.finished:
            return True
        failed = view.run.failed or job.failed
        return view.policy.keep_pods == "none" or (view.policy.keep_pods == "failed" and not failed)

    return Step(delete=tuple(j for j in view.jobs if goes(j) and not j.meta.deleting))
