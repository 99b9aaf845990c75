"""F10, F11, F12: the operator is killed under load, stopped in peace, or not alone."""

from __future__ import annotations

import signal
import time
from functools import partial

from tests.apiserver.client import Object
from tests.apiserver.operator import model
from tests.faults.controllers import Act
from tests.faults.life import apply, differences, live
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import ACCOUNT, World

__all__ = ["killed_under_load", "stopped", "two_operators"]

LOAD = 250
"""Evaluations of one round; four of them are the thousand."""
KILLS = 50
LIVES = 2
GRACE = 25.0
"""Of the 30 s that a pod is given."""


@campaign("F10", "SIGKILL every 1-10 s under load", quick=1, full=4, width=2)
def killed_under_load(world: World, round_: Round) -> list[Fault]:
    """Evaluations of one to three models keep coming while the operator keeps dying."""
    full = round_.number > 0
    kills, count = (KILLS, LOAD) if full else (20, 100)
    with Rig(world, round_) as rig:
        rig.script.usual = lambda: Act(running=rig.dice.uniform(0.0, 2.0))
        left = kills

        def harm() -> None:
            nonlocal left
            time.sleep(rig.dice.uniform(1.0, 10.0))
            if left:
                left -= 1
                rig.inject(f"SIGKILL {kills - left} of {kills}")
                rig.operator.kill()

        applied: list[Object] = []
        with rig.meanwhile(harm):
            while left:
                if len(applied) < count:
                    number = len(applied)
                    models = [model(f"m{number}-{i}") for i in range(rig.dice.randint(1, 3))]
                    spec = {"models": models, "measurements": {"names": ["top1"]}}
                    applied.append(apply(rig, f"e{number}", spec))
                time.sleep(kills * 5.5 / count)
        for item in applied:
            look = partial(differences, rig, item)
            rig.converge(item["metadata"]["name"], look, under_load=True)
        rig.quiet()
        for item in applied:
            rig.hand.delete(item["metadata"]["name"])
        rig.nothing_left()
    return rig.verdict()


@campaign("F11", "SIGTERM", quick=4, full=12)
def stopped(world: World, round_: Round) -> list[Fault]:
    """It ends within the grace of a pod, with status 0, and asks for nothing afterwards."""
    with Rig(world, round_) as rig:

        def harm() -> None:
            rig.writes(10)
            operator = rig.operator
            operator.until_ready()
            operator.held.set()
            rig.inject("SIGTERM")
            process = operator.operator.process
            operator.kill(signal.SIGTERM)
            deadline = time.monotonic() + GRACE
            while process.pid is not None and time.monotonic() < deadline:
                time.sleep(0.02)
            if process.pid is not None or process.code:
                rig.violate("I5", f"after SIGTERM and {GRACE:.0f} s its status is {process.code}")
            writes = len(world.audit.of(rig.namespace, ACCOUNT))
            time.sleep(0.3)
            if len(world.audit.of(rig.namespace, ACCOUNT)) > writes:
                rig.violate("I6", "it wrote after its end")
            operator.held.clear()
            operator.until_ready()
            rig.harm_ends()

        live(rig, harm)
    return rig.verdict()


@campaign("F12", "Two operators by force", quick=3, full=20)
def two_operators(world: World, round_: Round) -> list[Fault]:
    """Both are active; now one sleeps, now the other, and each wakes up with old news."""
    with Rig(world, round_, operators=2) as rig:

        def harm() -> None:
            rig.writes(2, 0.6)
            number = rig.dice.randrange(2)
            process = rig.operators[number].operator.process
            seconds = rig.dice.uniform(0.3, 4.0)
            rig.inject(f"operator {number} sleeps {seconds:.1f} s")
            process.signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.signal(signal.SIGCONT)
            rig.harm_ends()

        for life in range(LIVES):
            live(rig, harm, f"s{life}")
    return rig.verdict()
