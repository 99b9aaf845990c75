"""F14, F16, F17, F22, F25: what happens to Jobs and pods while the operator looks, or does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition
from tests.faults.campaign_stale import expire
from tests.faults.controllers import TWIN, Act, phase
from tests.faults.life import apply, differences, spec_of
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.truth import Numbers, message_of
from tests.faults.world import World

__all__ = ["collected", "nodes_lost", "pods_deleted", "stuck", "twins_and_liars"]

MODELS = 5
RERUNS = 4
"""Attempts that lost or refused results may cost."""


def finish(rig: Rig, applied: list[Object], failed: set[str] | None = None) -> None:
    """All converge, then nothing happens, then nothing is left."""
    for item in applied:
        mine = (failed or set()) & {m.get("alias") for m in item["spec"]["models"]}
        rig.converge(item["metadata"]["name"], partial(differences, rig, item, mine))
    rig.quiet()
    for item in applied:
        rig.hand.delete(item["metadata"]["name"])
    rig.nothing_left()


def until(rig: Rig, look: Callable[[], Object | None], seconds: float = 20) -> Object | None:
    """What a fault needs to be there; None where it never came."""
    return rig.world.observer.wait(look, seconds)


@campaign("F14", "Two pods with different numbers; reports for another", quick=2, full=6)
def twins_and_liars(world: World, round_: Round) -> list[Fault]:
    """One whole report is published and stays, or the lie is refused and the model run again."""
    lies = ({"modelrun_uid": "another"}, {"pod_uid": "another"}, {"attempt": 7})
    with Rig(world, round_, attempts=RERUNS) as rig:
        rig.numbers = Numbers(("", TWIN))
        for number in range(MODELS):
            name = f"m{number}"
            if rig.dice.random() < 0.6:
                seconds = rig.dice.uniform(0.0, 1.0)
                rig.script.acts[name] = Act(running=rig.dice.uniform(0.0, 1.0), twin=seconds)
                rig.inject(f"{name}: a twin that runs {seconds:.1f} s")
            else:
                lie = rig.dice.choice(lies)
                rig.script.acts[name] = _once(Act(salt="lie", lie=lie))
                rig.inject(f"{name}: a report with {lie}")
        models = [f"m{n}" for n in range(MODELS)]
        finish(rig, [apply(rig, "s", spec_of(models, parallelism=3))])
    return rig.verdict()


def _once(act: Act) -> Callable[[Object], Act]:
    """For the first attempt; later ones are honest."""
    return lambda job: act if job["metadata"]["name"].endswith("-1") else Act()


@campaign("F16", "Pods force-deleted at each phase", quick=4, full=10)
def pods_deleted(world: World, round_: Round) -> list[Fault]:
    """Also between its exit and the operator's look at it: then the model is run again."""
    with Rig(world, round_, attempts=RERUNS) as rig:
        rig.script.usual = lambda: Act(pending=0.4, running=0.8, lag=0.1)
        lost: set[str] = set()
        applied = [
            apply(rig, f"e{n}", spec_of([f"m{n}-{i}" for i in range(8)], parallelism=2))
            for n in range(2)
        ]
        for _ in range(10):
            wanted = rig.dice.choice(("Pending", "Running", "Running", "lost", "lost"))
            if wanted == "lost":
                _lose_result(rig, lost, _delete_pod)
                continue
            pod = until(rig, lambda w=wanted: _pod(rig, w), 3)  # type: ignore[misc]
            if pod is not None:
                rig.inject(f"a {wanted} pod is deleted")
                _delete_pod(rig, pod)
        rig.harm_ends()
        finish(rig, applied)
    return rig.verdict()


@campaign("F17", "Pods and Jobs collected before their result is read", quick=2, full=5)
def collected(world: World, round_: Round) -> list[Fault]:
    """The Job's own TTL of 0, or the collection of ended pods, while the operator is down."""

    def delete_job(rig: Rig, pod: Object) -> None:
        owner = pod["metadata"]["ownerReferences"][0]
        rig.repeatable.add(owner["uid"])
        for job in rig.now("Job"):
            if job["metadata"]["uid"] == owner["uid"]:
                rig.hand.admin.delete(job)

    with Rig(world, round_, attempts=RERUNS) as rig:
        rig.script.usual = lambda: Act(running=0.5)
        lost: set[str] = set()
        applied = [apply(rig, "s", spec_of([f"m{i}" for i in range(6)], parallelism=2))]
        for _ in range(6):
            if rig.dice.random() < 0.4:
                _vanish(rig, lost, delete_job)
            else:
                _lose_result(rig, lost, rig.dice.choice((delete_job, _delete_pod)))
        rig.harm_ends()
        finish(rig, applied)
    return rig.verdict()


def _pod(rig: Rig, wanted: str) -> Object | None:
    found = [p for p in rig.now("Pod") if phase(p) == wanted]
    return rig.dice.choice(found) if found else None


def _delete_pod(rig: Rig, pod: Object) -> None:
    try:
        path = rig.hand.admin.path_of(pod)
        rig.hand.admin.request("DELETE", path, {"gracePeriodSeconds": 0})
    except ApiError as error:
        if error.status != 404:
            raise


def _lose_result(rig: Rig, lost: set[str], lose: Callable[[Rig, Object], None]) -> None:
    """Take away the result of a running pod while the operator is down; each model's once."""
    pod = until(rig, lambda: _fresh(rig, lost), 3)
    if pod is None:
        return
    rig.operator.held.set()
    rig.operator.kill()

    def over() -> Object | None:
        owner = pod["metadata"]["ownerReferences"][0]["uid"]
        job = next((j for j in rig.now("Job") if j["metadata"]["uid"] == owner), None)
        return job if job and condition(job, "Complete") else None

    if until(rig, over, 10) is not None:
        how = "Job" if "job" in lose.__name__ else "pod"
        rig.inject(f"the {how} of {_model(pod)} is deleted while the operator is down")
        lost.add(_model(pod))
        lose(rig, pod)
    rig.operator.held.clear()
    rig.operator.until_ready()
    rig.harm_ends()


def _vanish(rig: Rig, lost: set[str], delete: Callable[[Rig, Object], None]) -> None:
    """A running Job is deleted and no watch tells of it: only a new list shows its absence."""
    pod = until(rig, lambda: _fresh(rig, lost), 3)
    if pod is None:
        return
    rig.inject(f"the running Job of {_model(pod)} is deleted between two lists")
    lost.add(_model(pod))
    expire(rig, seconds=1.0, meanwhile=lambda: delete(rig, pod))


def _fresh(rig: Rig, lost: set[str]) -> Object | None:
    pods = [p for p in rig.now("Pod") if phase(p) == "Running"]
    return next((p for p in pods if _model(p) not in lost), None)


def _model(pod: Object) -> str:
    return str(pod["metadata"]["annotations"]["interplay.dev/model"])


@campaign("F22", "Images and configuration that never come", quick=2, full=5)
def stuck(world: World, round_: Round) -> list[Fault]:
    """The start deadline ends it with the kubelet's words; the other models go on."""
    with Rig(world, round_) as rig:
        applied = []
        for number in range(MODELS):
            kind, seconds = rig.dice.choice(("image", "config")), rig.dice.randint(1, 4)
            rig.script.acts[f"stuck{number}"] = Act(stuck=kind)
            rig.inject(f"{kind} for {seconds} s")
            spec = spec_of([f"stuck{number}", f"m{number}"], startDeadlineSeconds=seconds)
            applied.append(apply(rig, f"e{number}", spec))
        finish(rig, applied, {f"stuck{n}" for n in range(MODELS)})
    return rig.verdict()


@campaign("F25", "Evictions; nodes lost and back", quick=2, full=5)
def nodes_lost(world: World, round_: Round) -> list[Fault]:
    """A pod that cannot be reached hangs in its deletion; then it ends, well or badly, or never."""
    ends = ("evicted", "killed", "finished", "gone")
    with Rig(world, round_) as rig:
        rig.script.usual = lambda: Act(running=1.5)
        models = [f"m{n}" for n in range(MODELS)]
        applied = [apply(rig, "s", spec_of(models, parallelism=2))]
        hit: set[str] = set()
        for _ in range(MODELS):
            pod = until(rig, lambda: _unhurt(rig, hit), 8)
            if pod is None:
                break
            hit.add(_model(pod))
            _lose_node(rig, pod, rig.dice.choice(ends))
        rig.harm_ends()
        finish(rig, applied)
    return rig.verdict()


def _unhurt(rig: Rig, hit: set[str]) -> Object | None:
    pods = [p for p in rig.now("Pod") if phase(p) == "Running" and _model(p) not in hit]
    return pods[0] if pods else None


def _lose_node(rig: Rig, pod: Object, end: str) -> None:
    admin, meta = rig.hand.admin, pod["metadata"]
    rig.inject(f"the node of {_model(pod)}: {end}")
    disrupted = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "Lost"}]}
    if end == "evicted":
        _fail(rig, pod, disrupted)
        return
    target = {"apiVersion": "v1", "kind": "Node", "name": "lost"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}}
    admin.request("POST", admin.path_of(pod) + "/binding", {**binding, "target": target})
    admin.patch(pod, {"status": disrupted}, "status")
    admin.request("DELETE", admin.path_of(pod), {"gracePeriodSeconds": 30})
    time.sleep(rig.dice.uniform(0.2, 2.0))
    if end == "finished":
        job = next(
            j for j in rig.now("Job") if j["metadata"]["uid"] == meta["ownerReferences"][0]["uid"]
        )
        rig.hand.exits(pod, 0, message_of(job, pod))
    elif end == "killed":
        rig.hand.exits(pod, 143, "")
    else:
        _fail(rig, pod, disrupted)
    time.sleep(rig.dice.uniform(0.2, 1.0))
    _delete_pod(rig, pod)


def _fail(rig: Rig, pod: Object, conditions: Object) -> None:
    """What the collector of pods without a node writes before it deletes one."""
    state = {"terminated": {"exitCode": 137, "reason": "Error"}}
    rig.hand.set_pod(pod, "Failed", state, **conditions)
