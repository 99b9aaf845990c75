"""A pydantic type as the structural schema that Kubernetes wants; what does not fit raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .base import MAX_PARAMETER_DEPTH, ApiModel

__all__ = ["SchemaError", "structural"]

Schema = dict[str, Any]

FREE = "x-kubernetes-preserve-unknown-fields"
KEPT = {
    "object": {"minProperties", "maxProperties"},
    "array": {"minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "string": {"minLength", "maxLength", "pattern", "enum"},
    "integer": {"minimum", "maximum", "enum"},
    "number": {"minimum", "maximum"},
    "boolean": set(),
}
"""Keywords that are the same on both sides, by type. Everything else is converted or refused."""
DROPPED = {"title", "default", "examples", "deprecated", "additionalProperties"}
"""Noise, or (unknown fields) what the API server judges without being told."""
BOUND = {"array": "maxItems", "string": "maxLength", "integer": "maximum"}


class SchemaError(ValueError):
    """A type that no CRD can express; the text begins with the path of the field."""


def structural(model: type[ApiModel], path: str, *, defaults: bool = False) -> Schema:
    """The schema of one type; `defaults` keeps those of its own fields, not of nested ones."""
    raw = model.model_json_schema(by_alias=True)
    converted = _Converter(raw.pop("$defs", {})).convert(raw, path)
    if defaults:
        for name, field in raw["properties"].items():
            if field.get("default") is not None:
                converted["properties"][name]["default"] = field["default"]
    return converted


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = definitions
        self.open: list[str] = []
        """Names of the types that are being written, to find one inside itself."""

    def convert(self, node: Schema, path: str) -> Schema:
        node, name = self._inline(node, path)
        if name:
            self.open.append(name)
        out = self._typed(node, path)
        if name:
            self.open.pop()
        return out

    def _inline(self, node: Schema, path: str) -> tuple[Schema, str]:
        """Follow $ref and drop null from unions; what stands beside them wins."""
        name = ""
        while "$ref" in node or "anyOf" in node:
            node = dict(node)
            if "$ref" in node:
                name = node.pop("$ref").rpartition("/")[2]
                if name in self.open:
                    raise SchemaError(f"{path}: {name} contains itself")
                node = {**self.definitions[name], **node}
            else:
                choices = [c for c in node.pop("anyOf") if c != {"type": "null"}]
                if len(choices) != 1:
                    raise SchemaError(f"{path}: a union; use one optional field for each variant")
                node = {**choices[0], **node}
        return node, name

    def _typed(self, node: Schema, path: str) -> Schema:
        node = {k: v for k, v in node.items() if k not in DROPPED or k == "additionalProperties"}
        if "const" in node:
            node["enum"] = [node.pop("const")]
        kind = node.pop("type", None)
        if kind not in KEPT:
            raise SchemaError(f"{path}: type {kind} has no place in a structural schema")
        out: Schema = {"type": kind}
        if text := node.pop("description", ""):
            out["description"] = "\n\n".join(" ".join(p.split()) for p in text.split("\n\n"))
        rules = node.pop("x-kubernetes-validations", [])
        if kind == "object":
            rules = rules + self._object(node, out, path)
        elif kind == "array" and "items" in node:
            out["items"] = self.convert(node.pop("items"), f"{path}[]")
        elif kind == "number":
            _exclusive_bounds(node, out)
        out |= {k: node.pop(k) for k in sorted(KEPT[kind] & set(node))}
        if rules:
            out["x-kubernetes-validations"] = rules
        if rest := set(node) - DROPPED:
            raise SchemaError(f"{path}: {min(rest)} has no place in a structural schema")
        _check(out, path)
        return out

    def _object(self, node: Schema, out: Schema, path: str) -> list[dict[str, str]]:
        """Fields, or the values of a map; returns the rules that a map's keys need."""
        if "properties" in node:
            fields = node.pop("properties")
            out["properties"] = {n: self._field(f, f"{path}.{n}") for n, f in fields.items()}
            if required := node.pop("required", []):
                out["required"] = required
            return []
        names = node.pop("propertyNames", {})
        if patterns := node.pop("patternProperties", {}):
            ((names["pattern"], values),) = patterns.items()
        else:
            values = node.pop("additionalProperties", {})
        if "maxProperties" not in node:
            raise SchemaError(f"{path}: a map without maxProperties")
        if node.pop(FREE, False):
            out["additionalProperties"] = _free(MAX_PARAMETER_DEPTH)
            return []
        out["additionalProperties"] = self.convert(values, f"{path}.*")
        return _key_rules(names, path)

    def _field(self, node: Schema, path: str) -> Schema:
        out = self.convert(node, path)
        if "description" not in node:
            raise SchemaError(f"{path}: no description")
        return out


def _free(depth: int) -> Schema:
    """Any JSON value in which so many lists and maps may hold each other."""
    if depth == 0:
        return {FREE: True, "nullable": True, "maxItems": 0, "maxProperties": 0}
    inner = _free(depth - 1)
    return {FREE: True, "nullable": True, "items": inner, "additionalProperties": inner}


def _exclusive_bounds(node: Schema, out: Schema) -> None:
    """JSON Schema has a number there, OpenAPI 3.0 a flag beside the bound."""
    for ours, theirs in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if ours in node:
            out[theirs], out[ours] = node.pop(ours), True


def _key_rules(names: Schema, path: str) -> list[dict[str, str]]:
    """A structural schema cannot speak of keys, so CEL does."""
    rules = []
    if "maxLength" not in names:
        raise SchemaError(f"{path}: keys without maxLength")
    limit = names["maxLength"]
    rules.append(
        {
            "rule": f"self.all(k, k.size() <= {limit})",
            "message": f"a key has at most {limit} characters",
        }
    )
    if pattern := names.get("pattern"):
        _check_pattern(pattern, path)
        rules.append(
            {"rule": f"self.all(k, k.matches('{pattern}'))", "message": f"a key matches {pattern}"}
        )
    return rules


def _check(out: Schema, path: str) -> None:
    kind = out["type"]
    if kind in BOUND and BOUND[kind] not in out and "enum" not in out:
        raise SchemaError(f"{path}: {kind} without {BOUND[kind]}")
    if "pattern" in out:
        _check_pattern(out["pattern"], path)


def _check_pattern(pattern: str, path: str) -> None:
    """pydantic's engine reads classes such as \\w as Unicode, Kubernetes' as ASCII."""
    if found := re.search(r"\\[wWdDsSbB]", pattern):
        raise SchemaError(f"{path}: {found.group()} means two things in pattern {pattern}")
    if "'" in pattern or "{{" in pattern:
        raise SchemaError(f"{path}: a quote or a template mark in pattern {pattern}")
