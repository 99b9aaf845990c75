"""The second judge of a manifest: the committed CRDs alone, read as the API server reads them.

It knows nothing of the types: structure by jsonschema, rules by `cel`, and what Kubernetes adds to
both (nulls are dropped, unknown fields refused, lists keyed by a field).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import jsonschema

from tests.apiserver.client import Object
from tests.apiserver.server import crds
from tests.faults import cel

__all__ = ["Schema", "problems", "schema_of"]

Schema = dict[str, Any]
INT64 = 2**63
EXACT = 2**53
"""Below it a float that is whole counts as an integer."""


@functools.cache
def _roots() -> dict[str, Schema]:
    return {
        c["spec"]["names"]["kind"]: c["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for c in crds()
    }


def schema_of(kind: str) -> Schema:
    """The schema of a kind's spec."""
    spec: Schema = _roots()[kind]["properties"]["spec"]
    return spec


@functools.cache
def _validator(kind: str, part: str) -> jsonschema.Draft4Validator:
    inner = _strict(_roots()[kind]["properties"][part])
    whole = {"type": "object", "required": [part], "properties": {part: inner}}
    return jsonschema.Draft4Validator(whole)


def _strict(schema: Schema) -> Schema:
    """As plain JSON Schema: unknown fields refused, patterns as RE2 reads them."""
    out = {k: v for k, v in schema.items() if not k.startswith("x-") and k != "default"}
    if out.pop("nullable", False) and "type" in out:
        out["type"] = [out["type"], "null"]
    if "pattern" in out and out["pattern"].endswith("$"):
        out["pattern"] = out["pattern"][:-1] + r"\Z"
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _strict(out[key])
    if "properties" in out:
        out["properties"] = {k: _strict(v) for k, v in out["properties"].items()}
        out["additionalProperties"] = False
    return out


def problems(item: Object, part: str = "spec") -> list[tuple[str, str]]:
    """(field, what is wrong) of everything the CRD has against a manifest's spec or status."""
    root = _roots()[item["kind"]]
    seen = _as_decoded(item, {"type": "object", "properties": root["properties"]})
    judged = {part: seen[part]} if part in seen else {}
    found = [
        (_path(e.absolute_path) or part, str(e.message)[:200])
        for e in _validator(item["kind"], part).iter_errors(judged)
    ]
    if not found:
        # As on the server, rules are judged only where the structure is right.
        found = [*_keyed(seen[part], root["properties"][part], part)]
        found = found or [*_rules(seen, root, "")]
    return found


def _path(steps: Any) -> str:
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")


def _as_decoded(value: Any, schema: Schema) -> Any:
    """What the server has in its hands: nulls of fields gone, numbers as Go reads them."""
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        fields = [(k, v, known.get(k, rest)) for k, v in value.items()]
        # Strict decoding looks for unknown fields before nulls are dropped.
        closed = known and not rest
        return {
            k: _as_decoded(v, inner)
            for k, v, inner in fields
            if v is not None or inner.get("nullable") or (closed and k not in known)
        }
    if isinstance(value, list):
        return [_as_decoded(v, schema.get("items", {})) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, int) and not -INT64 <= value < INT64:
        return float(value) if abs(value) < 10**308 else math.inf
    return value


def _inner(value: Any, schema: Schema, path: str) -> Iterator[tuple[Any, Schema, str]]:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key, item in value.items():
            if inner := known.get(key) or schema.get("additionalProperties"):
                yield item, inner, f"{path}.{key}".lstrip(".")
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield item, schema["items"], f"{path}[{index}]"


def _keyed(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    names = schema.get("x-kubernetes-list-map-keys")
    if names:
        keys = [tuple(i.get(n) for n in names) for i in value]
        if len(set(keys)) != len(keys):
            yield path, "Duplicate value"
    for inner in _inner(value, schema, path):
        yield from _keyed(*inner)


def _rules(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not cel.holds(rule["rule"], value):
            yield path or "metadata.name", rule["message"]
    for inner in _inner(value, schema, path):
        yield from _rules(*inner)
