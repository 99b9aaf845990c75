"""The benchmark itself: it runs, it counts what it says, and its clones and replays are true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.operator.audit import Call
from benchmarks.operator.bare import fresh
from benchmarks.operator.flow import apply_to_job, pod_to_status
from benchmarks.operator.goals import Goal
from benchmarks.operator.numbers import milliseconds, quantile
from benchmarks.operator.objects import renamed
from tests.apiserver.server import ROOT, missing_binaries


def call(verb: str, resource: str, name: str, received: float, done: float) -> Call:
    code = 201 if verb == "create" else 200
    return Call("operator", verb, resource, "load", name, code, received, done)


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert milliseconds([0.25]) == {"p50": 250.0, "p99": 250.0, "max": 250.0, "n": 1}


def test_a_job_is_timed_from_its_own_apply() -> None:
    calls = [
        call("create", "evaluations", "e1", 1.0, 1.1),
        call("create", "evaluations", "e2", 2.0, 2.1),
        call("create", "jobs", "e2-a-12345678-1", 2.4, 2.5),
        call("create", "jobs", "e1-a-12345678-1", 2.9, 3.0),
    ]
    assert apply_to_job(calls) == {"e1": [2.0], "e2": [0.5]}


def test_a_result_is_timed_from_the_last_status_of_its_pod() -> None:
    run = "e1-a-12345678"
    calls = [
        call("patch", "pods/status", f"{run}-1-pod", 1.0, 1.1),
        call("patch", "jobs/status", f"{run}-1", 1.1, 1.2),
        call("update", "modelruns/status", run, 1.2, 1.3),
        call("patch", "pods/status", f"{run}-1-pod", 2.0, 2.5),
        call("update", "modelruns/status", run, 2.6, 3.0),
        call("patch", "jobs/status", f"{run}-1", 3.4, 3.5),
    ]
    assert pod_to_status(calls, "operator") == ([0.5], 1)


def test_a_clone_has_other_names_and_uids_wherever_they_stand() -> None:
    item = {"metadata": {"name": "e1-a-1", "labels": {"uid": "u1"}}, "spec": ["e1", "e10"]}
    clone = {"metadata": {"name": "e2-a-1", "labels": {"uid": "u2"}}, "spec": ["e2", "e10"]}
    assert renamed(item, {"e1": "e2", "u1": "u2"}) == clone


def test_a_replayed_object_is_what_was_sent() -> None:
    owner = {"kind": "Evaluation", "name": "e1", "uid": "old"}
    meta = {"name": "e1-a", "uid": "x", "resourceVersion": "7", "ownerReferences": [owner]}
    item = {"metadata": meta, "spec": {"a": 1}, "status": {"b": 2}}
    made = {("evaluations", "e1"): {"metadata": {"name": "e1", "uid": "new"}}}
    owned = {"name": "e1-a", "ownerReferences": [{**owner, "uid": "new"}]}
    assert fresh(item, made) == {"metadata": owned, "spec": {"a": 1}}
    assert owner["uid"] == "old"


def test_a_goal_says_whether_it_is_met() -> None:
    assert Goal("time", 50, 50, "ms").met
    assert not Goal("ratio", 3, 2.9, "x", at_least=True).met
    assert Goal("writes", 0, 0).bound_text == "none"


@pytest.mark.apiserver
def test_it_runs(tmp_path: Path) -> None:
    if reason := missing_binaries():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    words = ["--size", "tiny", "--only", "pace", "steady", "burst", "--results", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.operator", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "operator-tiny.json").read_text())
    assert found["steady"]["apply to Job, ms"]["n"] == 5
    assert found["steady"]["reads"] == {}
    assert found["pace"]["bare client, ms"]["n"] == found["pace"]["apply to Job, ms"]["n"] == 5
    assert found["burst"]["writes of the last script"] >= 5 * 6
    page = (tmp_path / "operator-tiny.md").read_text()
    assert "| what | goal | measured | met |" in page
