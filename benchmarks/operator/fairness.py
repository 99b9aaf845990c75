"""How much later a small Evaluation starts while one of a thousand models is being started."""

from __future__ import annotations

import asyncio
from typing import Any

from .arena import NAMESPACE, Arena
from .flow import apply_to_job
from .http import Api
from .load import EVALUATIONS, JOBS, Shape, apply, evaluation, until_count
from .numbers import milliseconds

__all__ = ["fairness"]

PATIENCE = 300.0


async def fairness(arena: Arena, models: int, small: int, rate: float) -> dict[str, Any]:
    """Small ones alone, then again right behind the large one; the operator is the same."""
    async with Api(arena.kubeconfig) as api:
        with arena.serving(naive=False):
            mark = arena.mark()
            await apply(api, Shape(small, 1, rate, "alone"))
            await until_count(api, JOBS.format(NAMESPACE), small, PATIENCE)
            alone = apply_to_job(arena.calls(mark))
            mark = arena.mark()
            large = evaluation("large", [f"large{i:04}" for i in range(models)])
            async with asyncio.TaskGroup() as group:
                group.create_task(api.call("POST", EVALUATIONS.format(NAMESPACE), large))
                group.create_task(apply(api, Shape(small, 1, rate, "beside")))
            await until_count(api, JOBS.format(NAMESPACE), 2 * small + models, PATIENCE)
            beside = apply_to_job(arena.calls(mark))
    await arena.wipe()
    last = max(beside.pop("large"))
    before, during = (milliseconds(t for ts in x.values() for t in ts) for x in (alone, beside))
    return {
        "large": f"1 x {models}",
        "small": f"{small} x 1, {rate:g} per second",
        "large: last Job after, s": round(last, 2),
        "alone, ms": before,
        "beside the large one, ms": during,
        "added at p99, ms": round(during["p99"] - before["p99"], 1),
    }
