"""Evaluations by the hundred, all at once or so many a second, and the wait for their end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tests.apiserver.operator import model

from .arena import MEASUREMENTS, NAMESPACE
from .http import API, Api, Object

__all__ = ["EVALUATIONS", "JOBS", "Shape", "apply", "evaluation", "until_count", "until_finished"]

EVALUATIONS = f"{API}/namespaces/{{}}/evaluations"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
AT_ONCE = 32
LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Shape:
    """How much load, and how fast."""

    evaluations: int
    models: int
    rate: float | None = None
    """Evaluations a second; None is all at once."""
    prefix: str = "e"

    @property
    def name(self) -> str:
        """Words for a table."""
        how = "at once" if self.rate is None else f"{self.rate:g} per second"
        return f"{self.evaluations} x {self.models}, {how}"

    def manifests(self, namespace: str = NAMESPACE) -> Iterable[Object]:
        """The Evaluations; no two measure the same model, so nothing can be reused."""
        for i in range(self.evaluations):
            name = f"{self.prefix}{i:05}"
            yield evaluation(name, [f"{name}{j:04}" for j in range(self.models)], namespace)


def evaluation(name: str, models: Iterable[str], namespace: str = NAMESPACE) -> Object:
    """One manifest; all its Jobs may run at once."""
    chosen = [model(m) for m in models]
    return {
        "apiVersion": "interplay.dev/v1alpha1",
        "kind": "Evaluation",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "models": chosen,
            "measurements": {"names": list(MEASUREMENTS)},
            "parallelism": len(chosen),
        },
    }


async def apply(api: Api, shape: Shape, namespace: str = NAMESPACE) -> None:
    """Create them: at once over some connections, or each at its time whatever the others do."""
    slots = asyncio.Semaphore(AT_ONCE)
    start = time.monotonic()

    async def create(i: int, item: Object) -> None:
        if shape.rate is not None:
            await asyncio.sleep(start + i / shape.rate - time.monotonic())
        async with slots:
            await api.call("POST", EVALUATIONS.format(namespace), item)

    async with asyncio.TaskGroup() as group:
        for i, item in enumerate(shape.manifests(namespace)):
            group.create_task(create(i, item))


async def _count(api: Api, path: str) -> int:
    """Objects of a collection, without their content."""
    page = await api.call("GET", path, None, limit="1")
    more: int = page["metadata"].get("remainingItemCount", 0)
    return len(page["items"]) + more


async def until_count(api: Api, path: str, count: int, seconds: float) -> None:
    """Wait until a collection has so many objects."""
    seen = -1
    try:
        async with asyncio.timeout(seconds):
            while (seen := await _count(api, path)) != count:
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{path}: {seen} of {count} objects after {seconds} s") from None


async def until_finished(
    api: Api, count: int, seconds: float, namespace: str = NAMESPACE
) -> list[Object]:
    """All Evaluations once so many are Complete; a cheap look first: their Jobs are deleted."""
    complete = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                await until_count(api, JOBS.format(namespace), 0, seconds)
                items = await api.listed(EVALUATIONS.format(namespace))
                complete = sum(_is_complete(i) for i in items)
                if complete == count:
                    return items
                await asyncio.sleep(LOOK_SECONDS * 4)
    except TimeoutError:
        raise TimeoutError(f"{complete} of {count} Evaluations Complete in {seconds} s") from None


def _is_complete(item: Object) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Complete" and c["status"] == "True" for c in conditions)
