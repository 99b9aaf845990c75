"""Plays Job controller and kubelet: `python -m benchmarks.operator.player KUBECONFIG SECONDS`.

Each Job gets its pod, which runs for some seconds and reports 40 numbers; a second later the Job is
Complete, as with the real controller, which batches its syncs by that. A pod goes with its Job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from interplay_api.constants import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_PLAN,
    ANNOTATION_PLAN_DIGEST,
    LABEL_MODELRUN_UID,
)
from interplay_api.report import CellResult, Report, Value, encode_report, encode_termination

from .http import Api, ApiError, Object

__all__ = ["VALUES", "report_of"]

VALUES = 40
SYNC_SECONDS = 1.0
AT_ONCE = 16
JOBS, PODS = "/apis/batch/v1/jobs", "/api/v1/pods"
BEGIN, END = "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"
Play = Callable[[Object], Awaitable[None]]


def report_of(pod: Object, chance: random.Random) -> str:
    """An honest termination message of `VALUES` numbers."""
    annotations = pod["metadata"]["annotations"]
    cells = json.loads(annotations[ANNOTATION_PLAN])["cells"]
    each = VALUES // len(cells)
    report = Report(
        plan_digest=annotations[ANNOTATION_PLAN_DIGEST],
        modelrun_uid=pod["metadata"]["labels"][LABEL_MODELRUN_UID],
        pod_uid=pod["metadata"]["uid"],
        attempt=int(annotations[ANNOTATION_ATTEMPT]),
        cells=[
            CellResult(
                state="Succeeded",
                values=[_value(f"{c['measurement']}_{i}", chance) for i in range(each)],
            )
            for c in cells
        ],
    )
    return encode_termination(encode_report(report)).decode()


def _value(metric: str, chance: random.Random) -> Value:
    value = chance.random()
    return Value(
        metric=metric, value=value, n=10_000, low=value - 0.01, high=value + 0.01, method="wilson"
    )


def pod_of(job: Object) -> Object:
    """The pod that the Job controller makes."""
    meta, template = job["metadata"], job["spec"]["template"]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-pod",
            "namespace": meta["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _pod_status(phase: str, state: Object) -> Object:
    container = {"name": "runner", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    return {"status": {"phase": phase, "containerStatuses": [{**container, "state": state}]}}


class Player:
    """All Jobs at once, a bounded number of requests at a time."""

    def __init__(self, api: Api, seconds: float) -> None:
        self._api, self._seconds = api, seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chance = random.Random(1)

    async def follow(self, path: str, play: Play, end: Play | None = None) -> None:
        """Watch for ever; each object has its task, and its end comes after that."""
        page = await self._api.call("GET", path, None, labelSelector=LABEL_MODELRUN_UID)
        async with asyncio.TaskGroup() as group:

            def begin(item: Object) -> None:
                self._tasks[item["metadata"]["uid"]] = group.create_task(self._may_go(play, item))

            for item in page["items"]:
                begin(item)
            print("ready", flush=True)
            version = page["metadata"]["resourceVersion"]
            async for event in self._api.watch(path, version, labelSelector=LABEL_MODELRUN_UID):
                if event["type"] == "ADDED":
                    begin(event["object"])
                elif event["type"] == "DELETED":
                    task = self._tasks.pop(event["object"]["metadata"]["uid"], None)
                    if end is not None:
                        group.create_task(self._may_go(end, event["object"], task))

    @staticmethod
    async def _may_go(play: Play, item: Object, first: asyncio.Task[None] | None = None) -> None:
        """The operator needs a pod's end alone, and deletes the Job before it is Complete."""
        if first is not None:
            await asyncio.wait([first])
        try:
            await play(item)
        except ApiError as error:
            if error.status != 404:
                raise

    async def _call(self, method: str, path: str, body: Object | None = None, **q: Any) -> Object:
        async with self._slots:
            return await self._api.call(method, path, body, **q)

    async def job(self, job: Object) -> None:
        """Controller and kubelet."""
        pods, path = f"/api/v1/namespaces/{job['metadata']['namespace']}/pods", _path(job)
        pod = await self._call("POST", pods, pod_of(job))
        started = {"startTime": BEGIN, "active": 1, "ready": 0}
        await self._call("PATCH", f"{path}/status", {"status": started})
        await self.pod(pod)
        await asyncio.sleep(SYNC_SECONDS)
        await self._call("PATCH", f"{path}/status", {"status": _complete()})

    async def pod(self, pod: Object) -> None:
        """Kubelet."""
        meta = pod["metadata"]
        status = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        running = {"running": {"startedAt": BEGIN}}
        await self._call("PATCH", status, _pod_status("Running", running))
        await asyncio.sleep(self._seconds)
        ended = {
            "exitCode": 0,
            "reason": "Completed",
            "message": report_of(pod, self._chance),
            "finishedAt": END,
        }
        await self._call("PATCH", status, _pod_status("Succeeded", {"terminated": ended}))

    async def job_gone(self, job: Object) -> None:
        """Garbage collector."""
        meta = job["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}-pod"
        await self._call("DELETE", path, None, gracePeriodSeconds="0")


def _path(job: Object) -> str:
    meta = job["metadata"]
    return f"/apis/batch/v1/namespaces/{meta['namespace']}/jobs/{meta['name']}"


def _complete() -> Object:
    words = {"status": "True", "lastTransitionTime": END, "lastProbeTime": END}
    types = ("SuccessCriteriaMet", "Complete")
    return {
        "active": 0,
        "succeeded": 1,
        "completionTime": END,
        "conditions": [{"type": t, **words} for t in types],
    }


async def _main(kubeconfig: Path, seconds: float, pods_only: bool) -> None:
    async with Api(kubeconfig) as api:
        player = Player(api, seconds)
        follow = (
            player.follow(PODS, player.pod)
            if pods_only
            else player.follow(JOBS, player.job, player.job_gone)
        )
        work = asyncio.create_task(follow)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        await asyncio.wait([work])
        if not work.cancelled() and (error := work.exception()):
            raise error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("seconds", type=float, help="how long a pod runs")
    parser.add_argument("--pods-only", action="store_true", help="the Job controller is real")
    given = parser.parse_args()
    asyncio.run(_main(given.kubeconfig, given.seconds, given.pods_only))
