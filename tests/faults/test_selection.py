"""A short, seeded selection of the faults, for every `make test`; `make faults` runs them all.

All rounds run side by side in one world; each test waits for its own. The test that kills the API
server comes last, when nobody else needs it.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.life import live
from tests.faults.record import Fault
from tests.faults.registry import Round, load
from tests.faults.rig import Rig
from tests.faults.world import World, missing

pytestmark = pytest.mark.apiserver

SEED = 20_260_102
WIDTH = 4
CHOSEN = (
    ("F01", 0),
    ("F01", 1),
    ("F01", 8),
    ("F01", 9),
    ("F02", 0),
    ("F03", 0),
    ("F05", 0),
    ("F04", 0),
    ("F12", 0),
    ("F14", 0),
    ("F17", 0),
    ("F22", 0),
)
LEAST = 4
"""Faults that a round must have injected to prove anything."""


@dataclass
class Running:
    """A world and the rounds that run in it."""

    world: World
    rounds: dict[tuple[str, int], Future[list[Fault]]]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """All chosen rounds, under way."""
    if reason := missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    campaigns = load()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(folder))
        world.start()
        try:
            with ThreadPoolExecutor(WIDTH) as pool:
                rounds = {
                    (name, number): pool.submit(
                        campaigns[name].run, world, Round(name, number, SEED)
                    )
                    for name, number in CHOSEN
                }
                yield Running(world, rounds)
        finally:
            world.stop()


def judge(faults: list[Fault]) -> None:
    """Enough faults, and every promise kept."""
    for fault in faults:
        print(fault.point, fault.seconds, *fault.violations)
    assert not [v for f in faults for v in f.violations]
    assert len(faults) >= LEAST


@pytest.mark.parametrize("which", CHOSEN, ids=lambda w: f"{w[0]}-{w[1]}")
def test_every_promise_holds(running: Running, which: tuple[str, int]) -> None:
    print(f"python -m tests.faults --seed {SEED} --campaign {which[0]} --round {which[1]}")
    judge(running.rounds[which].result())


def test_the_api_server_is_killed_in_the_middle(running: Running) -> None:
    for future in running.rounds.values():
        future.exception()
    world = running.world
    with Rig(world, Round("F06", 0, SEED)) as rig:
        left = 2

        def harm() -> None:
            nonlocal left
            rig.writes(6)
            if left:
                left -= 1
                rig.inject("SIGKILL to kube-apiserver", apart=40.0)
                world.server.apiserver.signal(signal.SIGKILL)
                world.server.restart()
                rig.harm_ends()

        live(rig, harm)
    faults = rig.verdict()
    assert not [v for f in faults for v in f.violations]
    assert len(faults) == 2
