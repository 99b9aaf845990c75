"""A thousand Evaluations at once, from the first apply to the last Job, beside the bare client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arena import NAMESPACE, Arena
from .audit import Call
from .bare import Script, record, replay
from .flow import apply_to_job, writes_of
from .http import Api
from .load import JOBS, Shape, apply, until_count
from .numbers import milliseconds, spread
from .procfs import ProcessStat

__all__ = ["burst"]

PATIENCE = 300.0


def _seconds(calls: Sequence[Call]) -> float:
    """From the arrival of the first apply to the answer for the last Job."""
    first = min(c.received for c in calls if c.resource == "evaluations")
    last = max(c.done for c in calls if c.resource == "jobs" and c.verb == "create")
    return last - first


async def _ours(arena: Arena, shape: Shape) -> tuple[float, Script, dict[str, Any]]:
    jobs = JOBS.format(NAMESPACE)
    async with Api(arena.kubeconfig) as api:
        with arena.serving(naive=False) as process:
            assert process.pid is not None
            mark, before = arena.mark(), ProcessStat.of(process.pid)
            await apply(api, shape)
            await until_count(api, jobs, shape.evaluations * shape.models, PATIENCE)
            calls = arena.calls(mark)
            after = ProcessStat.of(process.pid)
        script = await record(api, calls, NAMESPACE)
    await arena.wipe()
    mine = [c for c in calls if c.user == arena.account("operator")]
    facts = {
        "apply to Job, ms": milliseconds(t for ts in apply_to_job(calls).values() for t in ts),
        "CPU seconds": round(after.cpu_seconds - before.cpu_seconds, 2),
        "writes": writes_of(mine),
    }
    return _seconds(calls), script, facts


async def _bare(arena: Arena, script: Script) -> float:
    mark = arena.mark()
    async with Api(arena.bare_config) as api:
        await replay(api, script)
    seconds = _seconds(arena.calls(mark, user=arena.account("bare")))
    await arena.wipe()
    return seconds


async def burst(arena: Arena, shape: Shape, rounds: int) -> dict[str, Any]:
    """Alternated runs; each ratio is of two runs that follow one another."""
    ours: list[float] = []
    bare: list[float] = []
    facts: dict[str, Any] = {}
    script = None
    for _ in range(rounds):
        seconds, script, facts = await _ours(arena, shape)
        ours.append(seconds)
        bare.append(await _bare(arena, script))
    assert script is not None
    return {
        "load": shape.name,
        "ours, s": spread(ours),
        "bare client, s": spread(bare),
        "ratio": spread([o / b for o, b in zip(ours, bare, strict=True)]),
        "writes of the last script": script.writes,
        "last run": facts,
    }
