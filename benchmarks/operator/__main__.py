"""`python -m benchmarks.operator`: runs all measurements, one after the other, and writes them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.apiserver.server import BINARIES, missing_binaries

from .arena import Arena
from .burst import burst, pace
from .fairness import fairness
from .flow import POD_SECONDS, flow
from .load import Shape
from .player import VALUES
from .procfs import machine
from .real import MANAGER, real
from .report import write
from .restart import restart

RESULTS = Path(__file__).resolve().parents[1] / "results"
CONDITIONS = f"""
All processes share this machine: etcd (without fsync but where a row says otherwise),
kube-apiserver with RBAC and a blocking audit log, the load, the controllers, the operator. Times
are the audit log's: from the arrival of the apply to the answer for the Job. Job controller,
garbage collector and kubelet are played by a client with the same writes but where a row says that
the controllers are real. Pods run {POD_SECONDS:g} s and report {VALUES} numbers; none is reused.
""".replace("\n", " ").strip()


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    pace: int = 1000
    steady: int = 1000
    fsync: int = 300
    naive: int = 300
    shapes: tuple[Shape, ...] = (
        Shape(300, 1, 5),
        Shape(1000, 1),
        Shape(100, 10),
        Shape(100, 10, 10),
        Shape(1, 1000),
    )
    burst: int = 1000
    rounds: int = 5
    large: int = 1000
    small: int = 30
    real: int = 200
    finished: int = 10_000
    running: int = 1000
    idle_seconds: float = 600


QUICK = Sizes(
    pace=150,
    steady=150,
    fsync=50,
    naive=60,
    shapes=(Shape(20, 10), Shape(1, 150)),
    burst=200,
    rounds=2,
    large=200,
    small=10,
    real=20,
    finished=1000,
    running=100,
    idle_seconds=20,
)
TINY = Sizes(
    pace=5,
    steady=5,
    fsync=0,
    naive=5,
    shapes=(Shape(1, 5),),
    burst=5,
    rounds=1,
    large=5,
    small=2,
    real=0,
    finished=20,
    running=2,
    idle_seconds=1,
)
RATE = 10.0
NAIVE_RATE = 2.0
"""With which the naive operator still keeps up; behind the load it writes less than it would."""
SIZES = {"full": Sizes(), "quick": QUICK, "tiny": TINY}
SERVED_BY_ONE = ("pace", "steady", "shapes", "fairness", "burst", "naive", "real")
MEASURES = (*SERVED_BY_ONE, "fsync", "restart")


async def _naive(arena: Arena, count: int) -> dict[str, Any]:
    shape = Shape(count, 1, NAIVE_RATE)
    ours = await flow(arena, shape)
    naive = await flow(arena, shape, naive=True)

    def per_model(writes: dict[str, int]) -> float:
        return round(sum(n for what, n in writes.items() if "events" not in what) / count, 2)

    bare = per_model(ours["writes"]), per_model(naive["writes"])
    return {
        "ours": ours,
        "naive": naive,
        "CPU ratio": round(naive["CPU seconds"] / ours["CPU seconds"], 2),
        "writes ratio": round(naive["writes per model"] / ours["writes per model"], 2),
        "without Events": bare,
        "writes ratio without Events": round(bare[1] / bare[0], 2),
    }


async def _shapes(arena: Arena, shapes: tuple[Shape, ...]) -> list[dict[str, Any]]:
    return [await flow(arena, shape) for shape in shapes]


def _measures(sizes: Sizes) -> dict[str, Callable[[Arena], Awaitable[Any]]]:
    """By name; those with nothing to do are left out."""
    known: dict[str, tuple[object, Callable[[Arena], Awaitable[Any]]]] = {
        "pace": (sizes.pace, lambda a: pace(a, Shape(sizes.pace, 1, RATE))),
        "steady": (sizes.steady, lambda a: flow(a, Shape(sizes.steady, 1, RATE))),
        "shapes": (sizes.shapes, lambda a: _shapes(a, sizes.shapes)),
        "fairness": (sizes.large, lambda a: fairness(a, sizes.large, sizes.small, RATE / 5)),
        "burst": (sizes.burst, lambda a: burst(a, Shape(sizes.burst, 1), sizes.rounds)),
        "naive": (sizes.naive, lambda a: _naive(a, sizes.naive)),
        "real": (
            sizes.real if (BINARIES / MANAGER).is_file() else 0,
            lambda a: real(a, Shape(sizes.real, 1)),
        ),
        "fsync": (sizes.fsync, lambda a: flow(a, Shape(sizes.fsync, 1, RATE))),
        "restart": (
            sizes.finished,
            lambda a: restart(a, sizes.finished, sizes.running, sizes.idle_seconds),
        ),
    }
    return {name: measure for name, (wanted, measure) in known.items() if wanted}


async def _run(sizes: Sizes, only: list[str], keep: Callable[[dict[str, Any]], object]) -> None:
    """What was measured is kept after each measure: a later one that breaks loses nothing."""
    measures = {n: m for n, m in _measures(sizes).items() if n in only}
    shared = [n for n in measures if n in SERVED_BY_ONE]
    groups = [shared, *([n] for n in measures if n not in SERVED_BY_ONE)]
    found: dict[str, Any] = {}
    for names in filter(None, groups):
        with tempfile.TemporaryDirectory(prefix="interplay-bench-") as folder:
            arena = Arena(Path(folder) / "server", fsync=names == ["fsync"])
            arena.start()
            try:
                for name in names:
                    began = time.monotonic()
                    print(f"{name} ... ", end="", flush=True)
                    found[name] = await measures[name](arena)
                    print(f"{time.monotonic() - began:.0f} s", flush=True)
                    keep(found)
            finally:
                arena.stop()


def main() -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(prog="benchmarks.operator", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="full takes 40 minutes")
    parser.add_argument("--quick", dest="size", action="store_const", const="quick")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--idle-seconds", type=float, help="instead of ten minutes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    given = parser.parse_args()
    if reason := missing_binaries():
        parser.error(reason)
    sizes = SIZES[given.size]
    if given.idle_seconds is not None:
        sizes = replace(sizes, idle_seconds=given.idle_seconds)
    name = "operator" if given.size == "full" else f"operator-{given.size}"
    began, head = time.monotonic(), machine()

    def keep(found: dict[str, Any]) -> Path:
        head["load after"] = machine()["load before"]
        about = {
            "command": " ".join(["python -m benchmarks.operator", *sys.argv[1:]]),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "machine": head,
            "conditions": CONDITIONS,
        }
        return write(given.results, name, {**about, **found})

    asyncio.run(_run(sizes, given.only, keep))
    print((given.results / f"{name}.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
