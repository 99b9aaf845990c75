"""Records of Jobs, their pods and Events: the few facts that decisions need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interplay_api.constants import LABEL_MODELRUN_UID

from .records import Meta

__all__ = ["EventRecord", "JobRecord", "PodRecord"]

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One Job."""

    meta: Meta
    suspended: bool
    complete: bool
    failed: bool
    reason: str
    message: str

    @classmethod
    def of(cls, item: Object) -> JobRecord:
        """Project one object."""
        conditions = {c["type"]: c for c in (item.get("status") or {}).get("conditions") or ()}
        on = {t for t, c in conditions.items() if c.get("status") == "True"}
        said = conditions.get("Failed") or conditions.get("Complete") or {}
        return cls(
            meta=Meta.of(item),
            suspended=bool(item["spec"].get("suspend", False)),
            complete="Complete" in on,
            failed="Failed" in on,
            reason=said.get("reason", ""),
            message=said.get("message", ""),
        )

    @property
    def finished(self) -> bool:
        """Whether none of its pods will run again."""
        return self.complete or self.failed


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One runner pod, as far as the runner's container matters."""

    meta: Meta
    run_uid: str
    phase: str
    disruption: str
    """Who takes it away and why, in the words of who does; empty when nobody does."""
    reason: str
    message: str
    """Of the pod itself, for example Evicted or UnexpectedAdmissionError."""
    node: str
    unscheduled: str
    """Why it has no node, in the scheduler's words; empty when it has one."""
    unscheduled_since: str
    waiting_reason: str
    waiting_message: str
    running: bool
    exit_code: int | None
    exit_reason: str
    exit_message: str
    """The termination message."""
    exit_time: str

    @classmethod
    def of(cls, item: Object) -> PodRecord:
        """Project one object."""
        status = item.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled", {})
        target = conditions.get("DisruptionTarget", {})
        taken = target.get("status") == "True"
        away = scheduled.get("status") == "False"
        states = [
            c.get("state") or {}
            for c in status.get("containerStatuses") or ()
            if c.get("name") == "runner"
        ]
        state = states[0] if states else {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        return cls(
            meta=Meta.of(item),
            run_uid=(item["metadata"].get("labels") or {}).get(LABEL_MODELRUN_UID, ""),
            phase=status.get("phase", "Pending"),
            disruption=f"{target.get('reason', '')}: {target.get('message', '')}" if taken else "",
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            node=(item.get("spec") or {}).get("nodeName", ""),
            unscheduled=(scheduled.get("message") or "Unschedulable") if away else "",
            unscheduled_since=scheduled.get("lastTransitionTime") or "" if away else "",
            waiting_reason=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            running="running" in state,
            exit_code=ended.get("exitCode"),
            exit_reason=ended.get("reason", ""),
            exit_message=ended.get("message", ""),
            exit_time=ended.get("finishedAt") or "",
        )

    @property
    def disrupted(self) -> bool:
        """Whether its end is nobody's failure."""
        return bool(self.disruption)

    @property
    def over(self) -> bool:
        """Whether it will not run any more."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One Event about a stuck object."""

    reason: str
    message: str
    time: str

    @classmethod
    def of(cls, item: Object) -> EventRecord:
        """Project one Event."""
        time = item.get("lastTimestamp") or item.get("eventTime") or ""
        return cls(item.get("reason", ""), item.get("message", ""), time)
