"""What wakes what: a ModelRun at once, its Evaluation after a moment, a deleted Job never again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from interplay_operator import reconcile_modelrun
from interplay_operator.client import Client, Login
from interplay_operator.context import evaluation_key, run_key
from interplay_operator.operator import GATHER_SECONDS, GATHER_SECONDS_PER_MODEL, Operator
from interplay_operator.plan import ending
from interplay_operator.resources import JOBS
from interplay_operator.settings import Settings
from interplay_operator.workqueue import Key
from tests.operator.builders import evaluation, job, model, resolved, run

MODELS = 50


def operator(client: Client | None = None) -> Operator:
    async def login() -> Login:
        raise AssertionError("nobody logs in here")

    return Operator(Settings.from_environment({}), client or Client(login))


def taken(made: Operator) -> list[Key]:
    """Every key that is due now."""

    async def run_dry() -> list[Key]:
        keys = []
        while len(made.queue):
            keys.append(await made.queue.get())
            made.queue.done(keys[-1])
        return keys

    return asyncio.run(run_dry())


def test_many_changes_of_modelruns_are_one_look_at_their_evaluation() -> None:
    made = operator()
    now = 1000.0
    made.queue._clock = lambda: now
    every = resolved(models=[model(f"m{i}") for i in range(MODELS)])
    runs = [run(r, uid=r.name) for r in every]
    frozen = evaluation({"plan": [ending(r.name) for r in every]})
    made.cache.evaluations.apply(frozen)
    assert taken(made) == [evaluation_key("team", "e")]
    for record in runs:
        made.cache.runs.apply(replace(record, evaluation="e"))
    assert sorted(taken(made)) == sorted(run_key("team", r.meta.name) for r in runs)
    now += GATHER_SECONDS + GATHER_SECONDS_PER_MODEL * MODELS
    made.queue._move_due()
    assert taken(made) == [evaluation_key("team", "e")]


def test_a_plan_that_is_written_wakes_its_modelruns() -> None:
    made = operator()
    (one,) = resolved()
    record = replace(run(one), evaluation="e")
    made.cache.evaluations.apply(evaluation())
    made.cache.runs.apply(record)
    taken(made)
    made.cache.evaluations.apply(evaluation({"plan": [ending(one.name)]}, version=2))
    assert run_key("team", one.name) in taken(made)


class Deleting:
    """A client whose deletes are answered as the test says."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer

    async def delete(self, *_: object) -> dict[str, Any] | None:
        return self.answer


def test_a_job_that_is_deleted_is_known_to_be() -> None:
    known = job(run())
    gone = operator(cast(Client, Deleting(None)))
    gone.cache.jobs.apply(known)
    asyncio.run(gone.context.delete(JOBS, gone.cache.jobs, known.meta))
    assert len(gone.cache.jobs) == 0
    meta = {
        "namespace": known.meta.namespace,
        "name": known.meta.name,
        "uid": known.meta.uid,
        "resourceVersion": str(known.meta.version + 1),
        "deletionTimestamp": "2026-01-02T03:04:05Z",
    }
    waits = operator(cast(Client, Deleting({"metadata": meta, "spec": {}})))
    waits.cache.jobs.apply(known)
    asyncio.run(waits.context.delete(JOBS, waits.cache.jobs, known.meta))
    (left,) = waits.cache.jobs
    assert left.meta.deleting


class Slow:
    """A client that takes so long to write a status; it keeps what is created."""

    def __init__(self, spec: dict[str, Any], seconds: float) -> None:
        self.spec, self.seconds, self.now = spec, seconds, 1000.0
        self.created: list[str] = []

    def monotonic(self) -> float:
        return self.now

    async def replace_status(self, *args: Any, **_: object) -> dict[str, Any]:
        self.now += self.seconds
        _resource, namespace, name, uid, version, status = args
        meta = {
            "namespace": namespace,
            "name": name,
            "uid": uid,
            "resourceVersion": str(version + 1),
            "ownerReferences": [
                {"kind": "Evaluation", "name": "e", "uid": "evaluation-uid", "controller": True}
            ],
        }
        return {"metadata": meta, "spec": self.spec, "status": status}

    async def create(self, _resource: object, made: dict[str, Any]) -> dict[str, Any]:
        self.created.append(made["metadata"]["name"])
        meta = {**made["metadata"], "uid": "job-1", "resourceVersion": "9"}
        return {**made, "metadata": meta}


@pytest.mark.parametrize("slept", [0.1, 3600.0])
def test_who_slept_looks_again_before_a_job_is_created(
    slept: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = resolved()
    client = Slow(one.spec.wire(), slept)
    monkeypatch.setattr(reconcile_modelrun, "time", client)
    made = operator(cast(Client, client))
    record = replace(run(one), evaluation="e")
    made.cache.evaluations.apply(evaluation({"plan": [ending(one.name)]}))
    made.cache.runs.apply(record)
    taken(made)
    asyncio.run(made._runs.reconcile("team", one.name))
    assert client.created == ([f"{one.name}-1"] if slept < 1 else [])
    assert run_key("team", one.name) in taken(made)
    if not client.created:
        client.seconds = 0.1
        asyncio.run(made._runs.reconcile("team", one.name))
    assert client.created == [f"{one.name}-1"]
