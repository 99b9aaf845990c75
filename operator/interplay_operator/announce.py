"""Which turns of a condition people are told of as a Kubernetes Event. Pure.

Few on purpose: one when an Evaluation starts, stops, resumes, ends, and one when a model fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from interplay_api.evaluation import Condition
from interplay_api.names import digest

from .conditions import stamp
from .reasons import EvaluationCondition, RunCondition
from .records import Meta
from .resources import EVALUATIONS, EVENTS, RUNS, Resource

__all__ = ["COMPONENT", "announced", "event_manifest"]

COMPONENT = "interplay-operator"
Weight = Literal["Normal", "Warning"]
TOLD: Mapping[str, Mapping[tuple[str, str], Weight]] = {
    EVALUATIONS.kind: {
        (EvaluationCondition.PROGRESSING, "True"): "Normal",
        (EvaluationCondition.SUSPENDED, "True"): "Normal",
        (EvaluationCondition.COMPLETE, "True"): "Normal",
        (EvaluationCondition.FAILED, "True"): "Warning",
        (EvaluationCondition.LIBRARY_CHANGED, "True"): "Normal",
    },
    RUNS.kind: {(RunCondition.FAILED, "True"): "Warning"},
}
"""By kind: the turns that are told, and how grave they are."""
MAX_PREFIX = 200
"""An Event's name is at most 253 characters; the digest behind it takes 17."""


def announced(kind: str, old: Iterable[Condition], new: Iterable[Condition]) -> list[Condition]:
    """The conditions that have turned between two statuses and are worth an Event."""
    before = {c.type: (c.status, c.observed_generation) for c in old}
    return [
        c
        for c in new
        if (c.type, c.status) in TOLD[kind]
        and before.get(c.type) != (c.status, c.observed_generation)
    ]


def event_manifest(
    resource: Resource, meta: Meta, told: Condition, now: datetime
) -> dict[str, Any]:
    """The Event; its name follows from what it tells, so telling it twice is telling it once."""
    what = [meta.uid, told.type, told.status, told.observed_generation, told.last_transition_time]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{meta.name[:MAX_PREFIX]}.{digest(what)[:16]}",
            "namespace": meta.namespace,
        },
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        },
        "type": TOLD[resource.kind][told.type, told.status],
        "reason": told.reason,
        "message": told.message or told.reason,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp(now),
        "lastTimestamp": stamp(now),
        "count": 1,
    }
