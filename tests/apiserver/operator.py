"""The operator as a process, and a hand that plays Job controller and kubelet for it."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from interplay_api.constants import (
    ANNOTATION_PLAN,
    ANNOTATION_PLAN_DIGEST,
    API_VERSION,
    LABEL_MODELRUN_UID,
)
from interplay_api.names import digest
from interplay_api.report import (
    CellResult,
    Report,
    Value,
    encode_report,
    encode_termination,
)
from tests.apiserver.client import ApiError, Client, Object
from tests.apiserver.processes import Process, free_ports

__all__ = ["IMAGE", "Hand", "OperatorProcess", "condition", "model", "report_of", "until"]

T = TypeVar("T")
IMAGE = "registry.example/interplay-runner@sha256:" + "a" * 64
PATIENCE = 30.0


def until(what: str, look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """Look until there is something; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def condition(item: Object, type_: str) -> Object:
    """One condition of an object, or nothing."""
    found: list[Object] = item.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == type_), {})


class OperatorProcess:
    """`python -m interplay_operator` with a kubeconfig; can be killed and started again."""

    def __init__(
        self, kubeconfig: Path, namespace: str, log: Path, watch: Sequence[str] = ()
    ) -> None:
        self.probes, self.metrics_port = free_ports(2)
        env = {
            "KUBECONFIG": str(kubeconfig),
            "INTERPLAY_NAMESPACE": namespace,
            "INTERPLAY_WATCH_NAMESPACES": ",".join(watch),
            "INTERPLAY_RUNNER_IMAGE": IMAGE,
            "INTERPLAY_METRICS_PORT": str(self.metrics_port),
            "INTERPLAY_PROBES_PORT": str(self.probes),
            "INTERPLAY_LOG_FORMAT": "text",
        }
        words = [f"{k}={v}" for k, v in env.items()]
        self.process = Process(["/usr/bin/env", *words, sys.executable, "-m", MODULE], log)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process.start()
        until("the operator is ready", lambda: self.get(self.probes, "readyz")[0] == 200)

    def stop(self) -> None:
        """SIGTERM."""
        self.process.stop()

    def get(self, port: int, path: str) -> tuple[int, str]:
        """One page of its own HTTP; 0 where nobody answers."""
        if self.process.pid is None:
            raise AssertionError(f"the operator ended:\n{self.process.tail()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> str:
        """What Prometheus would scrape."""
        return self.get(self.metrics_port, "metrics")[1]


MODULE = "interplay_operator"


class Hand:
    """Does to Jobs and pods what controllers and kubelets would do, when a test says so."""

    def __init__(self, admin: Client, namespace: str) -> None:
        self.admin, self.namespace = admin, namespace
        self.measurement("top1")

    def measurement(self, name: str, **more: object) -> None:
        """Apply a measurement on digits."""
        spec = {"category": "benefit", "entryPoint": name, "datasets": ["digits"], **more}
        self.library("Measurement", name, spec)

    def library(self, kind: str, name: str, spec: Object, **labels: str) -> Object:
        """Apply one library object."""
        meta = {"name": name, "namespace": self.namespace, "labels": labels}
        return self.admin.apply(
            {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}
        )

    def evaluation(self, name: str, **spec: object) -> Object:
        """Apply an Evaluation; without models and measurements it gets one of each."""
        given = {"models": [model("a")], "measurements": {"names": ["top1"]}, **spec}
        meta = {"name": name, "namespace": self.namespace}
        return self.admin.apply(
            {"apiVersion": API_VERSION, "kind": "Evaluation", "metadata": meta, "spec": given}
        )

    def get(self, name: str) -> Object:
        """An Evaluation as it is now."""
        return self.admin.get(API_VERSION, "Evaluation", self.namespace, name)

    def until(self, name: str, type_: str, status: str = "True") -> Object:
        """An Evaluation once its latest generation has a condition."""

        def look() -> Object | None:
            item = self.get(name)
            found = condition(item, type_)
            seen = found.get("observedGeneration") == item["metadata"]["generation"]
            return item if seen and found["status"] == status else None

        return until(f"{name} is {type_}={status}", look)

    def delete(self, name: str) -> None:
        """Delete an Evaluation."""
        self.admin.delete(self.get(name))

    def is_gone(self, uid: str) -> bool:
        """Whether a Job is no more."""
        return uid not in {j["metadata"]["uid"] for j in self.jobs()}

    def runs(self) -> list[Object]:
        """All ModelRuns of the namespace."""
        return self.admin.list(API_VERSION, "ModelRun", self.namespace)

    def jobs(self) -> list[Object]:
        """All Jobs of the namespace that are not being deleted."""
        found = self.admin.list("batch/v1", "Job", self.namespace)
        kind = {"apiVersion": "batch/v1", "kind": "Job"}
        return [{**j, **kind} for j in found if "deletionTimestamp" not in j["metadata"]]

    def job(self, count: int = 1, **where: str) -> Object:
        """The first Job, once there are `count`, optionally with an annotation."""

        def look() -> Object | None:
            jobs = self.jobs()
            hits = [j for j in jobs if where.items() <= _annotations(j).items()]
            return hits[0] if hits and len(jobs) >= count else None

        return until(f"{count} Jobs with {where}", look)

    def pod(self, job: Object, name: str = "pod") -> Object:
        """Create the Job's pod."""
        template = job["spec"]["template"]
        meta = {
            "name": f"{job['metadata']['name']}-{name}",
            "namespace": self.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": job["metadata"]["name"],
                    "uid": job["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        return self.admin.create(body)

    def set_pod(self, pod: Object, phase: str, state: Object, **more: object) -> Object:
        """Write a pod's status as a kubelet does."""
        container = {
            "name": "runner",
            "image": IMAGE,
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        status = {"phase": phase, "containerStatuses": [container], **more}
        return self.admin.patch(pod, {"status": status}, "status")

    def running(self, pod: Object) -> Object:
        """The runner started."""
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        return self.set_pod(pod, "Running", state)

    def exits(self, pod: Object, code: int, message: str) -> Object:
        """The runner ended."""
        ended = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": message,
            "finishedAt": "2026-01-01T00:00:10Z",
        }
        phase = "Failed" if code else "Succeeded"
        return self.set_pod(pod, phase, {"terminated": ended})

    def end_job(self, job: Object, failed: str = "") -> Object:
        """The Job controller's verdict."""
        time_ = "2026-01-01T00:00:10Z"
        words = {"lastTransitionTime": time_, "lastProbeTime": time_}
        if failed:
            types, done = ("FailureTarget", "Failed"), {"failed": 1}
            words |= {"reason": failed, "message": f"the Job said {failed}"}
        else:
            types, done = ("SuccessCriteriaMet", "Complete"), {"succeeded": 1}
            done["completionTime"] = time_  # type: ignore[assignment]
        conditions = [{"type": t, "status": "True", **words} for t in types]
        status = {"startTime": "2026-01-01T00:00:00Z", "conditions": conditions, **done}
        return self.admin.patch(job, {"status": status}, "status")

    def finish(self, job: Object, value: float = 0.75) -> Object:
        """A pod that runs and reports; then the Job completes."""
        pod = self.running(self.pod(job))
        ended = self.exits(pod, 0, report_of(job, pod, value))
        try:
            self.end_job(job)
        except ApiError as error:
            # The operator needs the pod alone, and may have been quicker.
            if error.status != 404:
                raise
        return ended


def _annotations(item: Object) -> dict[str, str]:
    given: dict[str, str] = item["metadata"].get("annotations", {})
    return {k.removeprefix("interplay.dev/"): v for k, v in given.items()}


def model(name: str) -> Object:
    """An inline model whose weights are pinned."""
    checkpoint = {"embedded": name.replace(".", "-"), "sha256": digest(name)}
    return {"alias": name, "inline": {"timm": "resnet18", "checkpoint": checkpoint}}


def report_of(job: Object, pod: Object, value: float, **changed: object) -> str:
    """The termination message of an honest runner; `changed` makes it lie."""
    plan = job["spec"]["template"]["metadata"]["annotations"][ANNOTATION_PLAN]
    names = [c["measurement"] for c in json.loads(plan)["cells"]]
    number = {"value": value, "n": 100, "low": 0.5, "high": 0.9, "method": "wilson"}
    fields = {
        "plan_digest": job["metadata"]["annotations"][ANNOTATION_PLAN_DIGEST],
        "modelrun_uid": job["metadata"]["labels"][LABEL_MODELRUN_UID],
        "pod_uid": pod["metadata"]["uid"],
        "attempt": int(job["metadata"]["annotations"]["interplay.dev/attempt"]),
        "cells": [
            CellResult(state="Succeeded", values=[Value.model_validate({"metric": n, **number})])
            for n in names
        ],
    }
    report = Report.model_validate({**fields, **changed})
    return encode_termination(encode_report(report)).decode()
