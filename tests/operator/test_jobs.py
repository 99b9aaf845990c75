"""ModelRun to Job manifest: golden files, and what no Mode can change.

UPDATE_GOLDEN=1 rewrites the golden files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from interplay_api.catalog import Entry
from interplay_api.names import canonical_json
from interplay_api.plan import Plan
from interplay_operator.jobs import JobRequest, job_manifest
from interplay_operator.results import missing_plan
from tests.faults.expansion import environment
from tests.faults.specs import POISON
from tests.operator.builders import resolved, run

GOLDEN = Path(__file__).parent / "golden"
KUBERNETES = "1.36"

FULL_MODE = {
    "gpus": 2,
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "8Gi"}},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "imagePullSecrets": ["registry"],
    "priorityClassName": "batch",
    "runtimeClassName": "nvidia",
    "serviceAccountName": "runner",
    "fsGroup": 2000,
    "queueName": "team",
    "shmSize": "1Gi",
    "env": [{"name": "OMP_NUM_THREADS", "value": "2"}],
    "volumes": [{"name": "hub", "claimName": "hub", "mountPath": "/hub", "readOnly": False}],
}
HOSTILE_MODE = {
    "podLabels": {"interplay.dev/modelrun-uid": "forged", "team": "vision"},
    "podAnnotations": {
        "interplay.dev/plan": "{}",
        "sidecar.istio.io/inject": "true",
        "batch.kubernetes.io/job-name": "forged",
        "note": "kept",
    },
    "env": [{"name": "INTERPLAY_MODELRUN_UID", "value": "forged"}, {"name": "HOME", "value": "/x"}],
}
FOLDER = Entry(
    "Dataset",
    "pets",
    {
        "imageFolder": {"path": "/data/pets", "claimName": "images", "subPath": "pets/val"},
        "revision": "1",
    },
)
ON_PETS = Entry(
    "Measurement",
    "pets-top1",
    {"category": "benefit", "entryPoint": "top-k", "datasets": ["pets", "digits"]},
)


def request(
    mode: dict[str, Any] | None = None, plan: Plan | None = None, **spec: Any
) -> JobRequest:
    made = resolved(mode, FOLDER, ON_PETS, **spec)[0]
    record = run(made)
    return JobRequest(
        namespace="team",
        name=made.name,
        uid=record.meta.uid,
        evaluation_uid="evaluation-uid",
        attempt=2,
        backoff_limit=3,
        spec=made.spec,
        plan=plan or made.spec.plan,
        plan_digest=(plan or made.spec.plan).digest(),
    )


CASES = {
    "plain": request(),
    "full": request(
        FULL_MODE, measurements={"names": ["pets-top1"]}, outputs={"claimName": "results"}
    ),
    "hostile-mode": request(HOSTILE_MODE),
}


@pytest.mark.parametrize("name", CASES)
def test_the_manifest_is_the_golden_one(name: str) -> None:
    made = job_manifest(CASES[name])
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(made, sort_keys=False, width=100))
    assert made == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", CASES)
def test_kubernetes_accepts_every_field(name: str) -> None:
    kubernetes_validate.validate(job_manifest(CASES[name]), KUBERNETES, strict=True)


def test_a_mode_cannot_speak_in_our_name() -> None:
    template = job_manifest(CASES["hostile-mode"])["spec"]["template"]
    meta, container = template["metadata"], template["spec"]["containers"][0]
    assert meta["labels"]["interplay.dev/modelrun-uid"] == "run-uid"
    assert meta["labels"]["team"] == "vision"
    assert meta["annotations"]["note"] == "kept"
    assert meta["annotations"]["sidecar.istio.io/inject"] == "false"
    assert "batch.kubernetes.io/job-name" not in meta["annotations"]
    assert meta["annotations"]["interplay.dev/plan"] != "{}"
    env = [(e["name"], e.get("value")) for e in container["env"]]
    assert ("INTERPLAY_MODELRUN_UID", "run-uid") in env
    assert [v for n, v in env if n == "HOME"] == ["/x"]
    assert len(env) == len({n for n, _ in env})


def test_an_attempt_carries_only_the_cells_that_are_missing() -> None:
    whole = request(measurements={"names": ["calibration", "pets-top1"]})
    status = {
        "measurement": "pets-top1",
        "dataset": "pets",
        "key": next(c.key for c in whole.spec.plan.cells if c.dataset == "pets"),
        "state": "Succeeded",
    }
    held = run(None, {"cells": [status]}).status.cells
    plan = missing_plan(whole.spec.plan, held)
    assert [c.dataset for c in plan.cells] == ["digits", "digits"]
    assert [d.name for d in plan.datasets] == ["digits"]
    manifest = job_manifest(
        request(plan=plan, measurements={"names": ["calibration", "pets-top1"]})
    )
    template = manifest["spec"]["template"]
    annotation = template["metadata"]["annotations"]["interplay.dev/plan"]
    assert annotation == canonical_json(plan.wire())
    assert template["spec"]["containers"][0]["args"][-1] == plan.digest()
    assert not [v for v in template["spec"]["volumes"] if v["name"].startswith("data-")]


def test_a_kubelet_puts_nothing_in_place_of_what_a_mode_says() -> None:
    env = [{"name": f"V{i}", "value": text} for i, text in enumerate([*POISON, "$", "$(", "$$"])]
    around = [{"name": "A", "value": "secret"}, *env, {"name": "B", "value": "$(A)"}]
    job = job_manifest(request({"env": around}))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    seen = environment(container["env"])
    assert {n: seen[n] for n in (e["name"] for e in env)} == {e["name"]: e["value"] for e in env}
    assert seen["B"] == "$(A)"
    assert [a for a in container["args"] if "$" in a] == []
