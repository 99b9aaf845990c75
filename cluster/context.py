"""The user's own cluster: only a kubeconfig of that one context is made, nothing is started."""

from __future__ import annotations

import os

from .binaries import provide
from .errors import ClusterError
from .kubectl import kubectl
from .layout import Layout
from .shell import output

__all__ = ["BINARIES", "REGISTRY_VARIABLE", "down", "registry", "status", "up"]

BINARIES = ("kubectl", "helm")
REGISTRY_VARIABLE = "INTERPLAY_REGISTRY"


def up(layout: Layout) -> None:
    name = os.environ.get("INTERPLAY_CONTEXT", "")
    provide(layout, BINARIES)
    view = ["config", "view", "--context", name, "--minify", "--flatten", "--raw"]
    text = output([layout.tool("kubectl"), *view])
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_text(text)
    kubectl(layout, "get", "--raw", "/version")


def down(layout: Layout) -> None:
    layout.kubeconfig.unlink(missing_ok=True)


def status(layout: Layout) -> list[tuple[str, bool]]:
    try:
        kubectl(layout, "get", "--raw", "/readyz")
    except ClusterError:
        return [("kube-apiserver", False)]
    return [("kube-apiserver", True)]


def registry(layout: Layout) -> str:
    """Where the images go: the cluster must be able to pull from there."""
    del layout
    name = os.environ.get(REGISTRY_VARIABLE, "")
    if not name:
        raise ClusterError(
            f"images: {REGISTRY_VARIABLE} must name a registry that this machine can push to"
            " and the cluster can pull from, as in registry.example.org/team"
        )
    return name.rstrip("/")
