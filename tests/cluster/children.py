"""Children of one namespace side by side: what each asks for, what hits it, what was said of it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.conftest import SYSTEM
from tests.cluster.kubectl import Kubectl, evaluation

__all__ = ["Child", "Scene", "ended", "evict", "force_delete", "measuring", "told", "watched"]

Object = dict[str, Any]
When = Callable[["Scene", str], Object | None]
Act = Callable[["Scene", Object], None]
MODEL: Object = {"name": "digits-resnet-plain"}
MODEL_RUNS = ("modelruns", "--watch", "-o", "json")


@dataclass(frozen=True)
class Child:
    """One Evaluation of one model, and how it has to end."""

    ends: str = "Complete"
    """Condition of its ModelRun that ends the story: Complete, Failed, or Waiting for ever."""
    reason: str = "Succeeded"
    words: str = ""
    """The cluster's own, in the message of that condition."""
    on_the_way: tuple[str, str] | None = None
    """Reason and words of a condition before that."""
    attempt: int | None = 1
    """None where two clocks decide."""
    disruptions: int = 0
    mode: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    first: bool = True
    """Whether it is applied with the others; else somebody's `act` does it."""
    when: When | None = None
    act: Act | None = None

    def manifests(self, name: str, namespace: str) -> tuple[Object, Object]:
        """Its Mode, in the operator's namespace, and its Evaluation."""
        mode: Object = {
            "apiVersion": "interplay.dev/v1alpha1",
            "kind": "Mode",
            "metadata": {
                "name": f"{namespace}-{name}", "namespace": SYSTEM, "labels": {"test": namespace}
            },
            "spec": {"allowedNamespaces": [namespace], **self.mode, "resources": self._resources()},
        }  # fmt: skip
        # None may copy from another, and all pods stay to be looked at.
        spec: Object = {"reuse": "Never", "keepPods": "all", **self.spec}
        chosen = {"names": ["top-k"]}
        return mode, evaluation(name, [MODEL], chosen, mode=f"{namespace}-{name}", **spec)

    def _resources(self) -> Object:
        """All fit on two cores at once, and none is starved by whatever else the machine does."""
        wanted = self.mode.get("resources", {})
        return {**wanted, "requests": {"cpu": "50m", **wanted.get("requests", {})}}


class Scene:
    """A namespace, its pods as they were seen last, and all that its ModelRuns ever said."""

    def __init__(self, kubectl: Kubectl, chart: Kubectl, history: Path) -> None:
        self.kubectl, self.chart, self.pods = kubectl, chart, list[Object]()
        self._history = history

    def start(self, children: Mapping[str, Child]) -> None:
        """Apply these, Modes first."""
        made = [c.manifests(n, self.kubectl.namespace) for n, c in children.items()]
        self.chart.apply(*(mode for mode, _ in made))
        self.kubectl.apply(*(wanted for _, wanted in made))

    def strike(self, children: Mapping[str, Child], timeout: float = 300.0) -> None:
        """Let each `act` once its `when` has come."""
        waiting = {n: c for n, c in children.items() if c.when and c.act}
        deadline = time.monotonic() + timeout
        while waiting:
            assert time.monotonic() < deadline, f"not hit within {timeout:g} s: {list(waiting)}"
            self.pods = self.kubectl.list("pods")
            for name, child in list(waiting.items()):
                assert child.when
                assert child.act
                if found := child.when(self, name):
                    child.act(self, found)
                    del waiting[name]
            time.sleep(0.3)

    def said(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of every condition that was ever true of an Evaluation's ModelRun."""
        return [
            (c["reason"], c["message"])
            for run in _objects(self._history.read_text())
            if run["spec"]["evaluation"] == name
            for c in run.get("status", {}).get("conditions", [])
            if c["status"] == "True"
        ]

    def run(self, name: str) -> Object:
        """The ModelRun of an Evaluation."""
        (run,) = [r for r in self.kubectl.list("modelruns") if r["spec"]["evaluation"] == name]
        return run


def _objects(text: str) -> Iterator[Object]:
    """Concatenated JSON, of which the last object may still be on its way."""
    decoder, at = json.JSONDecoder(), 0
    with suppress(ValueError):
        while True:
            at = text.index("{", at)
            found, at = decoder.raw_decode(text, at)
            yield found


@contextmanager
def watched(kubectl: Kubectl, chart: Kubectl, history: Path) -> Iterator[Scene]:
    """A scene whose ModelRuns are watched into a file."""
    whom = ("--kubeconfig", str(kubectl.kubeconfig), "--namespace", kubectl.namespace)
    with (
        history.open("w") as file,
        subprocess.Popen([kubectl.binary, *whom, "get", *MODEL_RUNS], stdout=file) as watch,
    ):
        try:
            yield Scene(kubectl, chart, history)
        finally:
            watch.terminate()


def _pods(scene: Scene, name: str, phase: str) -> Iterator[Object]:
    for pod in scene.pods:
        annotations = pod["metadata"]["annotations"]
        if annotations["interplay.dev/evaluation"] == name and pod["status"]["phase"] == phase:
            yield pod


def measuring(scene: Scene, name: str) -> Object | None:
    """Its pod, once the runner has said that it read its plan: from then on it hears signals."""
    for pod in _pods(scene, name, "Running"):
        with suppress(RuntimeError):
            if '"plan"' in scene.kubectl.run("logs", pod["metadata"]["name"]):
                return pod
    return None


def ended(scene: Scene, name: str) -> Object | None:
    """Its pod, once it succeeded."""
    return next(_pods(scene, name, "Succeeded"), None)


def told(reason: str) -> When:
    """Once a condition gives this reason."""

    def when(scene: Scene, name: str) -> Object | None:
        return {"told": reason} if reason in dict(scene.said(name)) else None

    return when


def evict(scene: Scene, pod: Object) -> None:
    """Through the Eviction API, as a drain or a descheduler does it."""
    meta = {key: pod["metadata"][key] for key in ("name", "namespace")}
    wish = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    scene.kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps(wish))


def force_delete(scene: Scene, pod: Object) -> None:
    """Out of the API without waiting for the kubelet."""
    name = pod["metadata"]["name"]
    scene.kubectl.run("delete", "pod", name, "--force", "--grace-period=0", "--wait=false")
