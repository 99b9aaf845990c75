"""F13: specs change at random moments, also from under what is being measured."""

from __future__ import annotations

import time
from functools import partial

from tests.apiserver.client import Object
from tests.apiserver.operator import model
from tests.faults.controllers import Act
from tests.faults.life import BAD, apply, differences
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["edited"]

POOL = ("a", "b", "c", "d", "e", "f", "bad")
EDITS = 40
EVALUATIONS = 5


@campaign("F13", "Specs change at random moments", quick=3, full=13)
def edited(world: World, round_: Round) -> list[Fault]:
    """Whatever came before, the end is that of the last spec applied afresh."""
    with Rig(world, round_) as rig:
        rig.script.acts["bad"] = BAD
        rig.script.usual = lambda: Act(
            pending=rig.dice.choice((0.0, 0.2)), running=rig.dice.uniform(0.0, 0.8)
        )
        applied: dict[str, Object] = {}
        for _ in range(EDITS):
            name = f"e{rig.dice.randrange(EVALUATIONS)}"
            if name in applied and rig.dice.random() < 0.08:
                rig.inject(f"{name} deleted and made anew")
                rig.hand.delete(name)
                del applied[name]
                while any(e["metadata"]["name"] == name for e in rig.now("Evaluation")):
                    time.sleep(0.05)
            spec = _draw(rig)
            rig.inject(f"{name}: {len(spec['models'])} models, suspend {spec['suspend']}")
            applied[name] = apply(rig, name, spec)
            time.sleep(rig.dice.choice((0.0, 0.0, 0.1, 0.5, 1.5)))
        for name, item in applied.items():
            if item["spec"].get("suspend"):
                applied[name] = apply(rig, name, {**item["spec"], "suspend": False})
        rig.harm_ends()
        for name, item in applied.items():
            failed = {"bad"} & {m.get("alias") for m in item["spec"]["models"]}
            rig.converge(name, partial(differences, rig, item, failed))
        rig.quiet()
        for name in applied:
            rig.hand.delete(name)
        rig.nothing_left()
    return rig.verdict()


def _draw(rig: Rig) -> Object:
    """A spec; many of them share cells, so that numbers are copied to and fro."""
    dice = rig.dice
    models = dice.sample(POOL, dice.randint(1, 4))
    spec: Object = {
        "models": [model(m) for m in models],
        "measurements": {"names": dice.choice((["top1"], ["top1", "more"], ["more"]))},
        "parallelism": dice.randint(1, 3),
        "suspend": dice.random() < 0.15,
        "reuse": dice.choice(("IfUnchanged", "IfUnchanged", "Never")),
    }
    if dice.random() < 0.3:
        spec["overrides"] = {"seed": dice.randrange(3)}
    return spec
