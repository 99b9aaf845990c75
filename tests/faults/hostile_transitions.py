"""F30, third part: A, then B must end where a fresh B ends (the differential oracle of Acto)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from interplay_api.catalog import builtin_layer
from tests.apiserver.client import ApiError, Object
from tests.faults.controllers import Act, Controllers, Script
from tests.faults.promises import finished, is_live
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.served import Served
from tests.faults.specs import Maker, Pools
from tests.faults.world import World

__all__ = ["difference", "pair_of", "state", "transitions"]

PAIRS = 30
MEASUREMENTS = ("top1", "more", "third")
NAMES = (*MEASUREMENTS * 5, "nowhere")
SPREAD = 12.0
"""Seconds over which the changes to B come: some before A is planned, some after it ended."""
LIMIT = 60.0
COPIED = {"Reused": "Succeeded"}
"""A copied number is as good as a measured one."""


def pools() -> Pools:
    """Few names, so that A and B often share models, measurements and so content keys."""
    models = sorted(n for k, n in builtin_layer().entries if k == "Model")[:4]
    alias = {"spec.models[].alias": lambda dice: dice.choice(["x", "y"])}
    weights = {"embedded": "digits/plain", "sha256": "d" * 64}

    def inline(dice: random.Random) -> Object:
        args = dice.choice([{}, {"drop_rate": 0.1}, {"layers": [1, 1, 1, 1]}])
        return {"timm": "resnet18", "checkpoint": weights, "args": args}

    return {
        **alias,
        "spec.models[].name": lambda dice: dice.choice(models),
        "spec.models[].selector.matchLabels": lambda _: {"data": "digits", "family": "resnet"},
        "spec.models[].inline": inline,
        "spec.measurements.names[]": lambda dice: dice.choice(NAMES),
        "spec.measurements.groups": lambda _: [],
        "spec.mode": lambda _: "default",
        "spec.overrides.limit": lambda dice: dice.choice([10, 20]),
        "spec.overrides.seed": lambda dice: dice.choice([0, 1]),
        "spec.overrides.batchSize": lambda dice: dice.choice([8, 16]),
        "spec.parallelism": lambda dice: dice.choice([1, 2, 9]),
        "spec.backoffLimit": lambda dice: dice.choice([0, 3]),
        "spec.startDeadlineSeconds": lambda dice: dice.choice([600, 700]),
        "spec.schedulingDeadlineSeconds": lambda _: 900,
        "spec.activeDeadlineSeconds": lambda _: 900,
        "spec.ttlSecondsAfterFinished": lambda _: 3600,
        "spec.outputs": lambda _: None,
    }


def pair_of(dice: random.Random) -> tuple[Object, Object]:
    """Two valid specs; the second is often a small change of the first."""
    maker = Maker(dice, pools())
    first, second = (_distinct(maker.manifest("Evaluation")["spec"]) for _ in range(2))
    if dice.random() < 0.6:
        known = sorted({*first, *second})
        fields = dice.sample(known, min(dice.randint(1, 3), len(known)))
        changed = {k: v for k, v in first.items() if k not in fields}
        second = {**changed, **{f: second[f] for f in fields if f in second}}
        if not {"models", "measurements"} <= second.keys():
            second = {**first, **second}
    return first, second


def _distinct(spec: Object) -> Object:
    """Two different models of one name are a problem, which other campaigns look at."""
    seen: dict[str, Object] = {}
    for choice in spec["models"]:
        seen[choice.get("name") or choice.get("alias") or next(iter(choice))] = choice
    # A server-side apply of an object that becomes empty turns it into null, which is refused.
    kept = {k: v for k, v in spec.items() if v is not None and v != {}}
    return {**kept, "models": list(seen.values())}


def state(served: Served, namespace: int, name: str) -> dict[str, Any]:
    """What an Evaluation came to, without what only its past explains."""
    hand, now = served.hands[namespace], served.world.observer.now
    item = hand.get(name)
    status, uid = item.get("status", {}), item["metadata"]["uid"]
    space = served.namespaces[namespace]
    runs = [r for r in now(space, "ModelRun") if _owner(r) == uid]
    jobs = [j for j in now(space, "Job") if _owner(j) in {r["metadata"]["uid"] for r in runs}]
    return {
        "observed": status.get("observedGeneration") == item["metadata"]["generation"],
        "ended": finished(item),
        "conditions": _reasons(item),
        "counts": {k: v for k, v in status.get("models", {}).items() if k != "reused"},
        "plan": status.get("plan"),
        "specDigest": status.get("specDigest"),
        "table": {r["model"]: r["values"] for r in status.get("results", ())},
        "runs": {r["metadata"]["name"]: (r["spec"], _reasons(r)) for r in runs},
        "live": sorted(j["metadata"]["name"] for j in jobs if is_live(j) and not _held(j)),
    }


def _held(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def _owner(item: Mapping[str, Any]) -> str:
    owners = item["metadata"].get("ownerReferences", ())
    return next((o["uid"] for o in owners if o.get("controller")), "")


def _reasons(item: Object) -> dict[str, tuple[str, str]]:
    found = item.get("status", {}).get("conditions", ())
    return {c["type"]: (c["status"], COPIED.get(c["reason"], c["reason"])) for c in found}


def difference(served: Served, name: str) -> str:
    """How the changed Evaluation differs from the fresh one, or nothing."""
    try:
        changed, fresh = state(served, 0, name), state(served, 1, name)
    except ApiError as error:
        return str(error)
    suspended = fresh["conditions"].get("Suspended") == ("True", "Suspended")
    if suspended and fresh["observed"] and not changed["ended"]:
        # How far it came before is the past's; that it stands still now is not.
        keys = ["observed", "conditions", "plan", "specDigest", "live"]
        changed["runs"], fresh["runs"] = (
            {n: r[0] for n, r in s["runs"].items()} for s in (changed, fresh)
        )
        keys.append("runs")
    elif suspended and changed["ended"]:
        keys = ["plan", "specDigest", "live"]
    elif fresh["conditions"].get("Progressing") == ("False", "Unresolved"):
        # What A measured is kept: the name may still come.
        keys = ["observed", "conditions", "counts", "plan", "table"]
    elif not fresh["ended"]:
        return "the fresh one has not ended"
    else:
        keys = list(fresh)
    wrong = [k for k in keys if changed[k] != fresh[k]]
    if not wrong:
        return "" if fresh["observed"] else "nobody looked at it"
    pair = json.dumps([changed[wrong[0]], fresh[wrong[0]]], default=str, sort_keys=True)
    return f"{', '.join(wrong)}: {pair[:300]}"


@campaign(
    "F30c",
    "Transitions between valid specs, and fresh ones",
    quick=2,
    full=10,
    width=2,
    kind="input",
)
def transitions(world: World, round_: Round) -> list[Fault]:
    """30 Evaluations change from A to B in one namespace; in another one B is fresh."""
    dice = round_.dice
    pairs = {f"t{n}": pair_of(dice) for n in range(PAIRS)}
    faults = {n: round_.fault(_what(*pair)) for n, pair in pairs.items()}
    with Served(world, 2) as served:
        script = Script(usual=lambda: Act(pending=dice.random(), running=dice.random() * 2))
        controllers = [Controllers(h, world.observer, script) for h in served.hands]
        for hand, name in ((h, n) for h in served.hands for n in MEASUREMENTS):
            hand.measurement(name)
        for controller in controllers:
            controller.start()
        try:
            for name, (first, second) in pairs.items():
                served.hands[0].evaluation(name, **first)
                served.hands[1].evaluation(name, **second)
            begun = time.monotonic()
            for name in sorted(pairs, key=lambda _: dice.random()):
                time.sleep(max(begun + dice.random() * SPREAD - time.monotonic(), 0))
                served.hands[0].evaluation(name, **pairs[name][1])
            for name, fault in faults.items():
                if not served.settles(partial(_same, served, name), LIMIT):
                    fault.violations.append(f"I4: {difference(served, name)}")
            faults["t0"].violations += [f"I8: {p}" for p in served.problems()]
            for hand, name in ((h, n) for h in served.hands for n in pairs):
                hand.delete(name)
        finally:
            for controller in controllers:
                controller.stop()
    return list(faults.values())


def _same(served: Served, name: str) -> bool:
    return not difference(served, name)


def _what(first: Object, second: Object) -> str:
    changed = sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
    return f"change of {', '.join(changed) or 'nothing'}"[:120]
