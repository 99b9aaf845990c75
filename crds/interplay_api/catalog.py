"""The catalog: library objects in layers (namespace, operator's namespace, built-in), by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import islice
from typing import Any

import yaml
from pydantic import ValidationError

from .base import ApiModel
from .kinds import KINDS

__all__ = ["LIBRARY_KINDS", "Catalog", "Entry", "Layer", "builtin_layer", "problem_of"]

MAX_COMPARED = 500
"""Names that a misspelt one is compared with: each takes half a millisecond."""
LIBRARY_KINDS: Mapping[str, type[ApiModel]] = {k.name: k.spec for k in KINDS if k.library}


@dataclass(frozen=True, slots=True)
class Entry:
    """One library object: its spec still unparsed, so that a bad one harms only its users."""

    kind: str
    name: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)


class Layer:
    """The library objects of one origin."""

    def __init__(self, origin: str, entries: Iterable[Entry] = ()) -> None:
        self.origin = origin
        self.entries: dict[tuple[str, str], Entry] = {(e.kind, e.name): e for e in entries}

    @classmethod
    def from_manifests(cls, origin: str, manifests: Iterable[Mapping[str, Any]]) -> Layer:
        """Read plain manifests; kinds that are not of the library are left out."""
        entries = []
        for item in manifests:
            meta = item.get("metadata") or {}
            if item.get("kind") in LIBRARY_KINDS:
                entries.append(
                    Entry(
                        item["kind"], meta["name"], item.get("spec") or {}, meta.get("labels") or {}
                    )
                )
        return cls(origin, entries)


def problem_of(error: ValidationError, prefix: str) -> tuple[str, str]:
    """(field path, message) of the first error, written as the API server writes them.

    An unknown field comes before one that is missing: it is most often the same one, misspelt.
    """
    errors = error.errors(include_url=False, include_input=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    steps = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"] if p != "[key]"]
    unknown = first["type"] == "extra_forbidden"
    message = "unknown field" if unknown else first["msg"].removeprefix("Value error, ")
    return (prefix + "".join(steps)).lstrip("."), message


class Catalog:
    """Layers in the order of lookup: the first that has a name wins."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)

    def find(self, kind: str, name: str) -> Entry | None:
        """The entry that a name means, or None."""
        for layer in self.layers:
            if entry := layer.entries.get((kind, name)):
                return entry
        return None

    def all(self, kind: str) -> Iterator[Entry]:
        """Every entry of a kind, by name, each name once."""
        names = sorted({n for layer in self.layers for k, n in layer.entries if k == kind})
        for name in names:
            entry = self.find(kind, name)
            assert entry is not None
            yield entry

    def near(self, kind: str, name: str) -> list[str]:
        """Names that somebody may have meant."""
        known = [e.name for e in islice(self.all(kind), MAX_COMPARED)]
        return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def builtin_layer() -> Layer:
    """The library inside this package: it serves with and without a cluster."""
    manifests: list[Mapping[str, Any]] = []
    folder = resources.files("interplay_api") / "builtin"
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".yaml"):
            manifests += [d for d in yaml.safe_load_all(path.read_text()) if d]
    return Layer.from_manifests("built-in", manifests)
