"""Manifests made from the CRDs' schemas alone: valid ones, ones at their bounds, broken ones.

`pools` says what stands at some places (`spec.models[].name`), so that names mean something.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from interplay_api.constants import API_VERSION
from interplay_api.kinds import KINDS
from tests.apiserver.client import Object
from tests.faults import cel
from tests.faults.structural import Schema, schema_of

__all__ = ["POISON", "Maker"]

Pools = Mapping[str, Callable[[random.Random], Any]]
POISON = (
    "{{ .Values.secret }}",
    "$(HOME) $(INTERPLAY_POD_UID)",
    "$$(HOME) $HOME ${HOME}",
    "`id`; $(id) && rm -rf / | tee > /etc/passwd",
    "a\"b\\c'd",
    'x"} 1\ninterplay_value{evaluation="forged"} 1',
    "two\nlines\r\n\x1b[31mred\x1b[0m",
    "null\x00 bell\x07",
    "\u202egnp.exe \u200b\u2066",
    "\u00e9\u00e8 \u65e5\u672c\u8a9e \U0001f4a5",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "%s %d {0} {name!r}",
    "'; DROP TABLE evaluations; --",
    "true",
    "1e400",
    "",
)
"""What a free text may hold."""
MANY = 64
"""A list at its upper bound has no more items than this, or it is not tried."""


def text_of(pattern: str, dice: random.Random, limit: int, edge: bool) -> str:
    """A text that a pattern matches, of at most `limit` characters; a long one at the edge."""
    tree = _parsed(pattern)
    cap = limit if edge else 6
    while True:
        text = _grow(tree, dice, cap, edge)
        if len(text) <= limit and cel.search(pattern, text):
            return text
        cap = cap * 2 // 3 if cap > 1 else limit


Grown = list[tuple[Any, int, int]]


@functools.cache
def _parsed(pattern: str) -> Grown:
    return _simple(parser.parse(pattern.removeprefix("^").removesuffix("$")))


def _simple(tree: Any) -> Grown:
    """(an alphabet, parts, or ways; least; most) for each part of a pattern."""
    out: Grown = []
    for op, argument in tree:
        if op is sre.LITERAL:
            out.append((chr(argument), 1, 1))
        elif op is sre.IN:
            out.append(("".join(_alphabet(argument)), 1, 1))
        elif op is sre.SUBPATTERN:
            out.append((_simple(argument[-1]), 1, 1))
        elif op is sre.BRANCH:
            out.append((tuple(_simple(way) for way in argument[1]), 1, 1))
        elif op is sre.MAX_REPEAT:
            low, high, inner = argument
            parts = _simple(inner)
            single = len(parts) == 1 and parts[0][1:] == (1, 1)
            out.append((parts[0][0] if single else parts, low, min(high, 10_000)))
        else:
            raise ValueError(f"{op} in a pattern")
    return out


def _alphabet(choices: Any) -> Iterator[str]:
    for op, argument in choices:
        low, high = (argument, argument) if op is sre.LITERAL else argument
        yield from map(chr, range(low, high + 1))


def _grow(parts: Grown, dice: random.Random, cap: int, edge: bool) -> str:
    out: list[str] = []
    for what, low, high in parts:
        most = max(low, min(high, cap))
        count = most if edge else dice.randint(low, most)
        if isinstance(what, str):
            out += dice.choices(what, k=count)
        else:
            for _ in range(count):
                way = dice.choice(what) if isinstance(what, tuple) else what
                out.append(_grow(way, dice, cap, edge))
    return "".join(out)


class Maker:
    """Makes manifests of one seed."""

    def __init__(self, dice: random.Random, pools: Pools | None = None, edge: float = 0.0) -> None:
        self.dice, self.pools, self.edge = dice, pools or {}, edge
        self.count = 0

    def manifest(self, kind: str, **meta: Any) -> Object:
        """A valid one, unless pools or chance broke it: the judges decide."""
        self.count += 1
        name = meta.pop("name", None) or f"g{self.count}"
        schema = schema_of(kind)
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, **meta},
            "spec": self.value(schema, "spec"),
        }

    def any_kind(self) -> str:
        """A kind; Evaluations and Modes are the most worth trying."""
        kinds = [k.name for k in KINDS]
        return self.dice.choice([*kinds, "Evaluation", "Evaluation", "Mode"])

    def value(self, schema: Schema, path: str) -> Any:
        """Something that this schema accepts."""
        if (pool := self.pools.get(path)) is not None:
            return pool(self.dice)
        edge = self.dice.random() < self.edge
        match schema.get("type"):
            case "object" if "properties" in schema:
                return self._object(schema, path)
            case "object":
                return self._map(schema, path, edge)
            case "array":
                return self._list(schema, path, edge)
            case "string":
                return self._text(schema, edge)
            case "integer":
                return self._whole(schema, edge)
            case "number":
                return self._number(schema, edge)
            case "boolean":
                return self.dice.random() < 0.5
        return self.free(0)

    def _object(self, schema: Schema, path: str) -> Object:
        required = set(schema.get("required", ()))
        rules = schema.get("x-kubernetes-validations", ())
        while True:
            share = self.dice.choice((0.0, 0.2, 0.5, 0.9))
            chosen = {
                name: self.value(inner, f"{path}.{name}")
                for name, inner in schema["properties"].items()
                if name in required or self.dice.random() < share
            }
            if all(cel.holds(r["rule"], chosen) for r in rules):
                return chosen

    def _map(self, schema: Schema, path: str, edge: bool) -> Object:
        free = "type" not in schema["additionalProperties"]
        names = "^[A-Za-z_][A-Za-z0-9_]{0,62}$" if free else _key_pattern(schema)
        limit = 63 if free else _key_limit(schema)
        low, most = schema.get("minProperties", 0), schema["maxProperties"]
        count = most if edge and most <= MANY else self.dice.randint(low, max(low, min(most, 3)))
        out: Object = {}
        while len(out) < count:
            key = text_of(names, self.dice, limit, edge) if names else self._free_text(limit)
            value = (
                self.free(0) if free else self.value(schema["additionalProperties"], f"{path}.*")
            )
            out[key] = value
        return out

    def free(self, depth: int) -> Any:
        """A value of parameters: any JSON, not deep and not large."""
        simple = [0, 1, -1, 2.5, 1e300, True, False, None, *POISON]
        if depth < 3 and self.dice.random() < 0.3:
            inner = [self.free(depth + 1) for _ in range(self.dice.randint(0, 2))]
            return inner if self.dice.random() < 0.5 else {f"k{i}": v for i, v in enumerate(inner)}
        return self.dice.choice(simple)

    def _list(self, schema: Schema, path: str, edge: bool) -> list[Any]:
        low, most = schema.get("minItems", 0), schema["maxItems"]
        count = self.dice.randint(low, max(low, min(most, 3)))
        if edge:
            count = self.dice.choice([low, most if most <= MANY else count])
        keys = schema.get("x-kubernetes-list-map-keys", ())
        found: dict[str, Any] = {}
        before, self.edge = self.edge, self.edge / 4 if edge else self.edge
        while len(found) < count:
            item = self.value(schema["items"], f"{path}[]")
            found[json.dumps([item.get(k) for k in keys]) if keys else str(len(found))] = item
        self.edge = before
        return list(found.values())

    def _text(self, schema: Schema, edge: bool) -> str:
        if "enum" in schema:
            return str(self.dice.choice(schema["enum"]))
        limit: int = schema["maxLength"]
        if "pattern" in schema:
            if schema["pattern"] == "^https://":
                return f"https://example.org/{self._free_text(limit - 20)}"
            return text_of(schema["pattern"], self.dice, limit, edge)
        if edge:
            return self.dice.choice(("x", "\u00e9", "\U0001f4a5")) * limit
        return self._free_text(limit).ljust(schema.get("minLength", 0), "x")

    def _free_text(self, limit: int) -> str:
        return self.dice.choice(POISON)[:limit]

    def _whole(self, schema: Schema, edge: bool) -> int:
        if "enum" in schema:
            return int(self.dice.choice(schema["enum"]))
        low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31)
        if edge:
            return int(self.dice.choice((low, high)))
        return self.dice.randint(low, min(high, low + self.dice.choice((3, 1000, 2**31))))

    def _number(self, schema: Schema, edge: bool) -> float:
        low, high = schema.get("minimum", -1e300), schema.get("maximum", 1e300)
        if edge:
            return float(high)
        return float(self.dice.choice([high, high / 2, min(high, max(low + 1e-9, 1e-300))]))


def _key_pattern(schema: Schema) -> str:
    rules = [r["rule"] for r in schema.get("x-kubernetes-validations", ())]
    found = [m[1] for r in rules if (m := re.search(r"matches\('(.*)'\)", r))]
    return found[0] if found else ""


def _key_limit(schema: Schema) -> int:
    rules = [r["rule"] for r in schema.get("x-kubernetes-validations", ())]
    return min(int(m[1]) for r in rules if (m := re.search(r"size\(\) <= (\d+)", r)))
