"""What should come out: the number of every cell, and the state that an Evaluation must reach.

The number of a cell follows from its content key, so that a number of another generation, model or
seed is told apart wherever it turns up. What a spec means comes from the API's own `resolve`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interplay_api.catalog import Catalog, Entry, Layer, builtin_layer
from interplay_api.constants import ANNOTATION_ATTEMPT, ANNOTATION_PLAN, ANNOTATION_PLAN_DIGEST
from interplay_api.evaluation import EvaluationSpec
from interplay_api.names import value_key
from interplay_api.report import CellResult, Report, Value, encode_report, encode_termination
from interplay_api.resolve import ResolvedRun, resolve
from tests.apiserver.client import Object
from tests.apiserver.operator import IMAGE

__all__ = ["SAMPLES", "Library", "Numbers", "message_of", "number_of"]

SAMPLES = 100
_builtin = functools.cache(builtin_layer)


def number_of(key: str, salt: str = "") -> float:
    """The number that an honest pod measures for a content key; salts make other pods."""
    raw = hashlib.sha256(f"{key}/{salt}".encode()).digest()
    return 0.1 + int.from_bytes(raw[:4], "big") % 800_000 / 1e6


def message_of(job: Object, pod: Object, salt: str = "", values: int = 1, **changed: object) -> str:
    """The termination message of a runner that measured; `changed` makes it lie."""
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    owner = job["metadata"]["ownerReferences"][0]["uid"]
    cells = []
    for cell in json.loads(annotations[ANNOTATION_PLAN])["cells"]:
        number = number_of(cell["key"], salt)
        named = [
            Value.model_validate(
                {
                    "metric": metric,
                    "value": number,
                    "low": number - 0.05,
                    "high": number + 0.05,
                    "n": SAMPLES,
                    "method": "wilson",
                }
            )
            for metric in _metrics(cell["measurement"], values)
        ]
        cells.append(CellResult(state="Succeeded", values=named))
    fields: dict[str, object] = {
        "plan_digest": annotations[ANNOTATION_PLAN_DIGEST],
        "modelrun_uid": owner,
        "pod_uid": pod["metadata"]["uid"],
        "attempt": int(annotations[ANNOTATION_ATTEMPT]),
        "cells": cells,
    }
    report = Report.model_validate({**fields, **changed})
    return encode_termination(encode_report(report)).decode()


def _metrics(measurement: str, count: int) -> list[str]:
    """Names of the values of one cell; all of them are one number."""
    return [measurement, *(f"{measurement}_{i}" for i in range(1, count))]


@dataclass(frozen=True)
class Numbers:
    """Which numbers are right; several salts where several pods may be believed."""

    salts: tuple[str, ...] = ("",)

    def right(self, key: str, value: object) -> bool:
        """Whether an honest pod could have measured this."""
        return any(
            isinstance(value, float | int) and abs(value - number_of(key, s)) < 1e-9
            for s in self.salts
        )


@dataclass
class Library:
    """The library of one namespace, and what specs mean in it."""

    namespace: str
    entries: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    values: int = 1
    """How many of them each cell has."""
    _made: dict[str, dict[str, ResolvedRun]] = field(default_factory=dict)

    def add(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """One more object."""
        self.entries[kind, name] = spec
        self._made.clear()

    def runs(self, name: str, spec: Object) -> dict[str, ResolvedRun]:
        """The ModelRuns that a spec means, by name. Raises ResolveError."""
        key = json.dumps([name, spec], sort_keys=True)
        if key not in self._made:
            own = Layer(self.namespace, (Entry(k, n, s) for (k, n), s in self.entries.items()))
            catalog = Catalog([own, _builtin()])
            made = resolve(
                name, self.namespace, EvaluationSpec.read(spec), catalog, image=IMAGE, modes=catalog
            )
            self._made[key] = {r.name: r for r in made.runs}
        return self._made[key]

    def keys(self, name: str, spec: Object) -> dict[str, dict[str, str]]:
        """By model and value key, the content key that a number must come from."""
        table: dict[str, dict[str, str]] = {}
        for run in self.runs(name, spec).values():
            plan = run.spec.plan
            splits = {d.name: d.spec.split for d in plan.datasets}
            table[run.spec.model] = {
                value_key(c.dataset, splits[c.dataset], metric): c.key
                for c in plan.cells
                for metric in _metrics(c.measurement, self.values)
            }
        return table
