"""F18: an Evaluation is deleted at each phase, in each way, with the operator up or down."""

from __future__ import annotations

import time

from tests.apiserver.client import Object
from tests.faults.controllers import Act, owned, phase
from tests.faults.life import apply, differences, spec_of
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["deleted"]

PHASES = ("applied", "planned", "running", "ended", "suspended")
WAYS = ("Background", "Foreground", "Orphan")
DELETIONS = 8


@campaign("F18", "Evaluation deleted at each phase", quick=4, full=12)
def deleted(world: World, round_: Round) -> list[Fault]:
    """Nothing is left; what `--cascade=orphan` leaves is left alone."""
    with Rig(world, round_) as rig:
        for number in range(DELETIONS):
            at, way = rig.dice.choice(PHASES), rig.dice.choice(WAYS)
            down = rig.dice.random() < 0.4
            # Names come again: nothing of the old one may show under the new.
            name = f"e{number % 3}"
            rig.script.usual = lambda: Act(running=rig.dice.uniform(0.0, 0.3))
            if at in ("running", "suspended"):
                rig.script.usual = lambda: Act(running=60.0)
            applied = apply(rig, name, spec_of(["a", "b", f"m{number}"], reuse="Never"))
            _reach(rig, applied, at)
            rig.inject(f"{way} when {at}{', operator down' if down else ''}")
            _delete(rig, applied, way, down=down)
        rig.quiet()
    return rig.verdict()


def _reach(rig: Rig, applied: Object, at: str) -> None:
    uid = applied["metadata"]["uid"]
    if at == "planned":
        rig.world.observer.wait(lambda: any(owned(r) == uid for r in rig.now("ModelRun")), 20)
    elif at in ("running", "suspended"):
        rig.world.observer.wait(lambda: any(phase(p) == "Running" for p in rig.now("Pod")), 20)
    elif at == "ended":
        rig.converge("before its deletion", lambda: differences(rig, applied))
    if at == "suspended":
        apply(rig, applied["metadata"]["name"], {**applied["spec"], "suspend": True})
        time.sleep(rig.dice.uniform(0.0, 0.5))


def _delete(rig: Rig, applied: Object, way: str, *, down: bool) -> None:
    if down:
        rig.operator.held.set()
        rig.operator.kill()
    rig.hand.admin.delete(applied, way)
    if down:
        time.sleep(rig.dice.uniform(0.0, 1.5))
        rig.operator.held.clear()
        rig.operator.until_ready()
    rig.harm_ends()
    if way != "Orphan":
        rig.nothing_left(f"deleted ({way})")
        return
    rig.world.observer.wait(lambda: not rig.now("Evaluation"), 20)
    # Without an owner its ModelRuns are nobody's: no Job is made for them, nothing is written.
    rig.quiet()
    for run in rig.now("ModelRun"):
        rig.hand.admin.delete(run)
    rig.nothing_left("deleted by hand after Orphan")
