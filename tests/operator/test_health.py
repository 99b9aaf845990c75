"""Probes: not ready before the caches are full, not alive when a watch is silent or a key waits."""

from __future__ import annotations

from typing import Any

import pytest

from interplay_api.crd import crd
from interplay_api.kinds import KINDS
from interplay_operator.client import Client, Login
from interplay_operator.operator import Operator
from interplay_operator.schema import missing_fields
from interplay_operator.settings import Settings
from interplay_operator.workqueue import Key
from tests.operator.test_cache import model


def operator() -> Operator:
    """An operator that never connects."""

    async def login() -> Login:
        raise AssertionError("nobody logs in here")

    made = Operator(Settings.from_environment({}), Client(login))
    made.synced.set()
    return made


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


def test_a_silent_watch_is_told(clock: Clock) -> None:
    made = operator()
    for watch in made.watches:
        watch._clock, watch.heard = clock, clock()
    assert made.health() == ""
    clock.now += 181
    made.watches[0].heard = clock()
    assert made.health() == "the watch of jobs is silent for 181 s"


def test_a_change_that_kopf_never_tells_is_told(clock: Clock) -> None:
    made = operator()
    for watch in made.watches:
        watch._clock, watch.heard = clock, clock() + 100
    store = made.cache.library.stores["Model"]
    made.feed.take("Model", None, model("a", 5, "team"))
    made.feed._compare("Model", store)
    assert made.health() == ""
    store.note(model("a", 9, "team"))
    made.feed._compare("Model", store)
    clock.now += 61
    assert made.health() == "kopf's watches miss a change for 61 s"
    made.feed.take("Model", "MODIFIED", model("a", 9, "team"))
    assert made.health() == ""
    made.feed.take("Model", "DELETED", model("a", 10, "team"))
    assert len(store) == 0


def test_a_key_that_nobody_takes_is_told(clock: Clock) -> None:
    made = operator()
    for watch in made.watches:
        watch._clock, watch.heard = clock, clock() + 100
    made.queue._clock = clock
    made.queue.add(Key("ModelRun", "team", "a"), "g")
    clock.now += 61
    assert made.health() == "a key waits for 61 s"


def test_it_is_not_ready_and_not_dead_before_it_is_synced() -> None:
    made = operator()
    made.synced.clear()
    assert made.health() == ""
    assert made.ready() == "not started"
    made._problem = ""
    assert made.ready() != ""


def test_older_crds_are_found_by_the_fields_that_they_lack() -> None:
    served = {"components": {"schemas": {k: schema_of(k) for k in ("Evaluation", "ModelRun")}}}
    assert missing_fields(served) == []
    status = served["components"]["schemas"]["ModelRun"]["properties"]["status"]["properties"]
    del status["reruns"]
    del status["cells"]["items"]["properties"]["reusedFrom"]
    assert missing_fields(served) == [
        "ModelRun.status.reruns",
        "ModelRun.status.cells.reusedFrom",
    ]


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind as the server's OpenAPI document has it."""
    manifest = crd(next(k for k in KINDS if k.name == kind))
    schema: dict[str, Any] = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    gvk = {"group": "interplay.dev", "version": "v1alpha1", "kind": kind}
    return {**schema, "x-kubernetes-group-version-kind": [gvk]}
