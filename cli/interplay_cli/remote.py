"""Talk to a cluster by kubectl: whatever way a user logs in, kubectl already knows it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from pydantic import ValidationError

from interplay_api.evaluation import EvaluationStatus

from .manifests import ManifestError
from .outcome import Outcome

__all__ = ["read_results"]


def _kubectl(*args: str, namespace: str | None, kubeconfig: str | None) -> Any:
    if shutil.which("kubectl") is None:
        raise ManifestError("kubectl is not on the PATH")
    command = ["kubectl", *args, "-o", "json"]
    command += ["--namespace", namespace] if namespace else []
    command += ["--kubeconfig", kubeconfig] if kubeconfig else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ManifestError(" ".join(done.stderr.split())[:500] or "kubectl failed")
    return json.loads(done.stdout)


def read_results(name: str, namespace: str | None, kubeconfig: str | None) -> Outcome:
    """The results in an Evaluation's status, and why models failed, from its ModelRuns."""
    item = _kubectl("get", "evaluation", name, namespace=namespace, kubeconfig=kubeconfig)
    try:
        status = EvaluationStatus.model_validate(item.get("status") or {})
    except ValidationError as error:
        raise ManifestError(f"evaluation {name}: status: {error.errors()[0]['msg']}") from None
    runs = _kubectl(
        "get", "modelruns", f"--field-selector=spec.evaluation={name}",
        namespace=namespace, kubeconfig=kubeconfig,
    )  # fmt: skip
    outcome = Outcome(results=list(status.results))
    for run in runs["items"]:
        for condition in run.get("status", {}).get("conditions", []):
            if condition["type"] == "Failed" and condition["status"] == "True":
                reason = f"{condition['reason']}: {condition.get('message', '')}"
                outcome.failed[run["spec"]["model"]] = reason
    return outcome
