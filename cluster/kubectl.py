"""Talks to the cluster that `up` made, through the kubectl and the kubeconfig of this checkout."""

from __future__ import annotations

from .layout import Layout
from .shell import output

__all__ = ["kubectl"]


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    command = [layout.tool("kubectl"), f"--kubeconfig={layout.kubeconfig}", *arguments]
    # Nothing but this cluster is spoken to, so no proxy may come between.
    return output(command, stdin=stdin, env={"NO_PROXY": "*"})
