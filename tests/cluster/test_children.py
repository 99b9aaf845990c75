"""What becomes of pods that are hit, starved or never born: retried or failed, never in silence."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.children import (
    Child,
    Scene,
    ended,
    evict,
    force_delete,
    measuring,
    told,
    watched,
)
from tests.cluster.conftest import ROOT, install, own_namespace
from tests.cluster.kubectl import Kubectl, condition
from tests.cluster.metrics import series

Object = dict[str, Any]
TOP1 = "digits_test_top1"
HUGE = {"requests": {"memory": "13Gi"}}
"""More than half of any machine that has room for one of them, and none of it is touched."""
SOON = {"startDeadlineSeconds": 15}
LATER = {"startDeadlineSeconds": 35}
"""Events are read every 30 s, and the one that says most may come after the first reading."""


def claims(*names: str) -> Object:
    return {"volumes": [{"name": n, "claimName": n, "mountPath": f"/mnt/{n}"} for n in names]}


def volume(scene: Scene, name: str, path: str) -> tuple[Object, Object]:
    """A folder of the node as a volume, and the claim that it is bound to."""
    namespace = scene.kubectl.namespace
    spec: Object = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    whole = f"{namespace}-{name}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": whole, "labels": {"test": namespace}},
        "spec": {
            **spec, "capacity": {"storage": "1Mi"}, "hostPath": {"path": path, "type": "Directory"}
        },
    }, {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            **spec, "volumeName": whole, "resources": {"requests": {"storage": "1Mi"}}
        },
    }  # fmt: skip


def bring_volume(name: str, path: str) -> Any:
    def act(scene: Scene, _: Object) -> None:
        made, claim = volume(scene, name, path)
        scene.chart.apply(made)
        scene.kubectl.apply(claim)

    return act


def lift_quota(scene: Scene, _: Object) -> None:
    scene.kubectl.run("delete", "resourcequota", "no-gpus")


def outrank(scene: Scene, _: Object) -> None:
    scene.start({"outranking": CHILDREN["outranking"]})


CHILDREN: dict[str, Child] = {
    # Hit while it runs
    "undisturbed": Child(),
    "evicted": Child(
        disruptions=1, on_the_way=("Retrying", "EvictionByEvictionAPI"), when=measuring, act=evict
    ),
    "evicted-once-too-often": Child(
        "Failed", "TooManyDisruptions", "1 pods were disrupted", disruptions=1,
        mode={"maxDisruptions": 0}, when=measuring, act=evict,
    ),
    "outranked": Child(
        disruptions=1, on_the_way=("Unschedulable", "Insufficient memory"),
        mode={"resources": HUGE, "priorityClassName": "low"}, when=measuring, act=outrank,
    ),
    "outranking": Child(mode={"resources": HUGE, "priorityClassName": "high"}, first=False),
    "forced-off": Child(when=measuring, act=force_delete),
    "forced-off-at-its-end": Child(attempt=None, when=ended, act=force_delete),
    "out-of-memory": Child(
        "Failed", "OutOfMemory", "OOMKilled",
        mode={"resources": {"limits": {"memory": "96Mi"}}}, spec={"backoffLimit": 0},
    ),
    # Never born, and told why
    "no-claim": Child(
        "Failed", "StartDeadlineExceeded", 'persistentvolumeclaim "nowhere" not found',
        mode=claims("nowhere"), spec=SOON,
    ),
    "late-claim": Child(
        on_the_way=("Mount", 'persistentvolumeclaim "late" not found'),
        mode=claims("late"), when=told("Mount"), act=bring_volume("late", "/usr/share"),
    ),
    "no-mount": Child(
        "Failed", "StartDeadlineExceeded", "hostPath type check failed",
        on_the_way=("Mount", "FailedMount"), mode=claims("empty"), spec=LATER,
    ),
    "no-pull-secret": Child(
        "Failed", "StartDeadlineExceeded", "some image pull secrets (nowhere)",
        on_the_way=("ImagePull", "127.0.0.1:1/private"),
        mode={"image": "127.0.0.1:1/private:1", "imagePullSecrets": ["nowhere"]},
        spec=LATER,
    ),
    "no-account": Child(
        "Failed", "StartDeadlineExceeded", 'serviceaccount "nobody" not found',
        on_the_way=("PodCreation", "nobody"), mode={"serviceAccountName": "nobody"}, spec=SOON,
    ),
    "no-quota": Child(
        on_the_way=("QuotaExceeded", "exceeded quota: no-gpus"),
        mode={"gpus": 1, "device": "cpu"}, spec=SOON, when=told("QuotaExceeded"), act=lift_quota,
    ),
    "no-node-in-time": Child(
        "Failed", "SchedulingDeadlineExceeded", "didn't match Pod's node affinity/selector",
        mode={"nodeSelector": {"disk": "none-has-it"}}, spec={"schedulingDeadlineSeconds": 15},
    ),
    "no-node": Child(
        "Waiting", "Unschedulable", "didn't match Pod's node affinity/selector",
        mode={"nodeSelector": {"disk": "none-has-it"}}, spec=SOON,
    ),
    "no-room": Child(
        "Waiting", "Unschedulable", "Insufficient cpu",
        mode={"resources": {"requests": {"cpu": "1000"}}}, spec=SOON,
    ),
}  # fmt: skip


def priority(name: str, namespace: str, value: int) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name, "labels": {"test": namespace}},
        "value": value,
    }


QUOTA: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-gpus"},
    "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
}


@pytest.fixture(scope="module")
def scene(admin: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """All children started together and hit; the tests wait for the end of each."""
    install()
    history = tmp_path_factory.mktemp("children") / "modelruns.json"
    gpus = [sys.executable, "-m", "cluster", "fake-gpus"]
    with own_namespace(admin) as kubectl, watched(kubectl, admin, history) as scene:
        try:
            subprocess.run([*gpus, "1"], cwd=ROOT, check=True)
            empty, claim = volume(scene, "empty", "/nowhere/at/all")
            namespace = kubectl.namespace
            admin.apply(priority("low", namespace, -10), priority("high", namespace, 10), empty)
            kubectl.apply(claim, QUOTA)
            scene.start({n: c for n, c in CHILDREN.items() if c.first})
            scene.strike(CHILDREN)
            yield scene
        finally:
            subprocess.run([*gpus, "0"], cwd=ROOT, check=True)
            for kind in ("modes", "persistentvolumes", "priorityclasses"):
                admin.run("delete", kind, "-l", f"test={kubectl.namespace}", "--wait=false")


@pytest.mark.parametrize("name", CHILDREN)
def test_it_ends_in_the_right_state_with_the_clusters_own_words(scene: Scene, name: str) -> None:
    child = CHILDREN[name]

    def look() -> Object | None:
        run = scene.run(name)
        on = condition(run, child.ends).get("status") == "True"
        return run if on or condition(run, "Failed").get("status") == "True" else None

    run = scene.kubectl.until(f"{child.ends} of {name}", look, timeout=240)
    last = condition(run, child.ends)
    assert (last.get("status"), last.get("reason")) == ("True", child.reason), run["status"]
    assert child.words in last["message"]
    if child.on_the_way:
        reason, words = child.on_the_way
        assert [m for r, m in scene.said(name) if r == reason and words in m], scene.said(name)
    assert run["status"]["attempt"] in ([child.attempt] if child.attempt else [1, 2])
    assert len(run["status"].get("disruptions", [])) == child.disruptions
    if child.ends == "Complete":
        assert_same_numbers(scene, name)


def assert_same_numbers(scene: Scene, name: str) -> None:
    """What was interrupted has the numbers of what was not, and has them once."""
    (row,), (whole,) = (
        scene.kubectl.until_condition(n, "Complete")["status"]["results"]
        for n in (name, "undisturbed")
    )
    assert row["values"].keys() == whole["values"].keys()
    assert row["values"][TOP1]["n"] == 600
    for key, number in whole["values"].items():
        assert row["values"][key] == pytest.approx(number, rel=1e-6, abs=1e-6), key
    assert [c["state"] for c in scene.run(name)["status"]["cells"]] == ["Succeeded"]
    exported = series(scene.chart, "interplay_value", namespace=scene.kubectl.namespace)
    mine = [labels for labels, _ in exported if labels["evaluation"] == name]
    assert len(mine) == len(whole["values"])


def test_what_only_waits_outlives_every_start_deadline(scene: Scene) -> None:
    for name in [n for n, c in CHILDREN.items() if c.ends == "Waiting"]:
        born = datetime.fromisoformat(scene.run(name)["metadata"]["creationTimestamp"])
        age = (datetime.now(UTC) - born).total_seconds()
        time.sleep(max(0, SOON["startDeadlineSeconds"] + 5 - age))
        run = scene.run(name)
        assert condition(run, "Waiting")["status"] == "True"
        assert run["status"].get("completionTime") is None


def test_a_result_that_nobody_read_is_measured_again(scene: Scene) -> None:
    kubectl, chart = scene.kubectl, scene.chart
    child = Child(when=ended, act=force_delete)
    scene.start({"unread": child})
    kubectl.until(
        "its pod is there",
        lambda: next((p for p in kubectl.list("pods") if "unread" in p["metadata"]["name"]), None),
    )
    chart.run("scale", "deployment/interplay", "--replicas=0")
    try:
        operator = ("-l", "app.kubernetes.io/component=operator")
        chart.run("delete", "pod", *operator, "--force", "--grace-period=0")
        assert condition(scene.run("unread"), "Complete") == {}
        scene.strike({"unread": child})
        kubectl.until(
            "its Job is complete and its pod gone",
            lambda: next(
                (
                    j
                    for j in kubectl.list("jobs")
                    if "unread" in j["metadata"]["name"] and condition(j, "Complete")
                ),
                None,
            ),
        )
    finally:
        chart.run("scale", "deployment/interplay", "--replicas=1")
        chart.run("rollout", "status", "deployment/interplay", "--timeout=90s")
    kubectl.until_condition("unread", "Complete")
    assert_same_numbers(scene, "unread")
    assert scene.run("unread")["status"]["attempt"] == 2
    assert [m for r, m in scene.said("unread") if r == "Retrying" and "its pod is gone" in m]


def test_a_drained_node_takes_nothing_with_it(scene: Scene) -> None:
    def drain(scene: Scene, pod: Object) -> None:
        node = pod["spec"]["nodeName"]
        try:
            scene.chart.run(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force",
                "--timeout=100s",
            )  # fmt: skip
        finally:
            scene.chart.run("uncordon", node)

    child = Child(when=measuring, act=drain)
    scene.start({"drained": child})
    scene.strike({"drained": child})
    scene.kubectl.until_condition("drained", "Complete", timeout=240)
    assert_same_numbers(scene, "drained")
    assert scene.run("drained")["status"]["attempt"] == 1
