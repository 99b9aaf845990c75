"""The same job as kopf's tutorials do it: `python -m benchmarks.operator.naive KUBECONFIG`.

Change handlers with kopf's own progress and last-handled annotations, pods and Jobs by `on.field`,
status through `patch.status`, the official typed client for everything else. All that is not the
framework's business (resolution, manifests, the check of a report, the fold into one status) is
the operator's own pure code, so what differs is the shape of the operator alone. kopf's settings
are its defaults. It leaves out what the load does not need: parallelism, suspension, deadlines,
re-runs, reuse.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes import client, config

from interplay_api.catalog import Catalog, Entry, Layer, builtin_layer
from interplay_api.constants import GROUP, LABEL_EVALUATION_UID, LABEL_MANAGED, MANAGED_BY, VERSION
from interplay_api.evaluation import EvaluationSpec
from interplay_api.modelrun import ModelRunSpec, ModelRunStatus
from interplay_operator.conditions import condition, stamp, with_conditions
from interplay_operator.jobs import JobRequest, job_manifest
from interplay_operator.plan import draft, ending, modelrun_manifest
from interplay_operator.policy import Policy
from interplay_operator.reasons import RunCondition, RunReason
from interplay_operator.records import EvaluationRecord, Meta, RunRecord
from interplay_operator.results import Expected, take
from interplay_operator.status import Fold, fold
from tests.apiserver.operator import IMAGE

registry = kopf.OperatorRegistry()
OURS = {LABEL_MANAGED: MANAGED_BY}
Body = Any


@kopf.on.login(registry=registry)
def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """By the kubeconfig."""
    return kopf.login_with_kubeconfig(settings=settings)


@kopf.index(GROUP, VERSION, "measurements", registry=registry)
def measurements(namespace: Any, name: str, spec: Any, **_: Any) -> Any:
    """The library by namespace."""
    return {namespace: Entry("Measurement", name, dict(spec))}


@kopf.on.create(GROUP, VERSION, "evaluations", registry=registry)
@kopf.on.update(GROUP, VERSION, "evaluations", field="spec", registry=registry)
def evaluate(
    body: Body, patch: kopf.Patch, name: str, namespace: Any, measurements: Any = None, **_: Any
) -> None:
    """Resolve, and create a ModelRun for each model."""
    mine = measurements.get(namespace, ())
    catalog = Catalog([Layer(namespace, mine), builtin_layer_once()])
    spec = EvaluationSpec.read(dict(body["spec"]))
    api = client.CustomObjectsApi()
    runs = draft(name, namespace, spec, catalog, catalog, IMAGE).runs
    for run in runs:
        manifest = modelrun_manifest(Meta.of(body), run)
        ignore_existing(
            api.create_namespaced_custom_object, GROUP, VERSION, namespace, "modelruns", manifest
        )
    patch.status["summary"] = f"0/{len(runs)}"
    patch.status["models"] = {"total": len(runs), "pending": len(runs)}
    kopf.info(body, reason="Running", message="Running")


@kopf.on.create(GROUP, VERSION, "modelruns", registry=registry)
def start(body: Body, patch: kopf.Patch, **_: Any) -> None:
    """Create its Job."""
    meta, spec = Meta.of(body), ModelRunSpec.read(dict(body["spec"]))
    request = JobRequest(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        evaluation_uid=meta.owner_uid,
        attempt=1,
        backoff_limit=3,
        spec=spec,
        plan=spec.plan,
        plan_digest=spec.plan.digest(),
    )
    manifest = job_manifest(request)
    ignore_existing(client.BatchV1Api().create_namespaced_job, meta.namespace, manifest)
    status = ModelRunStatus(
        attempt=1, job_name=manifest["metadata"]["name"], start_time=stamp(datetime.now(UTC))
    )
    patch.status.update(status.wire())


@kopf.on.field("v1", "pods", field="status.phase", labels=OURS, registry=registry)
def pod_changed(new: Any, body: Body, namespace: Any, **_: Any) -> None:
    """The pod runs, or has ended well: take its report, then delete its Job."""
    job = body["metadata"]["ownerReferences"][0]["name"]
    run = job.rpartition("-")[0]
    if new == "Running":
        write_run(namespace, run, {}, [condition(RunCondition.RUNNING, True, RunReason.RUNNING)])
    if new != "Succeeded":
        return
    item = client.CustomObjectsApi().get_namespaced_custom_object(
        GROUP, VERSION, namespace, "modelruns", run
    )
    spec = ModelRunSpec.read(item["spec"])
    expected = Expected(item["metadata"]["uid"], body["metadata"]["uid"], 1, spec.plan, spec, ())
    message = body["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    taken = take(expected, message, None)
    status = {
        "cells": [c.wire() for c in taken.cells],
        "reportSha256": taken.sha256,
        "provenance": taken.provenance.wire(),
    }
    end_run(namespace, run, status, condition(RunCondition.COMPLETE, True, RunReason.SUCCEEDED))
    client.BatchV1Api().delete_namespaced_job(job, namespace, propagation_policy="Background")


@kopf.on.field("batch", "v1", "jobs", field="status.conditions", labels=OURS, registry=registry)
def job_changed(new: Any, body: Body, namespace: Any, **_: Any) -> None:
    """The Job failed for good."""
    for found in new or ():
        if found["type"] == "Failed" and found["status"] == "True":
            run = body["metadata"]["ownerReferences"][0]["name"]
            failed = condition(RunCondition.FAILED, True, found["reason"], found["message"])
            end_run(namespace, run, {}, failed)


@kopf.on.field(GROUP, VERSION, "modelruns", field="status.conditions", registry=registry)
def summarize(body: Body, namespace: Any, **_: Any) -> None:
    """Fold all ModelRuns of the Evaluation into its status."""
    owner = body["metadata"]["ownerReferences"][0]
    api = client.CustomObjectsApi()
    item = api.get_namespaced_custom_object(GROUP, VERSION, namespace, "evaluations", owner["name"])
    record = EvaluationRecord.of(item)
    selector = f"{LABEL_EVALUATION_UID}={owner['uid']}"
    found = api.list_namespaced_custom_object(
        GROUP, VERSION, namespace, "modelruns", label_selector=selector
    )["items"]
    runs = {ending(r.meta.name): r for r in map(RunRecord.of, found)}
    policy = Policy.of(record.spec)
    view = Fold(record, policy.suspend, [*runs], "0" * 64, runs, frozenset(), False, now())
    status = fold(view)
    api.patch_namespaced_custom_object_status(
        GROUP, VERSION, namespace, "evaluations", owner["name"], {"status": status.wire()}
    )
    if status.completion_time:
        kopf.info(item, reason="AllSucceeded", message="AllSucceeded")


def write_run(namespace: str, name: str, status: dict[str, Any], conditions: Any) -> None:
    """Merge into a ModelRun's status."""
    stamped = [c.wire() for c in with_conditions([], conditions, 1, now())]
    change = {"status": {**status, "conditions": stamped}}
    client.CustomObjectsApi().patch_namespaced_custom_object_status(
        GROUP, VERSION, namespace, "modelruns", name, change
    )


def end_run(namespace: str, name: str, status: dict[str, Any], verdict: Any) -> None:
    """The last status of a ModelRun."""
    over = [verdict, condition(RunCondition.RUNNING, False, RunReason.FINISHED)]
    write_run(namespace, name, {**status, "completionTime": stamp(now())}, over)


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


BUILTIN: list[Layer] = []


def builtin_layer_once() -> Layer:
    """The built-in library; it is read from files."""
    if not BUILTIN:
        BUILTIN.append(builtin_layer())
    return BUILTIN[0]


def ignore_existing(create: Any, *args: Any) -> None:
    """A handler may run twice."""
    try:
        create(*args)
    except client.ApiException as error:
        if error.status != 409:
            raise


async def _main() -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(kopf.operator(registry=registry, clusterwide=True, ready_flag=ready))
    await asyncio.wait({task, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED")
    print("ready", flush=True)
    await task


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig")
    given = parser.parse_args()
    os.environ["KUBECONFIG"] = given.kubeconfig
    config.load_kube_config(given.kubeconfig)
    kopf.configure()
    asyncio.run(_main())
