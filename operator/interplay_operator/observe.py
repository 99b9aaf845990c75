"""Job + pods + Events -> what is going on, in the cluster's own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from interplay_api.constants import EXIT_REASONS

from .conditions import bounded
from .reasons import RunReason
from .workloads import EventRecord, JobRecord, PodRecord

__all__ = ["Observation", "State", "observe"]

IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
CONFIG_REASONS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
}
MOUNT_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
MOUNT_SUMMARY = "Unable to attach or mount volumes"
"""How the kubelet begins to say that there is trouble, without which: another Event says that."""
SANDBOX_EVENT = "FailedCreatePodSandBox"
PULL_SECRET_EVENT = "FailedToRetrieveImagePullSecret"


class State(StrEnum):
    """Where an attempt is."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    LOST = "Lost"
    """The Job ended, and no pod is there to say with what."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is going on with one attempt."""

    state: State
    reason: str = ""
    message: str = ""
    pod: PodRecord | None = None
    """The pod that succeeded, failed, waits or runs."""
    since: str = ""
    """Since when it cannot be scheduled, by the scheduler's clock."""
    puzzled_by: str = ""
    """Uid of the object whose Events would say more than its status does."""


def observe(
    job: JobRecord, pods: Sequence[PodRecord], events: Iterable[EventRecord] = ()
) -> Observation:
    """Judge one Job by its own pods; pods of another Job must not be among them."""
    done = sorted(
        (p for p in pods if p.phase == "Succeeded"), key=lambda p: (p.exit_time, p.meta.uid)
    )
    if done:
        return Observation(State.SUCCEEDED, pod=done[0])
    failed = sorted((p for p in pods if p.phase == "Failed"), key=lambda p: p.exit_time)
    final = [p for p in failed if p.exit_code in EXIT_REASONS and not p.disrupted]
    if final or job.failed:
        return _failed(job, (final or failed)[-1:])
    if job.complete:
        return Observation(State.LOST, message="the Job is complete, but its pod is gone")
    alive = sorted((p for p in pods if not p.over), key=lambda p: (p.meta.created, p.meta.uid))
    if alive:
        return _alive(alive[-1], list(events))
    if job.suspended:
        return Observation(State.SUSPENDED, message=_last_words(events))
    return _without_pod(job, failed, list(events))


def _failed(job: JobRecord, pods: Sequence[PodRecord]) -> Observation:
    if not pods:
        text = bounded(f"{job.reason}: {job.message}".strip(": "))
        return Observation(State.FAILED, RunReason.POD_FAILED, text)
    pod = pods[0]
    said = _runner_words(pod.exit_message)
    if pod.exit_code in EXIT_REASONS:
        reason = EXIT_REASONS[pod.exit_code]
        return Observation(State.FAILED, reason, said.removeprefix(f"{reason}: "), pod)
    if pod.exit_reason == "OOMKilled":
        return Observation(
            State.FAILED, RunReason.OUT_OF_MEMORY, f"the runner was killed: {pod.exit_reason}", pod
        )
    if pod.exit_code is not None:
        text = f"exit code {pod.exit_code}" + (f": {said}" if said else "")
        return Observation(State.FAILED, RunReason.POD_FAILED, bounded(text), pod)
    text = f"{pod.reason}: {pod.message}".strip(": ") or job.message
    text += f" (node {pod.node})" if pod.node else ""
    return Observation(State.FAILED, RunReason.POD_FAILED, bounded(text), pod)


def _runner_words(message: str) -> str:
    """The line that the runner wrote for us, or the last one of its log."""
    lines = [line for line in message.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("interplay: ")]
    text = ours[-1].removeprefix("interplay: ") if ours else lines[-1] if lines else ""
    return bounded(text, 300)


def _alive(pod: PodRecord, events: list[EventRecord]) -> Observation:
    def waits(reason: str, message: str) -> Observation:
        return Observation(State.WAITING, reason, bounded(message), pod)

    # Between the container's end and the pod's, nothing has changed for anybody.
    if pod.running or pod.exit_code is not None:
        return Observation(State.RUNNING, RunReason.RUNNING, pod=pod)
    why = f"{pod.waiting_reason}: {pod.waiting_message}"
    if pod.waiting_reason in IMAGE_REASONS:
        # The registry refuses; that a secret is missing, and which, only an Event says.
        missing = [e.message for e in events if e.reason == PULL_SECRET_EVENT]
        return waits(RunReason.IMAGE, " ".join([*missing[-1:], why]))
    if pod.waiting_reason in CONFIG_REASONS:
        return waits(RunReason.CONFIG, why)
    if pod.unscheduled:
        if "persistentvolumeclaim" in pod.unscheduled and "not found" in pod.unscheduled:
            return waits(RunReason.MOUNT, pod.unscheduled)
        return Observation(
            State.WAITING,
            RunReason.UNSCHEDULABLE,
            bounded(pod.unscheduled),
            pod,
            since=pod.unscheduled_since or pod.meta.created,
        )
    # What says most comes last: details after summaries, and the new after the old.
    ranked = sorted(events, key=lambda e: not e.message.startswith(MOUNT_SUMMARY))
    for event in reversed(ranked):
        text = f"{event.reason}: {event.message}"
        if event.reason in MOUNT_EVENTS:
            return waits(RunReason.MOUNT, text)
        if event.reason == SANDBOX_EVENT:
            return waits(RunReason.CREATE, text)
    return Observation(State.WAITING, RunReason.STARTING, "", pod, puzzled_by=pod.meta.uid)


def _without_pod(
    job: JobRecord, failed: Sequence[PodRecord], events: list[EventRecord]
) -> Observation:
    for event in reversed(events):
        if event.reason == "FailedCreate":
            quota = "exceeded quota" in event.message
            reason = RunReason.QUOTA if quota else RunReason.CREATE
            return Observation(State.WAITING, reason, bounded(event.message))
    if failed:
        last = _failed(job, failed[-1:])
        # Disruptions are retried by the Job controller without being counted.
        text = failed[-1].disruption or f"{last.reason}: {last.message}"
        return Observation(State.WAITING, RunReason.RETRYING, bounded(text), failed[-1])
    return Observation(State.WAITING, RunReason.STARTING, puzzled_by=job.meta.uid)


def _last_words(events: Iterable[EventRecord]) -> str:
    said = list(events)
    return bounded(f"{said[-1].reason}: {said[-1].message}") if said else ""
