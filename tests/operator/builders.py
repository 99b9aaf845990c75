"""Cluster objects as the API server would give them, with only what a test means said aloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from interplay_api.catalog import Catalog, Entry, Layer, builtin_layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.modelrun import ModelRunStatus
from interplay_api.report import CellResult, Report, Value, encode_report, encode_termination
from interplay_api.resolve import ResolvedRun, resolve
from interplay_operator.policy import Policy
from interplay_operator.records import EvaluationRecord, RunRecord
from interplay_operator.results import missing_plan
from interplay_operator.steps import RunView
from interplay_operator.workloads import EventRecord, JobRecord, PodRecord

__all__ = [
    "IMAGE",
    "NOW",
    "catalog",
    "evaluation",
    "event",
    "job",
    "model",
    "pod",
    "policy",
    "report",
    "resolved",
    "run",
    "spec_of",
    "started",
    "view",
]

Object = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IMAGE = "registry.example/runner@sha256:" + "a" * 64
NAMESPACE = "team"
EVALUATION_UID = "evaluation-uid"
RUN_UID = "run-uid"
CREATED = "2026-01-02T03:00:00Z"


def model(name: str) -> Object:
    """An inline model with pinned weights."""
    checkpoint = {"embedded": name, "sha256": "b" * 64}
    return {"alias": name, "inline": {"timm": "resnet18", "checkpoint": checkpoint}}


def spec_of(**changed: object) -> Object:
    """An Evaluation's spec: one model, one measurement, and what the test says."""
    return {"models": [model("a")], "measurements": {"names": ["top1"]}, **changed}


def catalog(mode: Mapping[str, Any] | None = None, *entries: Entry) -> Catalog:
    """A library with the measurements top1 and calibration, and optionally another default Mode."""
    own = [
        Entry(
            "Measurement",
            name,
            {"category": "benefit", "entryPoint": name, "datasets": ["digits"]},
        )
        for name in ("top1", "calibration")
    ]
    modes = [Entry("Mode", "default", dict(mode))] if mode is not None else []
    return Catalog([Layer("test", [*own, *modes, *entries]), builtin_layer()])


def resolved(
    mode: Mapping[str, Any] | None = None, *entries: Entry, **changed: object
) -> list[ResolvedRun]:
    """The ModelRuns of an Evaluation called `e`."""
    spec = EvaluationSpec.read(spec_of(**changed))
    return list(resolve("e", NAMESPACE, spec, catalog(mode, *entries), image=IMAGE).runs)


def _meta(name: str, uid: str, version: int, owner: tuple[str, str] = ("", "")) -> Object:
    kind, owner_uid = owner
    owners = [{"kind": kind, "name": kind.lower(), "uid": owner_uid, "controller": True}]
    return {
        "namespace": NAMESPACE,
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": CREATED,
        "ownerReferences": owners if owner_uid else [],
    }


def evaluation(
    status: Mapping[str, Any] | None = None,
    generation: int = 1,
    version: int = 1,
    **changed: object,
) -> EvaluationRecord:
    """An Evaluation called `e`."""
    meta = {**_meta("e", EVALUATION_UID, version), "generation": generation}
    return EvaluationRecord.of(
        {"metadata": meta, "spec": spec_of(**changed), "status": dict(status or {})}
    )


def run(
    made: ResolvedRun | None = None,
    status: Mapping[str, Any] | None = None,
    *,
    uid: str = RUN_UID,
    generation: int = 1,
) -> RunRecord:
    """A ModelRun of that Evaluation."""
    made = made or resolved()[0]
    meta = _meta(made.name, uid, 5, ("Evaluation", EVALUATION_UID))
    meta["annotations"] = {"interplay.dev/generation": str(generation)}
    return RunRecord.of({"metadata": meta, "spec": made.spec.wire(), "status": dict(status or {})})


def job(
    of: RunRecord, attempt: int = 1, *, ended: str = "", suspended: bool = False, message: str = ""
) -> JobRecord:
    """A Job of a ModelRun; `ended` is Complete, or a reason for Failed."""
    conditions = []
    if ended:
        type_ = "Complete" if ended == "Complete" else "Failed"
        conditions = [{"type": type_, "status": "True", "reason": ended, "message": message}]
    meta = _meta(f"{of.meta.name}-{attempt}", f"job-{attempt}", 9, ("ModelRun", of.meta.uid))
    return JobRecord.of(
        {"metadata": meta, "spec": {"suspend": suspended}, "status": {"conditions": conditions}}
    )


def pod(
    of: JobRecord,
    phase: str = "Pending",
    *,
    uid: str = "pod-1",
    code: int | None = None,
    message: str = "",
    running: bool = False,
    waiting: tuple[str, str] | None = None,
    unscheduled: str = "",
    disrupted: bool = False,
    **status: object,
) -> PodRecord:
    """A pod of a Job."""
    state: Object = {}
    if running:
        state = {"running": {"startedAt": CREATED}}
    if waiting:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    if code is not None:
        state = {"terminated": {"exitCode": code, "message": message, "reason": "Error"}}
    conditions = [
        {
            "type": "PodScheduled",
            "status": "False" if unscheduled else "True",
            "message": unscheduled,
            "lastTransitionTime": CREATED,
        },
        {
            "type": "DisruptionTarget",
            "status": str(disrupted),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        },
    ]
    meta = _meta(uid, uid, 11, ("Job", of.meta.uid))
    meta["labels"] = {"interplay.dev/modelrun-uid": of.meta.owner_uid}
    full = {"phase": phase, "conditions": conditions, **status}
    if code is None:
        full["message"] = message
    full["containerStatuses"] = [{"name": "runner", "state": state}]
    return PodRecord.of({"metadata": meta, "status": full})


def event(reason: str, message: str) -> EventRecord:
    """One Event."""
    return EventRecord(reason, message, CREATED)


def report(of: RunRecord, values: Sequence[Value] | None = None, **changed: object) -> str:
    """The termination message of pod-1 in the first attempt of a ModelRun."""
    plan = missing_plan(of.spec.plan, of.status.cells)
    numbers = values or [Value(metric="top1", value=0.75, n=100, method="wilson")]
    honest = {
        "plan_digest": plan.digest(),
        "modelrun_uid": of.meta.uid,
        "pod_uid": "pod-1",
        "attempt": 1,
        "cells": [
            CellResult(
                state="Succeeded",
                values=[
                    v.model_copy(update={"metric": f"{v.metric}_{c.measurement}"}) for v in numbers
                ],
            )
            for c in plan.cells
        ],
    }
    made = Report.model_validate({**honest, **changed})
    return encode_termination(encode_report(made)).decode()


def view(
    of: RunRecord | None = None, policy: Mapping[str, Any] | None = None, **known: Any
) -> RunView:
    """What is known about a ModelRun that may start."""
    of = of or run()
    owner = evaluation(**(policy or {}))
    assert owner.policy is not None
    base = RunView(
        run=of,
        spec=of.spec,
        status=of.status,
        evaluation=owner,
        policy=owner.policy,
        may_start=True,
        evaluation_started=of.started,
        jobs=(),
        pods=(),
        now=NOW,
    )
    return replace(base, **known)


def started(attempt: int = 1, **changed: object) -> Object:
    """The status of a ModelRun with an attempt written."""
    name = resolved()[0].name
    status = ModelRunStatus(
        attempt=attempt, job_name=f"{name}-{attempt}", start_time="2026-01-02T03:00:00Z"
    )
    return {**status.wire(), **changed}


def policy(**changed: object) -> Policy:
    """Policies of an Evaluation."""
    return Policy.of(EvaluationSpec.read(spec_of(**changed)))
