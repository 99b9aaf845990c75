"""Rules between fields, said once beside the type, judged in Python and, as CEL, by Kubernetes.

A type lists its rules (`ApiModel.rules`); the base checks them on every manifest that is read, and
`schema` writes their CEL into the CRD, so the two cannot drift.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "AtMostOne",
    "Distinct",
    "ExactlyOne",
    "Keyed",
    "NameRule",
    "Needs",
    "NotAllEmpty",
    "Rule",
]


class Rule(ABC):
    """What must hold between the fields of one object; fields are given by their Python names."""

    @property
    @abstractmethod
    def message(self) -> str:
        """What a person reads who broke it."""

    @property
    @abstractmethod
    def cel(self) -> str:
        """The rule as a CEL expression over `self`."""

    @abstractmethod
    def holds(self, item: Any) -> bool:
        """The rule on a parsed object."""

    def validation(self) -> dict[str, str]:
        """One entry of x-kubernetes-validations."""
        return {"rule": self.cel, "message": self.message}


def _wire(fields: Sequence[str]) -> str:
    return ", ".join(to_camel(f) for f in fields)


class ExactlyOne(Rule):
    """A union: one of these optional fields is set, and no other."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    @property
    def message(self) -> str:
        return f"exactly one of {_wire(self.fields)} is required"

    @property
    def cel(self) -> str:
        terms = ", ".join(f"has(self.{to_camel(f)})" for f in self.fields)
        return f"[{terms}].exists_one(x, x)"

    def holds(self, item: Any) -> bool:
        return sum(getattr(item, f) is not None for f in self.fields) == 1


class AtMostOne(Rule):
    """Fields that exclude each other."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    @property
    def message(self) -> str:
        return f"at most one of {_wire(self.fields)} may be set"

    @property
    def cel(self) -> str:
        terms = ", ".join(f"has(self.{to_camel(f)})" for f in self.fields)
        return f"[{terms}].filter(x, x).size() <= 1"

    def holds(self, item: Any) -> bool:
        return sum(getattr(item, f) is not None for f in self.fields) <= 1


class NotAllEmpty(Rule):
    """At least one of these lists holds something."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    @property
    def message(self) -> str:
        return f"at least one of {_wire(self.fields)} must not be empty"

    @property
    def cel(self) -> str:
        names = [to_camel(f) for f in self.fields]
        return " || ".join(f"(has(self.{n}) && self.{n}.size() > 0)" for n in names)

    def holds(self, item: Any) -> bool:
        return any(getattr(item, f) for f in self.fields)


@dataclass(frozen=True)
class Needs(Rule):
    """A field that says something only beside another one."""

    field: str
    other: str

    @property
    def message(self) -> str:
        return f"{to_camel(self.field)} needs {to_camel(self.other)}"

    @property
    def cel(self) -> str:
        return f"!has(self.{to_camel(self.field)}) || has(self.{to_camel(self.other)})"

    def holds(self, item: Any) -> bool:
        return getattr(item, self.field) is None or getattr(item, self.other) is not None


@dataclass(frozen=True)
class Distinct(Rule):
    """No two items of a list agree in this field."""

    items: str
    field: str

    @property
    def message(self) -> str:
        return f"two {to_camel(self.items)} have the same {to_camel(self.field)}"

    @property
    def cel(self) -> str:
        items, field = f"self.{to_camel(self.items)}", to_camel(self.field)
        return f"!has({items}) || {items}.all(a, {items}.exists_one(b, b.{field} == a.{field}))"

    def holds(self, item: Any) -> bool:
        values = [getattr(i, self.field) for i in getattr(item, self.items)]
        return len(values) == len(set(values))


@dataclass(frozen=True)
class NameRule(Rule):
    """At the root, on metadata.name: a DNS label that leaves room for what is added to it."""

    max_length: int

    PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"

    @property
    def message(self) -> str:
        return (
            f"metadata.name must have at most {self.max_length} characters, begin with a letter "
            "and hold only a-z, 0-9 and -"
        )

    @property
    def cel(self) -> str:
        name = "self.metadata.name"
        return f"{name}.size() <= {self.max_length} && {name}.matches('{self.PATTERN}')"

    def holds(self, item: Any) -> bool:
        # Not search: here $ would also stand before a last newline.
        return len(item) <= self.max_length and re.fullmatch(self.PATTERN, item) is not None


@dataclass(frozen=True)
class Keyed:
    """Annotation of a list whose items are told apart by one required field."""

    field: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kind = {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [to_camel(self.field)],
        }
        return {**handler(core), **kind}

    def _check(self, items: list[Any]) -> list[Any]:
        seen: set[Any] = set()
        for item in items:
            key = getattr(item, self.field)
            if key in seen:
                raise ValueError(f"two items have the {to_camel(self.field)} {key}")
            seen.add(key)
        return items
