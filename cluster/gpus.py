"""GPUs that are not there: a capacity on the node, so that pods asking for one get scheduled."""

from __future__ import annotations

import json

from .kubectl import kubectl
from .layout import Layout

__all__ = ["announce", "patch"]

RESOURCE = "nvidia.com/gpu"


def patch(count: int) -> str:
    """A merge patch of a node's status; none at all takes the resource away."""
    amount = str(count) if count else None
    return json.dumps(
        {"status": {"capacity": {RESOURCE: amount}, "allocatable": {RESOURCE: amount}}}
    )


def announce(layout: Layout, count: int) -> None:
    """On every node. It lasts until the kubelet starts anew, which resets what it cannot find."""
    for node in kubectl(layout, "get", "nodes", "--output", "name").split():
        kubectl(
            layout, "patch", node, "--subresource=status", "--type=merge", "--patch", patch(count)
        )
