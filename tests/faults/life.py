"""The life of an Evaluation: two good models and a bad one, an edit, a new measurement, the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from interplay_api.constants import MAX_STATUS_RESULT_BYTES
from interplay_api.resolve import ResolveError
from tests.apiserver.client import Object
from tests.apiserver.operator import condition, model
from tests.faults.controllers import Act, owned
from tests.faults.promises import finished, is_live
from tests.faults.rig import Rig

__all__ = ["BAD", "apply", "differences", "live", "spec_of", "unresolved"]

BAD = Act(code=64, words="interplay: BadModel: no such model")


def spec_of(
    models: Sequence[str], measurements: Sequence[str] = ("top1",), **more: object
) -> Object:
    """A spec with inline models."""
    named = {"names": list(measurements)}
    return {"models": [model(m) for m in models], "measurements": named, **more}


def live(rig: Rig, harm: Callable[[], None] | None = None, name: str = "s") -> None:
    """The whole life; each phase must converge. `harm` is done again and again meanwhile."""
    rig.script.acts["bad"] = BAD
    models = ["a", "b", "bad"]
    rig.dice.shuffle(models)
    lost = apply(rig, "lost", spec_of(["a"], ["nowhere"]))
    steps: tuple[tuple[Object, set[str]], ...] = (
        (spec_of(models, parallelism=2), {"bad"}),
        (spec_of([m for m in models if m != "bad"], parallelism=2), set()),
        (spec_of(["a", "c"], ["top1", "more"], parallelism=2), set()),
    )
    with _under(rig, harm):
        for number, (spec, failed) in enumerate(steps):
            applied = apply(rig, name, spec)
            rig.converge(f"step {number}", partial(differences, rig, applied, failed))
        rig.converge("a spec that cannot be resolved", lambda: unresolved(rig, "lost"))
    rig.converge("after the harm", partial(differences, rig, applied))
    rig.quiet()
    with _under(rig, harm):
        for item in (applied, lost):
            rig.insist(partial(rig.hand.delete, item["metadata"]["name"]))
    rig.nothing_left()
    rig.quiet()


def apply(rig: Rig, name: str, spec: Object) -> Object:
    """Apply an Evaluation."""
    return rig.insist(lambda: rig.hand.evaluation(name, **spec))


def _under(rig: Rig, harm: Callable[[], None] | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if harm is None else rig.meanwhile(harm)


def unresolved(rig: Rig, name: str) -> list[str]:
    """What is wrong with an Evaluation whose measurement does not exist."""
    found = [e for e in rig.now("Evaluation") if e["metadata"]["name"] == name]
    reasons = [condition(e, "Progressing").get("reason") for e in found]
    return [] if reasons == ["Unresolved"] else [f"{name}: {reasons} is not Unresolved"]


def differences(rig: Rig, applied: Object, failed: AbstractSet[str] = frozenset()) -> list[str]:
    """What still differs from the end that an applied Evaluation must come to."""
    meta, spec = applied["metadata"], applied["spec"]
    item = next((e for e in rig.now("Evaluation") if e["metadata"]["uid"] == meta["uid"]), None)
    if item is None:
        return [f"{meta['name']} is not there"]
    if item["metadata"]["generation"] < meta["generation"]:
        return ["the edit is not seen yet"]
    status = item.get("status", {})
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return [f"generation {item['metadata']['generation']} is not observed"]
    try:
        runs = rig.library.runs(meta["name"], spec)
    except ResolveError as error:
        return [f"not resolved: {error}"]
    mine = {r["metadata"]["name"]: r for r in rig.now("ModelRun") if owned(r) == meta["uid"]}
    left = [f"ModelRun {n} is missing" for n in runs if n not in mine]
    left += [f"ModelRun {n} is left over" for n in mine if n not in runs]
    left += [f"ModelRun {n} has not ended" for n, r in mine.items() if not finished(r)]
    left += _jobs(rig, mine)
    left += _ends(item, "Failed" if failed else "Complete")
    left += _table(rig, item, spec, failed)
    if list(status.get("plan", ())) != [n[-8:] for n in runs]:
        left.append(f"the plan is {status.get('plan')}")
    return left


def _ends(item: Object, type_: str) -> list[str]:
    found = condition(item, type_)
    return [] if found.get("status") == "True" else [f"not {type_}: {found.get('reason')}"]


def _jobs(rig: Rig, runs: Mapping[str, Object]) -> list[str]:
    """A stored result needs no Job; a failed one's is kept, but it does not run."""
    by_uid = {r["metadata"]["uid"]: r for r in runs.values()}
    others = {r["metadata"]["uid"] for r in rig.now("ModelRun")} - by_uid.keys()
    left = []
    for job in rig.now("Job"):
        run = by_uid.get(owned(job))
        name = job["metadata"]["name"]
        if run is None and owned(job) in others:
            continue
        if run is None:
            left.append(f"Job {name} of a ModelRun that is gone")
        elif is_live(job):
            left.append(f"Job {name} is alive")
        elif condition(run, "Complete").get("status") == "True":
            left.append(f"Job {name} of a stored result is left")
    return left


def _too_large(keys: Mapping[str, Mapping[str, str]], good: Sequence[str]) -> bool:
    """Whether the numbers stay in the ModelRuns alone: 128 bytes and its name for each."""
    return sum(len(k) + 128 for m in good for k in keys[m]) > MAX_STATUS_RESULT_BYTES


def _table(rig: Rig, item: Object, spec: Object, failed: AbstractSet[str]) -> list[str]:
    keys = rig.library.keys(item["metadata"]["name"], spec)
    status = item["status"]
    rows = {r["model"]: r["values"] for r in status.get("results", ())}
    good = [m for m in keys if m not in failed]
    shown = [] if _too_large(keys, good) else good
    left = [] if list(rows) == shown else [f"rows of {list(rows)}, not of {shown}"]
    if bool(condition(item, "ResultsDropped")) == (shown == good):
        left.append("ResultsDropped tells the opposite")
    for name in shown:
        values = rows.get(name, {})
        if values.keys() != keys[name].keys():
            left.append(f"{name} has {sorted(values)}")
        left += [
            f"{name}: {key} is {value['value']}"
            for key, value in values.items()
            if key in keys[name] and not rig.numbers.right(keys[name][key], value["value"])
        ]
    counts = status.get("models", {})
    expected = {"total": len(keys), "succeeded": len(good), "failed": len(keys) - len(good)}
    left += [f"{k} is {counts.get(k)}" for k, v in expected.items() if counts.get(k, 0) != v]
    return left
