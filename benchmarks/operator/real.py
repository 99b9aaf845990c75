"""The same load with the real Job controller and garbage collector, at two of their request rates.

Pods are still played: their reports are compressed JSON about their own uid, which no template of a
simulated kubelet can make. They need no node, so no scheduler runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.apiserver.processes import Process
from tests.apiserver.server import BINARIES

from .arena import Arena
from .flow import flow
from .load import Shape

__all__ = ["MANAGER", "real"]

MANAGER = "kube-controller-manager"
RATES = ((20, 30), (500, 1000))
"""Requests a second and burst: the default, and one that does not hold anything up."""


@contextmanager
def _manager(arena: Arena, rate: int, burst: int) -> Iterator[None]:
    process = Process(
        [
            BINARIES / MANAGER,
            f"--kubeconfig={arena.kubeconfig}",
            "--controllers=job-controller,garbage-collector-controller",
            f"--kube-api-qps={rate}",
            f"--kube-api-burst={burst}",
            "--leader-elect=false",
            "--secure-port=0",
        ],
        arena.folder / f"{MANAGER}.log",
    )
    process.start()
    try:
        yield
        if process.pid is None:
            raise RuntimeError(f"{MANAGER} ended:\n{process.tail()}")
    finally:
        process.stop()


async def real(arena: Arena, shape: Shape) -> list[dict[str, Any]]:
    """Our operator, at each rate of theirs."""
    rows = []
    for rate, burst in RATES:
        with _manager(arena, rate, burst):
            row = await flow(arena, shape, player=["--pods-only"])
        rows.append({"controllers' rate": f"{rate} (burst {burst})", **row})
    return rows
