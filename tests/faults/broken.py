"""One thing wrong with a manifest that was right: a bound, a type, a name, a union, a field."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.apiserver.client import Object
from tests.faults.specs import POISON, Maker
from tests.faults.structural import Schema, schema_of

__all__ = ["broken"]

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 4.0, 2**53, 2**63, 10**30, -(10**30), "", "7", "a b", "é",
    "\n", "x" * 5000, [], [None], {}, {"a": None}, {"": ""},
)  # fmt: skip
NAMES = ("a" * 30, "a" * 31, "A", "1a", "a.b", "a-", "é", "a b", "a\n", "")


@dataclass(frozen=True, slots=True)
class _Place:
    holder: Any
    key: Any
    schema: Schema
    path: str

    @property
    def value(self) -> Any:
        return self.holder[self.key]


def _places(holder: Any, key: Any, schema: Schema, path: str) -> Iterator[_Place]:
    yield _Place(holder, key, schema, path)
    value = holder[key]
    if isinstance(value, dict):
        for name in value:
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if inner:
                yield from _places(value, name, inner, f"{path}.{name}")
    elif isinstance(value, list) and "items" in schema:
        for index in range(len(value)):
            yield from _places(value, index, schema["items"], f"{path}[{index}]")


def broken(item: Object, dice: random.Random) -> tuple[Object, str]:
    """A copy with one change, and what was changed. Most, not all of these are invalid."""
    item = copy.deepcopy(item)
    if item["kind"] == "Evaluation" and dice.random() < 0.02:
        name = dice.choice(NAMES)
        item["metadata"]["name"] = name
        return item, f"metadata.name={name!r}"
    place = dice.choice(list(_places(item, "spec", schema_of(item["kind"]), "spec")))
    ways = _WAYS.get(place.schema.get("type", ""), ())
    way = dice.choice([*ways, *ways, _odd]) if ways else _odd
    said = way(place, dice)
    return item, f"{place.path}: {said}"


def _odd(place: _Place, dice: random.Random) -> str:
    value = copy.deepcopy(dice.choice(ODD))
    place.holder[place.key] = value
    return f"{value!r}"[:60]


def _unknown_field(place: _Place, dice: random.Random) -> str:
    name = dice.choice(["hostPath", "securityContext", "batch_size", "__proto__", "x.y", " "])
    place.value[name] = dice.choice(ODD)
    return f"unknown field {name}"


def _lost_field(place: _Place, dice: random.Random) -> str:
    if not place.value:
        return _odd(place, dice)
    name = dice.choice(sorted(place.value))
    del place.value[name]
    return f"without {name}"


def _more_fields(place: _Place, dice: random.Random) -> str:
    maker = Maker(dice)
    fields = place.schema.get("properties", {})
    added = [n for n in fields if n not in place.value]
    for name in dice.sample(added, min(len(added), 2)):
        place.value[name] = maker.value(fields[name], f"{place.path}.{name}")
    return f"with {added}"[:80]


def _bad_key(place: _Place, dice: random.Random) -> str:
    if "additionalProperties" not in place.schema:
        return dice.choice((_unknown_field, _lost_field, _more_fields))(place, dice)
    key = dice.choice(["", "a b", "A-B", "é", "a\n", "x" * 318, "x" * 254, "/", "a/b/c", *POISON])
    inner = place.schema["additionalProperties"]
    place.value[key] = Maker(dice).value(inner, f"{place.path}.*")
    return f"key {key[:40]!r}"


def _many_keys(place: _Place, dice: random.Random) -> str:
    limit = place.schema.get("maxProperties")
    if limit is None:
        return _bad_key(place, dice)
    inner = Maker(dice).value(place.schema["additionalProperties"], f"{place.path}.*")
    count = limit + dice.choice((0, 1))
    place.holder[place.key] = {f"k{i}": inner for i in range(count)}
    return f"{count} keys"


def _deep(place: _Place, dice: random.Random) -> str:
    value: Any = dice.choice([1, [], {}])
    depth = dice.randint(2, 6)
    for _ in range(depth):
        value = [value] if dice.random() < 0.5 else {"a": value}
    if "properties" in place.schema:
        return _more_fields(place, dice)
    place.value["deep"] = value
    return f"nested {depth}"


def _bounds(place: _Place, dice: random.Random) -> str:
    low, high = place.schema.get("minimum", 0), place.schema.get("maximum", 2**63)
    value = dice.choice((low - 1, high + 1, float(low), low + 0.5, str(low), 2**62, -(2**63)))
    place.holder[place.key] = value
    return f"{value!r}"


def _text(place: _Place, dice: random.Random) -> str:
    limit, value = place.schema.get("maxLength", 10), str(place.value)
    new = dice.choice(
        [
            value + "\n", value + " ", "\n" + value, value.upper(), value + "é", value + "\x00", "",
            (value or "x") * (limit + 1), (value + "x" * limit)[: limit + 1],
            (value + "x" * limit)[:limit], "é" * limit, dice.choice(POISON),
        ]
    )  # fmt: skip
    place.holder[place.key] = new
    return f"{new!r}"[:60]


def _length(place: _Place, dice: random.Random) -> str:
    value, low, high = place.value, place.schema.get("minItems", 0), place.schema["maxItems"]
    if value and dice.random() < 0.5:
        # Twice the same: one of a keyed list, or a long list.
        value += [copy.deepcopy(value[0])] * (1 if dice.random() < 0.7 else high)
    elif low:
        del value[low - 1 :]
    else:
        value.append(copy.deepcopy(dice.choice(ODD)))
    return f"{len(value)} items"


_WAYS: dict[str, tuple[Callable[[_Place, random.Random], str], ...]] = {
    "object": (_unknown_field, _lost_field, _more_fields, _bad_key, _many_keys, _deep),
    "array": (_length,),
    "string": (_text,),
    "integer": (_bounds,),
    "number": (_bounds,),
}
