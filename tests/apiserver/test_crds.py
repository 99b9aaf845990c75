"""The CRDs in a real API server: they install, serve, describe and protect what they should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interplay_api.constants import API_VERSION, GROUP, VERSION
from interplay_api.evaluation import EvaluationStatus
from interplay_api.kinds import KINDS
from interplay_api.modelrun import ModelRunSpec, ModelRunStatus
from tests.api.manifests import ROOT, documents, everything
from tests.apiserver.client import ApiError, Client, Object

pytestmark = pytest.mark.apiserver
SHIPPED = sorted(
    p
    for f in (ROOT / "examples", ROOT / "crds/interplay_api/builtin")
    for p in f.rglob("*.yaml")
    if documents(p)
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_what_we_ship_applies_strictly(admin: Client, namespace: str, path: Path) -> None:
    for item in documents(path):
        item["metadata"]["namespace"] = namespace
        admin.apply(item)


def test_every_field_of_every_kind_is_kept_as_it_was_written(admin: Client, namespace: str) -> None:
    for item in everything():
        item["metadata"]["namespace"] = namespace
        stored = admin.create(item)
        assert stored["spec"] == item["spec"]
        assert admin.apply(item)["metadata"]["generation"] == 1
    for run in admin.list(API_VERSION, "ModelRun", namespace):
        spec = ModelRunSpec.read(run["spec"])
        assert spec.plan.digest() == spec.plan_digest


def _properties(schema: Object, path: str) -> Iterator[tuple[str, Object]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from _properties(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _properties(schema[key], f"{path}[]")


def test_every_served_property_explains_itself(admin: Client) -> None:
    document = admin.request("GET", f"/openapi/v3/apis/{GROUP}/{VERSION}")
    schemas = document["components"]["schemas"]
    for kind in KINDS:
        served = schemas[f"dev.interplay.{VERSION}.{kind.name}"]
        assert served["description"] == kind.description
        fields = dict(_properties(served, kind.name))
        assert [p for p, f in fields.items() if not (f.get("description") or "allOf" in f)] == []
        assert f"{kind.name}.spec" in fields


def test_defaults_are_frozen_where_nothing_else_freezes_them(admin: Client, namespace: str) -> None:
    stored = admin.create(_evaluation(namespace))["spec"]
    frozen = {k: v for k, v in stored.items() if k not in ("models", "measurements")}
    assert frozen == {
        "mode": "default",
        "parallelism": 4,
        "suspend": False,
        "backoffLimit": 3,
        "startDeadlineSeconds": 600,
        "reuse": "IfUnchanged",
        "keepPods": "failed",
    }
    mode = {"apiVersion": API_VERSION, "kind": "Mode", "metadata": {"name": "m"}, "spec": {}}
    mode["metadata"] = {"name": "m", "namespace": namespace}
    assert admin.create(mode)["spec"] == {}


def test_names_categories_and_selectable_fields_are_served(admin: Client, namespace: str) -> None:
    served = admin.request("GET", f"/apis/{GROUP}/{VERSION}")["resources"]
    main = {r["kind"]: r for r in served if "/" not in r["name"]}
    assert set(main) == {k.name for k in KINDS}
    assert all(r["categories"] == ["interplay"] and r["namespaced"] for r in main.values())
    statuses = {r["kind"] for r in served if r["name"].endswith("/status")}
    assert statuses == {"Evaluation", "ModelRun"}
    short = [n for r in main.values() for n in r.get("shortNames", [])]
    assert len(set(short)) == len(short)
    assert admin.list(API_VERSION, "ModelRun", namespace, fieldSelector="spec.evaluation=x") == []


def test_columns_show_a_persons_view(admin: Client, namespace: str) -> None:
    item = _evaluation(namespace)
    admin.create(item)
    status = {
        "models": {"total": 12, "running": 2},
        "summary": "9/12",
        "conditions": [_condition("Complete", "False")],
    }
    admin.patch(item, {"status": status}, "status")
    table = _table(admin, "Evaluation", namespace)
    assert {c["name"] for c in table["columnDefinitions"] if not c["priority"]} >= {
        "Name", "Models", "Progress", "Complete", "Failed", "Age",
    }  # fmt: skip
    names = [c["name"] for c in table["columnDefinitions"]]
    row = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert row["Models"] == 12
    assert row["Progress"] == "9/12"
    assert row["Complete"] == "False"
    assert row["Mode"] == "default"


@pytest.fixture
def run(admin: Client, namespace: str) -> Object:
    """A stored ModelRun."""
    item = everything("ModelRun")[0]
    item["metadata"]["namespace"] = namespace
    return admin.create(item)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"spec": {"model": "other"}}, "spec: Invalid value: spec is immutable"),
        ({"spec": {"plan": {"run": {"seed": 99}}}}, "spec: Invalid value: spec is immutable"),
        ({"spec": {"outputsClaim": None}}, "spec: Invalid value: spec is immutable"),
        ({"spec": None}, "spec: Required value"),
    ],
    ids=["edited", "edited deep inside", "a field removed", "removed"],
)
def test_a_modelrun_is_never_edited(admin: Client, run: Object, change: Object, text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        admin.patch(run, change)
    assert refusal.value.status == 422
    assert text in refusal.value.message


def test_a_modelrun_takes_status_and_labels(admin: Client, run: Object) -> None:
    assert admin.patch(run, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 1
    stored = admin.patch(run, {"status": {"attempt": 1}, "spec": {"model": "x"}}, "status")
    assert stored["status"] == {"attempt": 1}
    assert stored["spec"] == run["spec"]
    namespace = run["metadata"]["namespace"]
    for evaluation, count in (("everything", 1), ("other", 0)):
        selector = f"spec.evaluation={evaluation}"
        assert len(admin.list(API_VERSION, "ModelRun", namespace, fieldSelector=selector)) == count


def test_statuses_come_back_as_they_were_written(
    admin: Client, namespace: str, run: Object
) -> None:
    value = {"value": 1.0, "low": 0.993651, "high": 1.0, "n": 600}
    cell = {
        "measurement": "m",
        "dataset": "d",
        "key": "a" * 64,
        "state": "Succeeded",
        "values": [{"key": "d_test_m", "metric": "m", "method": "wilson", **value}],
        "reusedFrom": "other-run",
    }
    conditions = [_condition("Complete", "True")]
    row = {"model": "m", "values": {"d_test_m": value}}
    evaluation = admin.create(_evaluation(namespace))
    for item, type_, status in (
        (run, ModelRunStatus, {"conditions": conditions, "cells": [cell], "attempt": 1}),
        (evaluation, EvaluationStatus, {"conditions": conditions, "results": [row]}),
    ):
        written = type_.read({**status, "observedGeneration": 1})
        current = admin.request("GET", admin.path_of(item))
        stored = admin.replace({**current, "status": written.wire()}, "status")
        assert type_.read(stored["status"]) == written
        with pytest.raises(ApiError, match="409 Conflict"):
            admin.replace({**current, "status": {}}, "status")


def _table(admin: Client, kind: str, namespace: str) -> Object:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    return admin.request("GET", admin.path(API_VERSION, kind, namespace), accept=accept)


def _condition(type_: str, status: str) -> Object:
    time = "2026-01-01T00:00:00Z"
    return {"type": type_, "status": status, "reason": "Test", "lastTransitionTime": time}


def _evaluation(namespace: str, name: str = "demo") -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "Evaluation",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"models": [{"name": "m"}], "measurements": {"names": ["x"]}},
    }
