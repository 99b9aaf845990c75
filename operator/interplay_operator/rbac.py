"""All that the operator may do; the chart's roles must say the same, and a test compares them."""

from __future__ import annotations

from typing import TypedDict

from interplay_api.constants import GROUP

__all__ = ["LIBRARY_RULES", "RULES", "Rule"]


class Rule(TypedDict):
    """One PolicyRule."""

    apiGroups: list[str]
    resources: list[str]
    verbs: list[str]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Rule:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


LIBRARY_RULES: list[Rule] = [
    _rule(
        GROUP,
        ["models", "datasets", "measurements", "measurementgroups", "modes"],
        ["get", "list", "watch"],
    )
]
"""In the operator's own namespace, even where it serves others only."""

RULES: list[Rule] = [
    *LIBRARY_RULES,
    # delete: the TTL.
    _rule(GROUP, ["evaluations"], ["get", "list", "watch", "delete"]),
    _rule(GROUP, ["modelruns"], ["get", "list", "watch", "create", "delete"]),
    _rule(GROUP, ["evaluations/status", "modelruns/status"], ["update"]),
    # Owner references with blockOwnerDeletion, where the server enforces who may set them.
    _rule(GROUP, ["evaluations/finalizers", "modelruns/finalizers"], ["update"]),
    # patch: suspend alone.
    _rule("batch", ["jobs"], ["get", "list", "watch", "create", "patch", "delete"]),
    _rule("", ["pods"], ["get", "list", "watch"]),
    _rule("", ["pods/log"], ["get"]),
    # The cluster's own words about what is stuck; create: ours about what has turned.
    _rule("", ["events"], ["get", "list", "create"]),
    # Whether a claim that a user names is open to Evaluations.
    _rule("", ["persistentvolumeclaims"], ["get"]),
]
"""In every namespace that is served."""
