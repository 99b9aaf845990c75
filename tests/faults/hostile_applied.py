"""F30, second half: generated manifests applied to a real API server, under a live operator."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from interplay_api.catalog import builtin_layer
from interplay_api.constants import API_VERSION, LABEL_ALLOW
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition
from tests.faults.broken import broken
from tests.faults.hostile_specs import Case, judged
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.served import Served
from tests.faults.specs import Maker, Pools
from tests.faults.world import SYSTEM, World

__all__ = ["applied", "apply_all", "pools"]

PER_ROUND = 100
MODES = 5
CLAIM = "results"
FAMILIES = ("resnet", "convnext", "nobody")
LIMIT = 30.0
SPEAKS = re.compile(r"(spec|metadata)[.\[:]")


def pools(dice: random.Random, modes: list[str]) -> Pools:
    """Names that mean something, most of the time."""
    entries = builtin_layer().entries

    def some(kind: str, *more: str) -> Any:
        names = sorted(n for k, n in entries if k == kind)
        return lambda _: dice.choice([*names, *more])

    return {
        "spec.models[].name": some("Model", "nowhere"),
        "spec.measurements.names[]": some("Measurement"),
        "spec.measurements.groups[]": some("MeasurementGroup"),
        "spec.models[].selector.matchLabels": lambda _: {"family": dice.choice(FAMILIES)},
        "spec.outputs": lambda _: {"claimName": CLAIM},
        "spec.mode": lambda _: dice.choice(["default", *modes, *modes]),
    }


def generated(dice: random.Random, count: int, namespace: str, modes: list[str]) -> list[Case]:
    """Half of them with names that mean something, a third of them broken."""
    makers = Maker(dice), Maker(dice, edge=0.2), Maker(dice, pools(dice, modes))
    found = []
    for number in range(count):
        maker = makers[2 if number % 2 else number // 2 % 2]
        kind = "Evaluation" if number % 2 else maker.any_kind()
        item, what = maker.manifest(kind, name=f"g{number}"), "as generated"
        if number % 3 == 0:
            item, what = broken(item, dice)
        item["metadata"]["namespace"] = namespace
        found.append(Case(item, f"{kind} {what}"[:120]))
    return found


def make_modes(served: Served, dice: random.Random) -> list[str]:
    """Modes of the administrator's, as odd as the schema lets them be."""
    maker = Maker(dice, {"spec.allowedNamespaces[]": lambda _: served.namespaces[0]}, edge=0.2)
    names = [f"{served.namespaces[0]}-{n}" for n in range(MODES)]
    for name in names:
        served.world.server.admin.create(maker.manifest("Mode", name=name, namespace=SYSTEM))
    return names


def open_claim(served: Served) -> None:
    """A claim that Evaluations may name."""
    meta = {"name": CLAIM, "namespace": served.namespaces[0], "labels": {LABEL_ALLOW: "evaluation"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    served.world.server.admin.create({**kind, "metadata": meta, "spec": spec})


def apply_all(served: Served, cases: list[Case], faults: list[Fault]) -> list[Object]:
    """Create each; what the server says must be what was said without it."""
    stored = []
    for case, fault in zip(cases, faults, strict=True):
        _, schema = judged(case.item)
        try:
            stored.append(served.world.server.admin.create(case.item))
        except ApiError as error:
            if error.status not in (400, 422):
                fault.violations.append(f"I5: the server says {error}"[:200])
            elif not schema:
                fault.violations.append(f"I4: only the server refuses it: {error.message}"[:300])
            elif not any(_named(field, error.message) for field, _ in schema):
                fields = [f for f, _ in schema][:3]
                fault.violations.append(f"I4: {fields} are not named: {error.message}"[:300])
            continue
        if schema:
            fault.violations.append(f"I4: the server takes it, but {schema[0]}"[:300])
    return stored


def _named(field: str, message: str) -> bool:
    return field in message or field.rpartition(".")[2].rpartition("[")[0] in message


def unexplained(served: Served, applied: Object) -> str:
    """What an accepted Evaluation still lacks: a condition, and one that names a field."""
    try:
        item = served.hand.get(applied["metadata"]["name"])
    except ApiError:
        kept = applied["spec"].get("ttlSecondsAfterFinished") is None
        return "it is gone" if kept else ""
    status = item.get("status", {})
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return "it was never looked at"
    progress = condition(item, "Progressing")
    if progress.get("reason") in ("InvalidSpec", "Unresolved"):
        text = progress["message"]
        right = SPEAKS.match(text) and text.isprintable() and len(text) <= 1024
        return "" if right else f"{progress['reason']} says {text!r}"
    if progress.get("reason") in ("Suspended", "Finished"):
        return ""
    uid = item["metadata"]["uid"]
    runs = [r for r in served.hand.runs() if _owner(r) == uid]
    room = min(item["spec"]["parallelism"], len(runs))
    told = sum(_told(served, r) for r in runs)
    return "" if told >= room else f"{told} of {len(runs)} ModelRuns have a Job or words"


def explained(served: Served, applied: Object) -> bool:
    """Whether nothing is lacking."""
    return not unexplained(served, applied)


def _owner(item: Mapping[str, Any]) -> str:
    owners = item["metadata"].get("ownerReferences", ())
    return next((o["uid"] for o in owners if o.get("controller")), "")


def _told(served: Served, run: Object) -> bool:
    """Whether it has a Job, or words of why it has none."""
    found = condition(run, "Waiting")
    if condition(run, "Failed") or (found.get("message") and found.get("status") == "True"):
        return True
    jobs = served.world.observer.now(served.namespaces[0], "Job")
    return any(_owner(j) == run["metadata"]["uid"] for j in jobs)


@campaign("F30b", "Generated specs, applied", quick=3, full=10, kind="input")
def applied(world: World, round_: Round) -> list[Fault]:
    """The server's verdict is the one without it, and the operator bears them all."""
    with Served(world) as served:
        modes = make_modes(served, round_.dice)
        open_claim(served)
        cases = generated(round_.dice, PER_ROUND, served.namespaces[0], modes)
        faults = [round_.fault(c.what) for c in cases]
        by_name = {c.item["metadata"]["name"]: f for c, f in zip(cases, faults, strict=True)}
        stored = apply_all(served, cases, faults)
        for item in stored:
            fault, kind = by_name[item["metadata"]["name"]], item["kind"]
            if kind == "Evaluation":
                if not served.settles(partial(explained, served, item), LIMIT):
                    fault.violations.append(f"I5: {unexplained(served, item)}")
            elif touched := _touched(served, item):
                fault.violations.append(f"I3: {touched}")
        served.hand.evaluation("canary")
        if not served.settles(lambda: any(_of(j, "canary") for j in served.hand.jobs())):
            faults[-1].violations.append("I5: no Job of an honest Evaluation after them")
        faults[-1].violations += [f"I8: {p}" for p in served.problems()]
        _clear(served, modes)
    return faults


def _of(job: Object, evaluation: str) -> bool:
    annotations = job["metadata"].get("annotations", {})
    return bool(annotations.get("interplay.dev/evaluation") == evaluation)


def _touched(served: Served, item: Object) -> str:
    """Whether somebody wrote to an object of the user's own."""
    meta = item["metadata"]
    now = served.world.server.admin.get(API_VERSION, item["kind"], meta["namespace"], meta["name"])
    same = now["metadata"]["resourceVersion"] == meta["resourceVersion"]
    return "" if same else f"{item['kind']} {meta['name']} was written to"


def _clear(served: Served, modes: list[str]) -> None:
    admin = served.world.server.admin
    for kind in ("Evaluation", "ModelRun"):
        admin.request("DELETE", admin.path(API_VERSION, kind, served.namespaces[0]))
    for name in modes:
        meta = {"name": name, "namespace": SYSTEM}
        admin.delete({"apiVersion": API_VERSION, "kind": "Mode", "metadata": meta})
