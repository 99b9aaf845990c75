"""The cache: no ghosts, no old news, nothing of one object under another."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from interplay_operator.cache import Cache, Store
from interplay_operator.metrics import OperatorMetrics
from interplay_operator.records import RunRecord
from interplay_operator.workqueue import WorkQueue
from tests.faults.specs import POISON
from tests.operator.builders import resolved


def item(name: str, version: int, uid: str = "", namespace: str = "team") -> dict[str, Any]:
    """A ModelRun as the API server gives it."""
    meta = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "ownerReferences": [
            {"kind": "Evaluation", "name": "e", "uid": "evaluation-uid", "controller": True}
        ],
    }
    return {"metadata": meta, "spec": resolved()[0].spec.wire()}


def store() -> Store[RunRecord]:
    return Cache("system", "image").runs


def names(of: Store[RunRecord]) -> list[str]:
    return sorted(r.meta.name for r in of)


def test_a_relist_drops_what_vanished_and_keeps_what_is_newer_than_it() -> None:
    runs = store()
    for name, version in (("ghost", 5), ("kept", 6), ("newer", 20)):
        runs.apply(RunRecord.of(item(name, version)))
    runs.apply(RunRecord.of(item("elsewhere", 5, namespace="other")))
    runs.replace([RunRecord.of(item("kept", 6))], 10, "team")
    assert names(runs) == ["elsewhere", "kept", "newer"]
    assert sorted(r.meta.name for r in runs.by("evaluation", "evaluation-uid")) == names(runs)
    assert runs.by("uid", "uid-ghost") == []


def test_a_list_does_not_bring_back_what_ended_while_it_was_read() -> None:
    runs = store()
    runs.apply(RunRecord.of(item("a", 5)))
    runs.remove(("team", "a"), "uid-a")
    runs.replace([RunRecord.of(item("a", 5))], 6, "team")
    assert names(runs) == []


def test_old_news_and_late_answers_change_nothing() -> None:
    runs = store()
    runs.apply(RunRecord.of(item("a", 9)))
    runs.apply(RunRecord.of(item("a", 8)))
    found = runs.get("team", "a")
    assert found is not None
    assert found.meta.version == 9
    runs.remove(("team", "a"), "uid-a")
    runs.note(item("a", 7))
    assert names(runs) == [], "an answer to an old write does not bring it back"
    runs.note(item("a", 12, uid="another"))
    runs.remove(("team", "a"), "uid-a")
    assert names(runs) == ["a"], "a new object of the same name is not the old one"


def test_listeners_hear_of_every_change_once() -> None:
    runs, heard = store(), []
    runs.listener = lambda old, new: heard.append((old is not None, new is not None))
    runs.apply(RunRecord.of(item("a", 1)))
    runs.apply(RunRecord.of(item("a", 1)))
    runs.apply(RunRecord.of(item("a", 2)))
    runs.replace([], 3)
    assert heard == [(False, True), (True, True), (True, False)]


def model(name: str, version: int, namespace: str, **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}", "labels": labels}
    meta["resourceVersion"] = str(version)
    return {"metadata": meta, "spec": {"timm": name}}


def test_the_library_is_looked_up_in_layers_and_its_digest_tells_of_changes() -> None:
    library = Cache("system", "image").library
    models = library.stores["Model"]
    before = library.digest("team"), library.digest("other")
    models.note(model("a", 1, "team"))
    assert library.digest("team") != before[0]
    assert library.digest("other") == before[1]
    assert library.catalog("other").find("Model", "a") is None
    changes: list[str] = []
    library.listener = changes.append
    models.note(model("a", 2, "team"))
    assert changes == [], "a new resourceVersion alone is no change"
    models.note(model("a", 3, "team", family="resnet"))
    models.note(model("b", 4, "system"))
    assert changes == ["team", "system"]
    assert library.catalog("other").find("Model", "b") is not None
    assert library.catalog("team").find("Mode", "default") is not None
    library.stores["Mode"].note({**model("own", 5, "team"), "spec": {"gpus": 1}})
    assert library.modes().find("Mode", "own") is None, "a Mode is the administrator's"
    assert Cache("system", "other").library.digest("team") != before[0]


def finished(name: str, owner: str) -> dict[str, Any]:
    made = item(name, 5)
    made["metadata"]["ownerReferences"][0]["uid"] = owner
    cell = made["spec"]["plan"]["cells"][0]
    value = {"key": "digits_test_top1", "metric": "top1", "value": 0.75, "low": 0.7, "high": 0.8}
    condition = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    made["status"] = {
        "attempt": 1,
        "conditions": [condition],
        "cells": [
            {
                **{k: cell[k] for k in ("measurement", "dataset", "key")},
                "state": "Succeeded",
                "values": [{**value, "n": 600}],
            }
        ],
    }
    return made


def test_metrics_show_numbers_of_live_evaluations_and_nothing_of_deleted_ones() -> None:
    cache, metrics = Cache("system", "image"), OperatorMetrics()
    metrics.observe_cache(cache, WorkQueue(), lambda: {"jobs": 1.5})
    evaluation = {
        "metadata": {
            "name": "e",
            "namespace": "team",
            "uid": "evaluation-uid",
            "resourceVersion": "3",
        },
        "spec": json.loads('{"models": [{"name": "a"}], "measurements": {"names": ["top1"]}}'),
    }
    evaluation["status"] = {"plan": ["00000001"]}
    cache.evaluations.note(evaluation)
    cache.runs.note(finished("mine-00000001", "evaluation-uid"))
    cache.runs.note(finished("older-00000002", "evaluation-uid"))
    cache.runs.note(finished("orphan-00000001", "another-uid"))
    page = metrics.render().decode()
    labels = (
        '{category="benefit",dataset="digits",evaluation="e",measurement="top1",metric="top1",'
        'model="a",namespace="team",split="test"}'
    )
    for name, number in (("", 0.75), ("_low", 0.7), ("_high", 0.8), ("_samples", 600.0)):
        assert page.count(f"interplay_value{name}{labels} {number}\n") == 1
    assert 'interplay_watch_silence_seconds{watch="jobs"} 1.5' in page
    parsed = {m.name for m in text_string_to_metric_families(page)}
    assert "interplay_value" in parsed
    cache.evaluations.remove(("team", "e"), "evaluation-uid")
    page = metrics.render().decode()
    assert "interplay_value{" not in page
    assert "interplay_evaluation_models{" not in page


def test_a_model_name_cannot_forge_a_series() -> None:
    cache, metrics = Cache("system", "image"), OperatorMetrics()
    cache.evaluations.note(
        {
            "metadata": {
                "name": "e",
                "namespace": "team",
                "uid": "evaluation-uid",
                "resourceVersion": "3",
            },
            "spec": {"models": [{"name": "a"}], "measurements": {"names": ["top1"]}},
            "status": {"plan": [f"{n:08}" for n in range(len(POISON))]},
        }
    )
    metrics.observe_cache(cache, WorkQueue(), dict)
    for number, text in enumerate(POISON):
        forged = finished(f"r-{number:08}", "evaluation-uid")
        forged["spec"]["model"] = text
        cache.runs.note(forged)
    (family,) = (
        m
        for m in text_string_to_metric_families(metrics.render().decode())
        if m.name == "interplay_value"
    )
    assert sorted(s.labels["model"] for s in family.samples) == sorted(POISON)
    assert {s.labels["evaluation"] for s in family.samples} == {"e"}


def test_numbers_of_a_modelrun_that_nobody_controls_are_offered_to_nobody() -> None:
    assert RunRecord.of(finished("mine", "evaluation-uid")).done_keys
    loose = finished("loose", "evaluation-uid")
    del loose["metadata"]["ownerReferences"]
    assert RunRecord.of(loose).done_keys == frozenset()
