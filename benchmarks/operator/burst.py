"""From apply to Job, at once or so many a second, beside the bare client."""

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

__all__ = ["burst", "pace"]

PATIENCE = 300.0
FOR_EVER = 3600.0


def _seconds(calls: Sequence[Call]) -> float:
    """From the arrival of the first apply to the answer for the last Job."""
    first = min(c.received for c in calls if c.resource == "evaluations")
    last = max(c.done for c in calls if c.resource == "jobs" and c.verb == "create")
    return last - first


def _starts(calls: Sequence[Call]) -> dict[str, float]:
    return milliseconds(t for times in apply_to_job(calls).values() for t in times)


async def _ours(arena: Arena, shape: Shape) -> tuple[list[Call], Script, dict[str, Any]]:
    jobs = JOBS.format(NAMESPACE)
    async with Api(arena.kubeconfig) as api:
        with arena.serving(naive=False) as process:
            assert process.pid is not None
            mark, before = arena.mark(), ProcessStat.of(process.pid)
            await apply(api, shape)
            await until_count(api, jobs, shape.evaluations * shape.models, PATIENCE)
            calls = [c for c in arena.calls(mark) if c.user != arena.account("player")]
            after = ProcessStat.of(process.pid)
        script = await record(api, calls, NAMESPACE)
    await arena.wipe()
    mine = [c for c in calls if c.user == arena.account("operator")]
    facts = {
        "apply to Job, ms": _starts(calls),
        "CPU seconds": round(after.cpu_seconds - before.cpu_seconds, 2),
        "writes": writes_of(mine),
        "reads": sum(c.verb in ("get", "list") for c in mine),
    }
    return calls, script, facts


async def _bare(arena: Arena, script: Script, rate: float | None) -> list[Call]:
    mark = arena.mark()
    async with Api(arena.bare_config) as api:
        await replay(api, script, rate)
    calls = arena.calls(mark, user=arena.account("bare"))
    await arena.wipe()
    return calls


async def burst(arena: Arena, shape: Shape, rounds: int) -> dict[str, Any]:
    """Alternated runs; each ratio is of two runs that follow one another."""
    ours: list[float] = []
    bare: list[float] = []
    facts: dict[str, Any] = {}
    script = None
    for _ in range(rounds):
        calls, script, facts = await _ours(arena, shape)
        ours.append(_seconds(calls))
        bare.append(_seconds(await _bare(arena, script, shape.rate)))
    assert script is not None
    return {
        "load": shape.name,
        "ours, s": spread(ours),
        "bare client, s": spread(bare),
        "ratio": spread([o / b for o, b in zip(ours, bare, strict=True)]),
        "writes of the last script": script.writes,
        "last run": facts,
    }


async def pace(arena: Arena, shape: Shape) -> dict[str, Any]:
    """What the way to the Job takes while nothing but starts goes on: no pod ends."""
    with arena.player(FOR_EVER):
        _, script, facts = await _ours(arena, shape)
    # Without a player nobody makes another pod meanwhile.
    await arena.wipe()
    with arena.player(FOR_EVER):
        bare = _starts(await _bare(arena, script, shape.rate))
    await arena.wipe()
    return {"load": shape.name, **facts, "bare client, ms": bare}
