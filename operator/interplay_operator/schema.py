"""The CRDs that the server serves must know every status field that this operator writes.

An API server drops unknown fields without a word, so an operator newer than its CRDs would write
its status for ever. CRDs are upgraded first; until then this operator does not start to work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interplay_api.base import ApiModel
from interplay_api.constants import GROUP
from interplay_api.evaluation import EvaluationStatus
from interplay_api.modelrun import CellStatus, ModelRunStatus, StatusValue

__all__ = ["missing_fields"]

Schema = Mapping[str, Any]


def missing_fields(document: Schema) -> list[str]:
    """Status fields of ours that the served schema lacks, as paths."""
    return [
        *_lacks(document, "Evaluation", EvaluationStatus, ("status",)),
        *_lacks(document, "ModelRun", ModelRunStatus, ("status",)),
        *_lacks(document, "ModelRun", CellStatus, ("status", "cells")),
        *_lacks(document, "ModelRun", StatusValue, ("status", "cells", "values")),
    ]


def _lacks(
    document: Schema, kind: str, type_: type[ApiModel], path: tuple[str, ...]
) -> Iterator[str]:
    where = _kind(document, kind)
    for name in path:
        where = where.get("properties", {}).get(name, {})
        where = where.get("items", where)
    known = where.get("properties", {})
    for name, field in type_.model_fields.items():
        if (field.alias or name) not in known:
            yield ".".join([kind, *path, field.alias or name])


def _kind(document: Schema, kind: str) -> Schema:
    for schema in document.get("components", {}).get("schemas", {}).values():
        for served in schema.get("x-kubernetes-group-version-kind") or ():
            if served.get("group") == GROUP and served.get("kind") == kind:
                found: Schema = schema
                return found
    return {}
