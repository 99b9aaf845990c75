"""Has a node pull an image ahead, so that the first pod that needs it starts at once."""

from __future__ import annotations

import hashlib
import json
import time

from .console import step
from .errors import ClusterError
from .kubectl import kubectl
from .layout import Layout

__all__ = ["preload"]

_NAMESPACE = "kube-system"
_PATIENCE = 1200.0
"""Seconds: the runner's 6 GB have to be copied and unpacked, maybe on a slow disk."""


def preload(layout: Layout, reference: str) -> None:
    if _present(layout, reference):
        return
    name = "preload-" + hashlib.sha256(reference.encode()).hexdigest()[:12]
    kubectl(layout, "apply", "--filename", "-", stdin=json.dumps(_pod(name, reference)))
    title = reference.partition("@")[0].rpartition("/")[2]
    try:
        with step(f"pulling {title} into the node"):
            _wait(layout, name)
    finally:
        kubectl(
            layout, "delete", "pod", name, "--namespace", _NAMESPACE, "--wait=true", "--now=true"
        )


def _pod(name: str, reference: str) -> dict[str, object]:
    """A pod that ends at once: its image is all that is wanted."""
    container = {"name": "preload", "image": reference, "command": ["true"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
        },
    }


def _present(layout: Layout, reference: str) -> bool:
    nodes = json.loads(kubectl(layout, "get", "nodes", "--output", "json"))["items"]
    return all(
        any(reference in image.get("names", []) for image in node["status"].get("images", []))
        for node in nodes
    )


def _wait(layout: Layout, name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    seen: list[object] = []
    while time.monotonic() < deadline:
        pod = ["get", "pod", name, "--namespace", _NAMESPACE, "--output", "json"]
        status = json.loads(kubectl(layout, *pod))["status"]
        if status["phase"] in {"Succeeded", "Failed"}:
            return
        seen = [container["state"] for container in status.get("containerStatuses", [])]
        time.sleep(1.0)
    raise ClusterError(f"images: the node has not pulled in {_PATIENCE:.0f} s: {json.dumps(seen)}")
