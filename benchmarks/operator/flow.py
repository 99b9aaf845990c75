"""A load from apply to the last status: how late, how many requests, how much CPU."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .arena import Arena
from .audit import Call
from .http import Api, Object
from .load import Shape, apply, until_finished
from .numbers import milliseconds, quantile
from .player import VALUES
from .procfs import ProcessStat

__all__ = ["apply_to_job", "check", "flow", "pod_to_status", "writes_of"]

POD_SECONDS = 1.0
SETTLE_SECONDS = 7.0
"""Longer than a count of an Evaluation waits to be written."""
PATIENCE = 600.0
PASSES = re.compile(r'interplay_reconciles_total\{kind="(\w+)",outcome="(\w+)"\} ([0-9.]+)')


def apply_to_job(calls: Sequence[Call]) -> dict[str, list[float]]:
    """By Evaluation: seconds from the arrival of its apply to the answer for each of its Jobs."""
    applied = {c.name: c.received for c in calls if _made(c, "evaluations")}
    times: dict[str, list[float]] = {name: [] for name in applied}
    for call in calls:
        if _made(call, "jobs") and call.evaluation in applied:
            times[call.evaluation].append(call.done - applied[call.evaluation])
    return times


def _made(call: Call, resource: str) -> bool:
    return call.verb == "create" and call.resource == resource and call.code == 201


def writes_of(calls: Sequence[Call]) -> dict[str, int]:
    """Writes that were carried out, by verb and resource."""
    return dict(Counter(f"{c.verb} {c.resource}" for c in calls if c.is_write and c.code < 300))


def pod_to_status(calls: Sequence[Call], user: str) -> tuple[list[float], int]:
    """Seconds from a pod's end to its ModelRun's last status; how many the Job did not precede."""
    ended: dict[str, float] = {}
    stored: dict[str, float] = {}
    judged: dict[str, float] = {}
    for call in calls:
        if call.code > 299:
            continue
        run = _run_of(call.name)
        if call.resource == "pods/status":
            ended[run] = call.done
            judged.pop(run, None)
        elif call.resource == "modelruns/status" and call.user == user:
            stored[call.name] = call.done
        elif call.resource == "jobs/status":
            judged.setdefault(run, call.done)
    times = [stored[run] - at for run, at in ended.items()]
    return times, sum(stored[run] <= judged.get(run, float("inf")) for run in ended)


def _run_of(name: str) -> str:
    """A Job is called <modelrun>-<attempt>, its pod <job>-<something>."""
    return re.sub(r"-1(-[a-z0-9]+)?$", "", name)


def check(items: Sequence[Object], models: int) -> None:
    """A benchmark of wrong results would be worth nothing."""
    for item in items:
        results = item["status"]["results"]
        counts = item["status"]["models"]["succeeded"]
        if counts != models or any(len(r["values"]) != VALUES for r in results):
            raise RuntimeError(f"{item['metadata']['name']} lacks results: {item['status']}")


async def flow(
    arena: Arena, shape: Shape, *, naive: bool = False, player: Sequence[str] = ()
) -> dict[str, Any]:
    """Run one load with our operator or with the naive one; the arena is empty afterwards."""
    user = arena.account("naive" if naive else "operator")
    total = shape.evaluations * shape.models
    async with Api(arena.kubeconfig) as api:
        with arena.serving(naive) as process, arena.player(POD_SECONDS, *player):
            assert process.pid is not None
            mark, before = arena.mark(), ProcessStat.of(process.pid)
            await apply(api, shape)
            items = await until_finished(api, shape.evaluations, PATIENCE)
            await asyncio.sleep(SETTLE_SECONDS)
            after = ProcessStat.of(process.pid)
    if total <= 1000 and shape.models * VALUES <= 2000:
        check(items, shape.models)
    calls = arena.calls(mark)
    await arena.wipe()
    mine = [c for c in calls if c.user == user]
    writes = writes_of(mine)
    ends, sooner = pod_to_status(calls, user)
    starts = [t for times in apply_to_job(calls).values() for t in times]
    last = max(c.done for c in mine if c.is_write)
    sizes = [len(json.dumps(i["status"], separators=(",", ":"))) for i in items]
    return {
        "load": shape.name,
        "operator": "naive" if naive else "ours",
        "apply to Job, ms": milliseconds(starts),
        "pod's end to status, ms": milliseconds(ends),
        "stored before the Job's status tells": f"{sooner} of {len(ends)}",
        "seconds in all": round(last - min(c.received for c in calls), 1),
        "CPU seconds": round(after.cpu_seconds - before.cpu_seconds, 2),
        "RSS, MB": round(after.rss_mb),
        "writes": writes,
        "writes per model": round(sum(writes.values()) / total, 2),
        "writes refused": sum(c.is_write and c.code > 299 for c in mine),
        "reads": dict(Counter(f"{c.verb} {c.resource}" for c in mine if c.verb in ("get", "list"))),
        "Evaluation status, bytes": {"p99": quantile(sizes, 0.99), "max": max(sizes)},
    }
