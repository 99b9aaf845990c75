"""kubectl as the tests use it: whole objects in and out, and waiting that says what it saw last."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Kubectl", "condition", "evaluation"]

Object = dict[str, Any]


def evaluation(name: str, models: list[Object], measurements: Object, **spec: Any) -> Object:
    """An Evaluation manifest."""
    return {
        "apiVersion": "interplay.dev/v1alpha1",
        "kind": "Evaluation",
        "metadata": {"name": name},
        "spec": {"models": models, "measurements": measurements, **spec},
    }


def condition(item: Object, type_: str) -> Object:
    """One condition of an object; empty when it is not there."""
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_), {})


class Kubectl:
    """One namespace of one cluster."""

    def __init__(self, binary: Path, kubeconfig: Path, namespace: str) -> None:
        self.binary, self.kubeconfig, self.namespace = binary, kubeconfig, namespace

    def run(self, *args: str, stdin: str | None = None) -> str:
        """Standard output; RuntimeError with standard error when kubectl refuses."""
        whom = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace]
        done = subprocess.run(
            [self.binary, *whom, *args],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def apply(self, *manifests: Object) -> None:
        """Create or change objects, unknown fields refused."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.run("apply", "--validate=strict", "-f", "-", stdin=text)

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        found: Object = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        found: list[Object] = json.loads(self.run("get", kind, "-o", "json"))["items"]
        return found

    def until(self, what: str, look: Callable[[], Object | None], timeout: float = 180.0) -> Object:
        """The first truthy answer of `look`; AssertionError with all that is there otherwise."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.5)
        seen = self.run("get", "evaluations,modelruns,jobs,pods", "-o", "yaml")
        raise AssertionError(f"not within {timeout:g} s: {what}\n{seen}")

    def until_condition(
        self, name: str, type_: str, status: str = "True", timeout: float = 180.0
    ) -> Object:
        """The Evaluation once it has the condition for its present generation."""

        def look() -> Object | None:
            item = self.get("evaluation", name)
            found = condition(item, type_)
            fresh = found.get("observedGeneration") == item["metadata"]["generation"]
            return item if fresh and found["status"] == status else None

        return self.until(f"{type_}={status} of {name}", look, timeout)
