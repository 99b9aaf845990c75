"""Objects as they were sent to the API server, from what it has stored of them."""

from __future__ import annotations

import copy
from typing import Any

from .http import Object

__all__ = ["as_sent", "renamed"]

KEPT = ("name", "namespace", "labels", "annotations", "ownerReferences")
SET_BY_SERVER = ("controller-uid", "job-name")
"""A Job's labels, with and without the prefix of their group."""


def as_sent(item: Object) -> Object:
    """Without status and without what the server adds."""
    body = copy.deepcopy(item)
    body.pop("status", None)
    body["metadata"] = {k: v for k, v in body["metadata"].items() if k in KEPT}
    if "template" in body.get("spec", {}):
        body["spec"].pop("selector", None)
        for meta in (body["metadata"], body["spec"]["template"]["metadata"]):
            labels = meta.get("labels", {})
            meta["labels"] = {
                k: v for k, v in labels.items() if k.rpartition("/")[2] not in SET_BY_SERVER
            }
    return body


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Names and uids replaced wherever they stand as a whole, or begin a child's name."""
    if isinstance(value, dict):
        return {k: renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, names) for v in value]
    if isinstance(value, str):
        if value in names:
            return names[value]
        head, dash, rest = value.partition("-")
        if dash and head in names:
            return f"{names[head]}-{rest}"
    return value
