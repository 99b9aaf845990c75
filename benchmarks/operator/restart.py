"""A start among thousands of finished and running Evaluations, then minutes with nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from tests.apiserver.operator import OperatorProcess

from .arena import NAMESPACE, Arena
from .audit import Call
from .clones import clone, family_of
from .flow import POD_SECONDS
from .http import Api
from .load import EVALUATIONS, JOBS, Shape, apply, evaluation, until_count, until_finished
from .numbers import milliseconds
from .procfs import ProcessStat

__all__ = ["restart"]

SETTLE_SECONDS = 10.0
PATIENCE = 120.0
LOOK_SECONDS = 0.02
FIRST, SECOND = "f0000000", "r0000000"


async def _models(arena: Arena, api: Api) -> None:
    """One finished and one running Evaluation, made by the operator itself."""
    with arena.operator():
        with arena.player(POD_SECONDS):
            await apply(api, Shape(1, 1, None, "f00"))
            await until_finished(api, 1, PATIENCE)
        with arena.player(3600):
            await api.call("POST", EVALUATIONS.format(NAMESPACE), evaluation(SECOND, ["running"]))
            await until_count(api, JOBS.format(NAMESPACE), 1, PATIENCE)
            await asyncio.sleep(SETTLE_SECONDS)


async def restart(arena: Arena, finished: int, running: int, idle_seconds: float) -> dict[str, Any]:
    """Build it in two steps, so that memory per Evaluation is a difference of two starts."""
    async with Api(arena.kubeconfig) as api:
        await _models(arena, api)
        done, runs = await family_of(api, FIRST), await family_of(api, SECOND)
        empty = await _start(arena, 0)
        some = finished // 10
        await clone(api, done, [f"f{i:07}" for i in range(1, some)])
        few = await _start(arena, 0)
        await clone(api, done, [f"f{i:07}" for i in range(some, finished)])
        many = await _start(arena, 0)
        await clone(api, runs, [f"r{i:07}" for i in range(1, running)])
        last = await _start(arena, idle_seconds)
    thousands = (finished - some) / 1000
    return {
        "finished": finished,
        "running": running,
        "base memory, MB": empty["RSS, MB"],
        "MB per 1,000 finished": round((many["RSS, MB"] - few["RSS, MB"]) / thousands, 2),
        "starts": {"almost empty": empty, f"{some} finished": few, f"{finished} finished": many},
        **last,
    }


async def _start(arena: Arena, idle_seconds: float) -> dict[str, Any]:
    """Start, settle, and be idle for a while; what was read and written on the way."""
    mark, began = arena.mark(), time.monotonic()
    with arena.operator() as operator:
        ready = time.monotonic() - began
        assert operator.process.pid is not None
        await asyncio.sleep(SETTLE_SECONDS)
        settled = ProcessStat.of(operator.process.pid)
        facts: dict[str, Any] = {
            "ready after, s": round(ready, 1),
            "CPU seconds until settled": round(settled.cpu_seconds, 1),
            "RSS, MB": round(settled.rss_mb, 1),
            "peak / steady": round(settled.peak_mb / settled.rss_mb, 2),
        }
        calls = arena.calls(mark, user=arena.account("operator"))
        facts["writes"] = sum(c.is_write for c in calls)
        if idle_seconds:
            facts |= {"idle": await _idle(arena, operator, idle_seconds)}
            facts |= {"page of metrics": await _metrics(operator)}
    return facts


async def _idle(arena: Arena, operator: OperatorProcess, seconds: float) -> dict[str, Any]:
    assert operator.process.pid is not None
    mark, before = arena.mark(), ProcessStat.of(operator.process.pid)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    length = time.monotonic() - began
    after = ProcessStat.of(operator.process.pid)
    calls = arena.calls(mark, user=arena.account("operator"))
    return {
        "seconds": round(length),
        "writes": sum(c.is_write for c in calls),
        "reads": _reads(calls),
        "share of a core, %": round(100 * (after.cpu_seconds - before.cpu_seconds) / length, 2),
        "RSS, MB": round(after.rss_mb, 1),
    }


def _reads(calls: list[Call]) -> dict[str, int]:
    found: dict[str, int] = {}
    for call in calls:
        if not call.is_write:
            what = f"{call.verb} {call.resource}"
            found[what] = found.get(what, 0) + 1
    return found


async def _metrics(operator: OperatorProcess) -> dict[str, Any]:
    """The page, and how late the loop answers a probe meanwhile."""
    late: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def get(port: int, path: str) -> bytes:
            async with session.get(f"http://127.0.0.1:{port}/{path}") as response:
                return await response.read()

        async def probe() -> None:
            while True:
                began = time.monotonic()
                await get(operator.probes, "healthz")
                late.append(time.monotonic() - began)
                await asyncio.sleep(LOOK_SECONDS)

        probing = asyncio.create_task(probe())
        began = time.monotonic()
        page = await get(operator.metrics_port, "metrics")
        seconds = time.monotonic() - began
        probing.cancel()
        await asyncio.wait([probing])
    return {
        "seconds": round(seconds, 2),
        "series": sum(not line.startswith(b"#") for line in page.splitlines()),
        "probe meanwhile, ms": milliseconds(late),
    }
