"""Manifests for tests, and the judgement of a manifest without any API server."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from interplay_api.catalog import Catalog, Layer, problem_of
from interplay_api.constants import API_VERSION
from interplay_api.evaluation import EvaluationSpec
from interplay_api.kinds import KINDS
from interplay_api.resolve import resolve

__all__ = [
    "HERE",
    "ROOT",
    "BadManifest",
    "Object",
    "bad_manifests",
    "documents",
    "edited",
    "everything",
    "verdict",
]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
Object = dict[str, Any]
REMOVED = object()


def documents(*paths: Path) -> list[Object]:
    """The manifests of our kinds in these files."""
    found = [d for p in paths for d in yaml.safe_load_all(p.read_text()) if d]
    return [d for d in found if d["apiVersion"] == API_VERSION]


@cache
def _everything() -> list[Object]:
    written = documents(HERE / "everything.yaml")
    evaluation = next(d for d in written if d["kind"] == "Evaluation")
    spec = EvaluationSpec.read(evaluation["spec"])
    layer = Layer.from_manifests("test", written)
    runs = resolve("everything", "default", spec, Catalog([layer]), image="runner").runs
    return written + [
        {
            "apiVersion": API_VERSION,
            "kind": "ModelRun",
            "metadata": {"name": run.name},
            "spec": run.spec.wire(),
        }
        for run in runs
    ]


def everything(kind: str = "") -> list[Object]:
    """Manifests that hold every field of a kind, or of all; ModelRuns as they are planned."""
    return [copy.deepcopy(d) for d in _everything() if kind in ("", d["kind"])]


def edited(item: Object, changes: Mapping[str, Any], remove: Iterable[str] = ()) -> Object:
    """A copy with other values at paths such as `spec.models.0.name`."""
    item = copy.deepcopy(item)
    for path, value in (*changes.items(), *((p, REMOVED) for p in remove)):
        *way, last = (int(p) if p.isdigit() else p for p in path.split("."))
        place: Any = item
        for step in way:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return item


def verdict(item: Object) -> str:
    """What the types say against a manifest, or nothing: `<field>: <message>`."""
    kind = next(k for k in KINDS if k.name == item["kind"])
    for rule in kind.rules:
        if not rule.holds(item["metadata"]["name"]):
            return rule.message
    try:
        kind.spec.read(item.get("spec"))
    except ValidationError as error:
        return ": ".join(problem_of(error, "spec"))
    return ""


@dataclass(frozen=True, slots=True)
class BadManifest:
    """A case of bad_manifests.yaml: what its refusal must name and say, and by which judge."""

    id: str
    manifest: Object
    field: str
    text: str
    judge: str


def bad_manifests() -> list[BadManifest]:
    """The table of what nobody may let through."""
    return [
        BadManifest(
            id=f"{case['kind']}-{case['what']}".replace(" ", "-"),
            manifest=edited(
                everything(case["kind"])[0], case.get("set", {}), case.get("remove", ())
            ),
            field=case["field"],
            text=case.get("text", ""),
            judge=case.get("judge", "both"),
        )
        for case in yaml.safe_load((HERE / "bad_manifests.yaml").read_text())
    ]
