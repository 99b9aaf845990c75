"""The pod's process.

Aspects: exit codes and termination messages of what no retry heals; one real run on digits,
stopped by SIGTERM after its first shard, gone on with by a second process, equal to a run in this
process and read back from its log and its termination message.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.names import canonical_json
from interplay_api.plan import Plan
from interplay_api.report import decode_log, decode_termination, parse_report
from interplay_api.resolve import resolve
from interplay_runner import run
from interplay_runner.__main__ import main
from interplay_runner.outputs import CHECKPOINT
from interplay_runner.run import run_plan
from tests.runner.core.fakes import World, plan


class Pod:
    """What the kubelet sets up: a plan file, a termination log, an environment."""

    def __init__(self, folder: Path, plan_: Plan) -> None:
        self.plan, self.termination = folder / "plan.json", folder / "termination-log"
        self.plan.write_text(canonical_json(plan_.wire()))
        self.termination.touch()
        self.args = ["--plan", str(self.plan), "--plan-digest", plan_.digest()]
        self.env = {
            "INTERPLAY_MODELRUN_UID": "run-uid",
            "INTERPLAY_POD_UID": "pod-uid",
            "INTERPLAY_ATTEMPT": "2",
            "INTERPLAY_TERMINATION_LOG": str(self.termination),
        }

    def run(self, env: Mapping[str, str] = {}) -> int:
        """In this process."""
        return main(self.args, {**self.env, **env})

    def start(self, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """As a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "interplay_runner", *self.args],
            env={**os.environ, **self.env, **env},
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    World(20).install(monkeypatch)
    return Pod(tmp_path, plan("top1", "broken"))


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_failed_cell_is_no_failed_pod(pod: Pod, capfd: pytest.CaptureFixture[str]) -> None:
    assert pod.run() == 0
    out = capfd.readouterr().out
    sha, inline = decode_termination(pod.termination.read_text())
    assert inline is not None
    assert decode_log(out.splitlines(), sha) == inline
    report = parse_report(inline)
    assert (report.modelrun_uid, report.pod_uid, report.attempt) == ("run-uid", "pod-uid", 2)
    assert [c.state for c in report.cells] == ["Succeeded", "Failed"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("", "plan: not JSON"),
        ("[" * 50_000, "plan: not JSON"),
        ("{}", "plan.model: Field required"),
        (" " * 70_000, "plan: over 65536 bytes"),
        (canonical_json(plan("top1").wire()), "plan: its digest is "),
    ],
    ids=["missing", "empty", "deep", "schema", "large", "another plan"],
)
def test_a_plan_that_was_not_frozen_is_refused(pod: Pod, content: str | None, message: str) -> None:
    pod.plan.unlink() if content is None else pod.plan.write_text(content)
    assert pod.run() == 66
    said = pod.termination.read_text()
    assert said.startswith("interplay: BadPlan: ")
    assert message in said
    assert said.count("\n") == 1


def _change(pod: Pod, plan_: Plan, **fields: object) -> None:
    changed = Plan.read({**plan_.wire(), **fields})
    pod.plan.write_text(canonical_json(changed.wire()))
    pod.args[-1] = changed.digest()


def test_models_and_data_that_no_retry_heals_have_their_own_codes(
    tmp_path: Path,
) -> None:
    good = plan("top1")
    real = Pod(tmp_path, good)
    _change(real, good, model={"name": "m", "spec": {"timm": "resnet18x"}})
    assert real.run() == 64
    assert "BadModel: model m: spec.timm: no architecture" in real.termination.read_text()
    folder = {"imageFolder": {"path": "/no/such/folder"}}
    _change(real, good, datasets=[{"name": "fake", "spec": folder}])
    assert real.run() == 65
    assert "BadData: dataset fake: spec.imageFolder" in real.termination.read_text()


def test_the_unexpected_is_one_line_and_its_traceback_stays_in_the_log(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise ConnectionError("weights cannot\nbe fetched now")

    monkeypatch.setattr(run, "load_model", broken)
    assert pod.run() == 1
    text = "interplay: Error: ConnectionError: weights cannot be fetched now\n"
    assert pod.termination.read_text() == text
    captured = capfd.readouterr()
    assert not captured.err
    traceback, failed = _events(captured.out)[-2:]
    assert "in broken" in traceback["text"]
    assert failed["code"] == 1


def _digits_plan() -> Plan:
    """The smallest batches, so that 600 samples are three shards."""
    spec = EvaluationSpec.read(
        {
            "models": [{"name": "digits-convnext-short"}],
            "measurements": {"names": ["top-k", "effective-rank", "rotation-invariance", "fgsm"]},
            "overrides": {"batchSize": 8},
        }
    )
    (resolved,) = resolve("d", "default", spec, Catalog([builtin_layer()]), image="local").runs
    return resolved.spec.plan


def test_a_pod_killed_and_replaced_gives_the_numbers_of_a_run_without_a_cluster(
    tmp_path: Path,
) -> None:
    frozen = _digits_plan()
    pod, claim = Pod(tmp_path, frozen), tmp_path / "claim"
    outputs = {"INTERPLAY_OUTPUTS": str(claim)}
    with pod.start(outputs) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if '"event": "shard"' in line:
                first.send_signal(signal.SIGTERM)
                break
        rest = first.stdout.read()
    assert first.returncode == 143
    assert _events(rest)[-1]["reason"] == "Terminated"
    assert (claim / CHECKPOINT).exists()

    with pod.start(outputs) as second:
        out, _ = second.communicate(timeout=300)
    assert second.returncode == 0
    resumed = [e for e in _events(out) if e["event"] == "checkpoint"]
    assert [(e["action"], e["shards"] >= 1) for e in resumed] == [("resumed", True)]
    sha, inline = decode_termination(pod.termination.read_text())
    assert inline is not None
    assert decode_log(out.splitlines(), sha) == inline == (claim / "report.json").read_bytes()
    assert not (claim / CHECKPOINT).exists()

    here, there = run_plan(frozen), parse_report(inline)
    assert {c.state for c in there.cells} == {"Succeeded"}
    for ours, theirs in zip(here.cells, there.cells, strict=True):
        for value, other in zip(ours.values, theirs.values, strict=True):
            assert (value.metric, value.n) == (other.metric, other.n)
            assert value.value == pytest.approx(other.value, rel=1e-6)


def test_a_pod_that_is_stopped_before_it_has_begun_ends_at_once(tmp_path: Path) -> None:
    pod = Pod(tmp_path, plan("top1"))
    process = pod.start({})
    assert process.stdout is not None
    with process.stdout as lines:
        assert json.loads(next(lines))["event"] == "plan"
        process.send_signal(signal.SIGTERM)  # while torch is loaded, which takes a second and more
        events = [json.loads(line)["event"] for line in lines]
    assert process.wait(60) == 143
    assert events == ["failed"]
    assert pod.termination.read_text() == "interplay: Terminated: stopped by a signal\n"
