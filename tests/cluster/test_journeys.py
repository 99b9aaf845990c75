"""Journeys on the real cluster: what a user applies, what pods measure, what the user reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import ROOT, SYSTEM
from tests.cluster.kubectl import Kubectl, condition, evaluation
from tests.cluster.metrics import series

Object = dict[str, Any]
PLAIN: Object = {"name": "digits-resnet-plain"}
ROTATED: Object = {"name": "digits-resnet-rotation"}
TOP1 = "digits_test_top1"


def local_results(manifest: Object, folder: Path) -> dict[str, dict[str, Object]]:
    """Values by model and key, measured in a process of its own without any cluster."""
    path = folder / "evaluation.yaml"
    path.write_text(yaml.safe_dump(manifest))
    done = subprocess.run(
        [sys.executable, "-m", "interplay_cli", "run", path, "-o", "json"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return {r["model"]: r["values"] for r in json.loads(done.stdout)["results"]}


def values(item: Object) -> dict[str, dict[str, Object]]:
    """Values by model and key, from an Evaluation's status."""
    return {r["model"]: r["values"] for r in item["status"]["results"]}


def versions(kubectl: Kubectl) -> dict[str, str]:
    """resourceVersion of everything that the operator writes."""
    kinds = ("evaluations", "modelruns", "jobs")
    return {
        i["metadata"]["uid"]: i["metadata"]["resourceVersion"]
        for kind in kinds
        for i in kubectl.list(kind)
    }


def test_pods_give_the_numbers_of_a_local_run_and_nothing_stays(
    kubectl: Kubectl, chart: Kubectl, tmp_path: Path
) -> None:
    manifest = evaluation("whole", [PLAIN, ROTATED], {"groups": ["digits"]})
    kubectl.apply(manifest)
    item = kubectl.until_condition("whole", "Complete", timeout=300)
    assert item["status"]["models"] == {
        "total": 2, "pending": 0, "running": 0, "succeeded": 2, "failed": 0, "reused": 0
    }  # fmt: skip
    measured, expected = values(item), local_results(manifest, tmp_path)
    assert measured.keys() == expected.keys() == {PLAIN["name"], ROTATED["name"]}
    for model, row in expected.items():
        assert measured[model].keys() == row.keys()
        for key, want in row.items():
            got = measured[model][key]
            # An attack may tip one image that lies on the border (one of 600).
            tolerance = 1.01 / want["n"] if "fgsm" in key else 1e-6
            assert got["value"] == pytest.approx(want["value"], abs=tolerance, rel=1e-6), key
            assert got.get("n") == want.get("n"), key

    exported = series(chart, "interplay_value", namespace=kubectl.namespace)
    assert len(exported) == sum(len(row) for row in measured.values())
    assert {labels["model"] for labels, _ in exported} == set(measured)

    kubectl.run("delete", "evaluation", "whole")
    kinds = "evaluations,modelruns,jobs,pods"
    kubectl.until(
        "nothing is left", lambda: None if kubectl.list(kinds) else {"gone": True}, timeout=120
    )
    kubectl.until(
        "no series is left",
        lambda: (
            None
            if series(chart, "interplay_value", namespace=kubectl.namespace)
            else {"gone": True}
        ),
        timeout=30,
    )


def test_a_report_too_long_for_its_message_comes_back_by_the_log(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    groups = ["calibration", "geometry", "symmetry", "fairness", "transfer", "agreement", "cost"]
    measurements = {"groups": groups, "names": ["corruptions"]}
    manifest = evaluation("long", [ROTATED], measurements, overrides={"limit": 200})
    kubectl.apply(manifest)
    item = kubectl.until_condition("long", "Complete", timeout=300)
    (measured,) = values(item).values()
    (expected,) = local_results(manifest, tmp_path).values()
    assert len(expected) > 150, "about 120 values fit into a termination message"
    assert measured.keys() == expected.keys()
    for key, want in expected.items():
        assert measured[key]["value"] == pytest.approx(want["value"], abs=1e-6, rel=1e-6), key


def test_one_bad_model_leaves_the_good_ones_alone(kubectl: Kubectl) -> None:
    bad: Object = {"inline": {"timm": "resnet_that_never_was"}, "alias": "bad"}
    kubectl.apply(evaluation("mixed", [PLAIN, bad], {"names": ["top-k"]}))
    item = kubectl.until_condition("mixed", "Failed")
    failed_evaluation = condition(item, "Failed")
    assert item["status"]["models"]["succeeded"] == 1
    assert item["status"]["models"]["failed"] == 1
    assert values(item)[PLAIN["name"]][TOP1]["n"] == 600
    (run,) = [r for r in kubectl.list("modelruns") if r["spec"]["model"] == "bad"]
    failed = condition(run, "Failed")
    assert failed["reason"] == "BadModel"
    assert "resnet_that_never_was" in failed["message"]
    assert run["status"]["attempt"] == 1, "a bad model is not tried again"
    told = {
        (e["involvedObject"]["kind"], e["type"], e["reason"])
        for e in kubectl.list("events")
        if e["involvedObject"]["kind"] in ("Evaluation", "ModelRun")
    }
    assert ("ModelRun", "Warning", "BadModel") in told
    assert ("Evaluation", "Warning", failed_evaluation["reason"]) in told


def test_a_measurement_that_raises_fails_alone(kubectl: Kubectl) -> None:
    broken = {
        "apiVersion": "interplay.dev/v1alpha1",
        "kind": "Measurement",
        "metadata": {"name": "broken"},
        "spec": {
            "category": "property",
            "entryPoint": "invariance",
            "datasets": ["digits"],
            "parameters": {"op": "rotate", "magnitudes": "not a list"},
        },
    }
    kubectl.apply(broken, evaluation("partly", [PLAIN], {"names": ["top-k", "broken"]}))
    item = kubectl.until_condition("partly", "Complete")
    assert TOP1 in values(item)[PLAIN["name"]]
    (run,) = kubectl.list("modelruns")
    cells = {c["measurement"]: c for c in run["status"]["cells"]}
    assert cells["top-k"]["state"] == "Succeeded"
    assert cells["broken"]["state"] == "Failed"
    assert "magnitudes" in cells["broken"]["reason"]


def test_suspend_stops_pods_and_resume_finishes(kubectl: Kubectl) -> None:
    kubectl.apply(
        evaluation("pause", [PLAIN, ROTATED], {"groups": ["digits"]}, parallelism=1, reuse="Never")
    )
    kubectl.until("a pod runs", lambda: next(iter(kubectl.list("pods")), None))
    kubectl.run("patch", "evaluation", "pause", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    kubectl.until_condition("pause", "Suspended")
    kubectl.until(
        "no pod is left",
        lambda: (
            None
            if [p for p in kubectl.list("pods") if p["status"]["phase"] in ("Pending", "Running")]
            else {"gone": True}
        ),
        timeout=120,
    )
    kubectl.run("patch", "evaluation", "pause", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    item = kubectl.until_condition("pause", "Complete", timeout=240)
    assert condition(item, "Suspended")["status"] == "False"
    assert len(values(item)) == 2


def test_applying_again_writes_nothing_and_a_new_model_runs_alone(kubectl: Kubectl) -> None:
    first = evaluation("again", [PLAIN], {"names": ["top-k"]})
    kubectl.apply(first)
    kubectl.until_condition("again", "Complete")
    before = versions(kubectl)
    kubectl.apply(first)
    subprocess.run(["sleep", "5"], check=True)
    assert versions(kubectl) == before

    (old,) = kubectl.list("modelruns")
    kubectl.apply(evaluation("again", [PLAIN, ROTATED], {"names": ["top-k"]}))
    item = kubectl.until_condition("again", "Complete")
    assert item["status"]["models"]["total"] == 2
    runs = {r["spec"]["model"]: r for r in kubectl.list("modelruns")}
    assert runs[PLAIN["name"]]["metadata"]["uid"] == old["metadata"]["uid"]
    assert len(values(item)) == 2


def test_what_was_measured_is_copied_not_run(kubectl: Kubectl) -> None:
    kubectl.apply(evaluation("first", [PLAIN], {"names": ["top-k"]}))
    first = kubectl.until_condition("first", "Complete")
    kubectl.apply(evaluation("second", [PLAIN], {"names": ["top-k", "ece"]}))
    second = kubectl.until_condition("second", "Complete")
    row = values(second)[PLAIN["name"]]
    assert row[TOP1] == values(first)[PLAIN["name"]][TOP1]
    assert "digits_test_ece" in row
    (run,) = [r for r in kubectl.list("modelruns") if r["spec"]["evaluation"] == "second"]
    origin = {c["measurement"]: c.get("reusedFrom") for c in run["status"]["cells"]}
    (source,) = [r for r in kubectl.list("modelruns") if r["spec"]["evaluation"] == "first"]
    assert origin == {"top-k": source["metadata"]["name"], "ece": None}

    kubectl.apply(evaluation("third", [PLAIN], {"names": ["ece"]}))
    third = kubectl.until_condition("third", "Complete", timeout=30)
    assert third["status"]["models"]["reused"] == 1


def test_a_killed_operator_loses_nothing(kubectl: Kubectl, chart: Kubectl) -> None:
    models = [PLAIN, ROTATED, {"name": "digits-vit-plain"}]
    kubectl.apply(evaluation("killed", models, {"groups": ["digits"]}, parallelism=2))
    kubectl.until("a pod runs", lambda: next(iter(kubectl.list("pods")), None))
    for _ in range(2):
        chart.run(
            "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--force",
            "--grace-period=0",
        )  # fmt: skip
        chart.run("rollout", "status", "deployment/interplay", "--timeout=90s")
    item = kubectl.until_condition("killed", "Complete", timeout=300)
    assert item["status"]["models"]["succeeded"] == 3
    assert {r["status"]["attempt"] for r in kubectl.list("modelruns")} == {1}


def test_an_image_that_does_not_exist_is_explained_and_then_fails(
    kubectl: Kubectl, chart: Kubectl
) -> None:
    mode: Object = {
        "apiVersion": "interplay.dev/v1alpha1",
        "kind": "Mode",
        "metadata": {"name": kubectl.namespace, "namespace": SYSTEM},
        "spec": {"image": "127.0.0.1:1/nowhere:none"},
    }
    chart.apply(mode)
    try:
        kubectl.apply(
            evaluation(
                "stuck", [PLAIN], {"names": ["top-k"]},
                mode=kubectl.namespace, startDeadlineSeconds=20,
            )
        )  # fmt: skip
        item = kubectl.until_condition("stuck", "Failed", timeout=120)
        assert item["status"]["models"]["failed"] == 1
        (run,) = kubectl.list("modelruns")
        failed = condition(run, "Failed")
        assert failed["reason"] == "StartDeadlineExceeded"
        assert "127.0.0.1:1/nowhere" in failed["message"]
    finally:
        chart.run("delete", "mode", kubectl.namespace)


def test_a_mode_with_a_gpu_runs_where_there_is_one(kubectl: Kubectl, chart: Kubectl) -> None:
    mode: Object = {
        "apiVersion": "interplay.dev/v1alpha1",
        "kind": "Mode",
        "metadata": {"name": kubectl.namespace, "namespace": SYSTEM},
        "spec": {"gpus": 1, "device": "cpu", "allowedNamespaces": [kubectl.namespace]},
    }
    chart.apply(mode)
    subprocess.run([sys.executable, "-m", "cluster", "fake-gpus", "2"], cwd=ROOT, check=True)
    try:
        kubectl.apply(
            evaluation("gpu", [PLAIN], {"names": ["top-k"]}, mode=kubectl.namespace, keepPods="all")
        )
        item = kubectl.until_condition("gpu", "Complete")
        assert values(item)[PLAIN["name"]][TOP1]["n"] == 600
        (pod,) = kubectl.list("pods")
        resources = pod["spec"]["containers"][0]["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == "1"
        assert pod["spec"]["automountServiceAccountToken"] is False
    finally:
        subprocess.run([sys.executable, "-m", "cluster", "fake-gpus", "0"], cwd=ROOT, check=True)
        chart.run("delete", "mode", kubectl.namespace)


def test_a_name_that_is_not_there_is_answered_with_near_ones(kubectl: Kubectl) -> None:
    kubectl.apply(evaluation("typo", [{"name": "digits-resnet-plane"}], {"names": ["top-k"]}))

    def look() -> Object | None:
        item = kubectl.get("evaluation", "typo")
        messages = [c["message"] for c in item.get("status", {}).get("conditions", [])]
        return item if any("digits-resnet-plain" in m for m in messages) else None

    kubectl.until("the near match is named", look, timeout=30)
    assert kubectl.list("modelruns") == []
