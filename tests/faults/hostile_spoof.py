"""F32: objects that carry our labels, names and references, and are not ours: no word is believed.

Labels claim nothing, a reference that is not a controller's claims nothing, and a name that is
taken is told and waited for. Whoever may write a controller's reference with the right uid into a
namespace is trusted there: Kubernetes' own garbage collector believes it too.
"""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interplay_api.constants import ANNOTATION_EVALUATION, ANNOTATION_MODEL, API_VERSION
from interplay_api.names import digest
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition, model, until
from tests.faults.observer import Wrote
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.served import Served
from tests.faults.truth import message_of, number_of
from tests.faults.world import ACCOUNT, World

__all__ = ["SPOOFS", "Stage", "spoofs"]

FORGED = 0.987654
EVIL = "registry.example/evil@sha256:" + "e" * 64


@dataclass
class Stage:
    """One namespace, one Evaluation of the case's own, and what the user put beside it."""

    served: Served
    name: str
    made: list[Object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hand, self.admin = self.served.hand, self.served.world.server.admin
        self.before = 0

    def _writes(self) -> list[Wrote]:
        return self.served.world.audit.of(self.hand.namespace, ACCOUNT)

    def evaluation(self, *models: str, **spec: object) -> Object:
        """Apply it."""
        chosen = [model(f"{self.name}-{m}") for m in models or ("a",)]
        return self.hand.evaluation(self.name, models=chosen, reuse="Never", **spec)

    def job(self, model_: str = "a") -> Object:
        """The Job of one of its models."""
        said = {ANNOTATION_EVALUATION: self.name, ANNOTATION_MODEL: f"{self.name}-{model_}"}

        def look() -> Object | None:
            for job in self.hand.jobs():
                if _owners(job) and said.items() <= job["metadata"]["annotations"].items():
                    return job
            return None

        return until(f"a Job of {self.name}", look)

    def put(self, item: Object, status: Object | None = None) -> Object:
        """Create an object of the user's own, optionally with a status."""
        if not self.made:
            self.before = len(self._writes())
        kept = {k: v for k, v in item["metadata"].items() if k in METADATA}
        meta = {**kept, "namespace": self.hand.namespace}
        body = {k: v for k, v in item.items() if k != "status"}
        stored = self.admin.create({**body, "metadata": meta})
        if status is not None:
            stored = self.admin.patch(stored, {"status": status}, "status")
        self.made.append(stored)
        return stored

    def finish(self) -> list[str]:
        """The honest pod reports; what is wrong with what came out, and with what is left."""
        job = self.job()
        pod = self.hand.running(self.hand.pod(job, "honest"))
        self.hand.exits(pod, 0, message_of(job, pod))
        try:
            self.hand.end_job(job)
        except ApiError as error:
            if error.status != 404:
                raise
        item = self.hand.until(self.name, "Complete")
        values = [v["value"] for r in item["status"]["results"] for v in r["values"].values()]
        keys = [c["key"] for r in self.runs() for c in r["spec"]["plan"]["cells"]]
        honest = [round(number_of(k), 9) for k in keys]
        wrong = [] if [round(v, 9) for v in values] == honest else [f"I2: the table has {values}"]
        return wrong + self.untouched()

    def runs(self) -> list[Object]:
        """The ModelRuns that the Evaluation controls."""
        uid = self.hand.get(self.name)["metadata"]["uid"]
        return [r for r in self.hand.runs() if uid in _owners(r)]

    def run(self) -> Object:
        """Its first ModelRun."""
        return until(f"a ModelRun of {self.name}", self.runs)[0]

    def untouched(self) -> list[str]:
        """Whether the user's own objects are there, and nobody wrote to them."""
        wrong = []
        mine = {(i["kind"].lower() + "s", i["metadata"]["name"]) for i in self.made}
        for wrote in self._writes()[self.before :]:
            if (wrote.resource.partition("/")[0], wrote.name) in mine and wrote.code < 300:
                wrong.append(f"I3: {wrote.verb} {wrote.resource} {wrote.name}")
        for item in self.made:
            if item["metadata"].get("ownerReferences"):
                # The garbage collector's, once the owner is gone.
                continue
            try:
                self.admin.request("GET", self.admin.path_of(item))
            except ApiError:
                wrong.append(f"I3: {item['kind']} {item['metadata']['name']} is gone")
        page = self.served.operator.metrics()
        return wrong + ([f"I3: {FORGED} is in /metrics"] if str(FORGED) in page else [])

    def progress(self, text: str) -> list[str]:
        """Whether its condition comes to say something."""

        def says() -> bool:
            return text in condition(self.hand.get(self.name), "Progressing").get("message", "")

        if self.served.settles(says):
            return []
        said = condition(self.hand.get(self.name), "Progressing").get("message", "")
        return [f"I5: it says {said!r}, not {text!r}"]


SERVERS = ("controller-uid", "job-name")
METADATA = ("name", "labels", "annotations", "ownerReferences")


def _owners(item: Object) -> list[str]:
    return [o["uid"] for o in item["metadata"].get("ownerReferences", ()) if o.get("controller")]


def _copy(item: Object, name: str, owner: Object | None = None, **more: Any) -> Object:
    """A copy with all labels and annotations, and the owner that the user makes up."""
    made = copy.deepcopy(item)
    made["metadata"] |= {"name": name, "ownerReferences": [owner] if owner else []}
    if made.get("kind") == "Job":
        # What the API server adds to a Job for itself.
        del made["spec"]["selector"]
        labels = made["spec"]["template"]["metadata"]["labels"]
        for key in [k for k in labels if k in SERVERS or k.startswith("batch.kubernetes.io/")]:
            del labels[key]
    return {**made, **more}


def _reference(item: Object, **more: Any) -> Object:
    meta = item["metadata"]
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        **more,
    }


def _forged_status(run: Object) -> Object:
    cells = [
        {
            **{k: c[k] for k in ("measurement", "dataset", "key")},
            "state": "Succeeded",
            "values": [{"key": "digits_test_top1", "metric": "top1", "value": FORGED, "n": 100}],
        }
        for c in run["spec"]["plan"]["cells"]
    ]
    done = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {"conditions": [done], "cells": cells, "attempt": 1}


def _lie(job: Object, pod: Object) -> str:
    return message_of(job, pod, salt="forged")


def labels_on_a_job(stage: Stage) -> list[str]:
    """A Job with every label and annotation of ours, which nobody owns."""
    stage.evaluation()
    stage.put(_copy(stage.job(), f"{stage.name}-mine"))
    return stage.finish()


def a_reference_beside_ours(stage: Stage) -> list[str]:
    """A Job that refers to our ModelRun, but is not controlled by it."""
    stage.evaluation()
    run = stage.run()
    run |= {"apiVersion": API_VERSION, "kind": "ModelRun"}
    stage.put(_copy(stage.job(), f"{stage.name}-mine", _reference(run, controller=False)))
    return stage.finish()


def a_pod_with_labels(stage: Stage) -> list[str]:
    """A pod with our labels and a perfect report, which nobody owns."""
    stage.evaluation()
    job = stage.job()
    pod = stage.put(_pod(job, f"{stage.name}-mine", None))
    stage.hand.exits(pod, 0, _lie(job, pod))
    return stage.finish()


def a_pod_beside_our_job(stage: Stage) -> list[str]:
    """A pod that refers to our Job, but is not controlled by it."""
    stage.evaluation()
    job = stage.job()
    pod = stage.put(_pod(job, f"{stage.name}-mine", _reference(job, controller=False)))
    stage.hand.exits(pod, 0, _lie(job, pod))
    return stage.finish()


def a_pod_of_another_job(stage: Stage) -> list[str]:
    """A pod of the user's own Job, with the labels of ours."""
    stage.evaluation()
    job = stage.job()
    mine = stage.put(_copy(job, f"{stage.name}-mine"))
    mine |= {"apiVersion": "batch/v1", "kind": "Job"}
    pod = stage.put(_pod(job, f"{stage.name}-mine", _reference(mine, controller=True)))
    stage.hand.exits(pod, 0, _lie(job, pod))
    return stage.finish()


def _pod(job: Object, name: str, owner: Object | None) -> Object:
    template = job["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **template["metadata"],
            "name": name,
            "ownerReferences": [owner] if owner else [],
        },
        "spec": template["spec"],
    }


def the_name_of_a_job_to_come(stage: Stage) -> list[str]:
    """A Job that has the name of an attempt to come: told, waited for, never deleted."""
    stage.evaluation("a", "b", parallelism=1)
    first = stage.job()
    until("two ModelRuns", lambda: len(stage.runs()) == 2)
    run = next(r for r in stage.runs() if r["spec"]["model"].endswith("-b"))
    stage.put(_copy(first, f"{run['metadata']['name']}-1"))
    pod = stage.hand.running(stage.hand.pod(first))
    stage.hand.exits(pod, 0, message_of(first, pod))
    wrong = stage.progress("exists and belongs to somebody else") + stage.untouched()
    for item in stage.made:
        stage.admin.delete(item)
    stage.made.clear()

    def comes() -> bool:
        return any(run["metadata"]["uid"] in _owners(j) for j in stage.hand.jobs())

    return wrong if stage.served.settles(comes) else [*wrong, "I5: it does not go on"]


def a_modelrun_by_hand(stage: Stage) -> list[str]:
    """A ModelRun that speaks of the Evaluation, with a forged plan and forged numbers."""
    stage.evaluation()
    run = stage.run()
    forged = _copy(run, f"{stage.name}-mine-00000000", apiVersion=API_VERSION, kind="ModelRun")
    forged["spec"]["pod"]["image"] = EVIL
    stage.put(forged, _forged_status(run))
    return stage.finish() + _no_evil(stage)


def a_modelrun_beside_ours(stage: Stage) -> list[str]:
    """The same, with a reference to the Evaluation that is not a controller's."""
    applied = stage.evaluation()
    run = stage.run()
    owner = _reference(applied, controller=False)
    forged = _copy(
        run, f"{stage.name}-mine-00000000", owner, apiVersion=API_VERSION, kind="ModelRun"
    )
    stage.put(forged, _forged_status(run))
    return stage.finish()


def numbers_to_copy(stage: Stage) -> list[str]:
    """A ModelRun by hand that offers forged numbers for the content key of another one."""
    stage.evaluation()
    run = stage.run()
    forged = _copy(run, f"{stage.name}-mine-00000000", apiVersion=API_VERSION, kind="ModelRun")
    stage.put(forged, _forged_status(run))
    _delete_all(stage, run)
    stage.hand.evaluation(stage.name, models=[model(f"{stage.name}-a")])
    return stage.finish()


def _delete_all(stage: Stage, run: Object) -> None:
    """Delete the Evaluation; returns when its ModelRun and Job are collected."""
    stage.job()
    stage.admin.delete(stage.hand.get(stage.name))
    uid = run["metadata"]["uid"]

    def collected() -> bool:
        mine = any(_of(stage, j) for j in stage.hand.jobs())
        return not mine and uid not in {r["metadata"]["uid"] for r in stage.hand.runs()}

    until("all is collected", collected, 60)


def _of(stage: Stage, job: Object) -> bool:
    said = job["metadata"].get("annotations", {}).get("interplay.dev/evaluation")
    return bool(said == stage.name)


def the_name_of_a_modelrun_to_come(stage: Stage) -> list[str]:
    """A ModelRun that has the name of one to come: told, waited for, never deleted."""
    stage.evaluation()
    run = stage.run()
    name = run["metadata"]["name"]
    _delete_all(stage, run)
    stage.put(_copy(run, name, apiVersion=API_VERSION, kind="ModelRun"))
    stage.evaluation()
    wrong = stage.progress(f"ModelRun {name} exists and belongs to somebody else")
    wrong += stage.untouched()
    for item in stage.made:
        stage.admin.delete(item)
    stage.made.clear()
    # Nothing tells that a name is free: it is looked at again every 30 s.
    gone = stage.served.settles(lambda: any(_of(stage, j) for j in stage.hand.jobs()), 60)
    return wrong + (stage.finish() if gone else ["I5: it does not go on"])


def a_forged_plan_under_our_name(stage: Stage) -> list[str]:
    """A ModelRun that the Evaluation controls, of the right name, and with another image."""
    applied = stage.evaluation(suspend=True)
    run = stage.run()
    name = run["metadata"]["name"]
    run |= {"apiVersion": API_VERSION, "kind": "ModelRun"}
    forged = _copy(run, name, _reference(applied, controller=True))
    forged["spec"]["pod"]["image"] = EVIL
    process = stage.served.operator.process
    process.signal(signal.SIGSTOP)
    stage.admin.delete(run)
    stage.put(forged)
    process.signal(signal.SIGCONT)
    stage.made.clear()
    stage.evaluation()
    return stage.progress("metadata.name: it is not of this spec") + _no_evil(stage)


def _no_evil(stage: Stage) -> list[str]:
    images = {
        c["image"] for j in stage.hand.jobs() for c in j["spec"]["template"]["spec"]["containers"]
    }
    return ["I11: the forged image runs"] if EVIL in images else []


SPOOFS: tuple[Callable[[Stage], list[str]], ...] = (
    labels_on_a_job,
    a_reference_beside_ours,
    a_pod_with_labels,
    a_pod_beside_our_job,
    a_pod_of_another_job,
    the_name_of_a_job_to_come,
    a_modelrun_by_hand,
    a_modelrun_beside_ours,
    numbers_to_copy,
    the_name_of_a_modelrun_to_come,
    a_forged_plan_under_our_name,
)


@campaign("F32", "Spoofed labels, names and owners", quick=1, full=2, kind="input")
def spoofs(world: World, round_: Round) -> list[Fault]:
    """One Evaluation for each."""
    faults = []
    with Served(world) as served:
        for number, spoof in enumerate(SPOOFS):
            fault = round_.fault((spoof.__doc__ or "").splitlines()[0])
            stage = Stage(served, f"s{number}-{digest(round_.name)[:4]}")
            try:
                fault.violations += spoof(stage)
            except AssertionError as error:
                fault.violations.append(f"I5: {error}"[:300])
            faults.append(fault)
        faults[-1].violations += [f"I8: {p}" for p in served.problems()]
    return faults
