"""Manifest files: read as hostile input, answered with one line that names file and field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from interplay_api.catalog import LIBRARY_KINDS, Catalog, Layer, builtin_layer, problem_of
from interplay_api.constants import API_VERSION
from interplay_api.evaluation import EvaluationSpec
from interplay_api.resolve import Resolution, ResolveError, resolve

__all__ = ["LOCAL_IMAGE", "Manifest", "ManifestError", "read_manifest", "resolve_manifest"]

LOCAL_IMAGE = "local"
"""Stands in keys where no image runs; without a digest nothing is reused, as it should be."""
MAX_FILE_BYTES = 1 << 20


class ManifestError(ValueError):
    """The file is no use; the text is one line."""


@dataclass(frozen=True)
class Manifest:
    """One Evaluation and the library objects that stand beside it in the file."""

    name: str
    namespace: str
    spec: EvaluationSpec
    layer: Layer


def _documents(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ManifestError(f"{path}: over {MAX_FILE_BYTES} bytes")
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    for i, item in enumerate(documents, 1):
        _check_envelope(path, i, item)
    return documents


def _check_envelope(path: Path, number: int, item: Any) -> None:
    where = f"{path}: document {number}"
    if not isinstance(item, dict):
        raise ManifestError(f"{where}: not an object")
    if item.get("apiVersion") != API_VERSION:
        raise ManifestError(f"{where}: apiVersion: must be {API_VERSION}")
    if item.get("kind") not in {"Evaluation", *LIBRARY_KINDS}:
        raise ManifestError(f"{where}: kind: {item.get('kind')!r} is not known")
    meta = item.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise ManifestError(f"{where}: metadata.name: required")
    if not isinstance(item.get("spec", {}), dict):
        raise ManifestError(f"{where}: spec: not an object")


def read_manifest(path: Path) -> Manifest:
    """Read a file with exactly one Evaluation; raises ManifestError."""
    documents = _documents(path)
    found = [d for d in documents if d["kind"] == "Evaluation"]
    if len(found) != 1:
        raise ManifestError(f"{path}: {len(found)} Evaluations, need exactly one")
    item = found[0]
    try:
        spec = EvaluationSpec.model_validate(item.get("spec") or {})
    except ValidationError as error:
        field, message = problem_of(error, "spec")
        raise ManifestError(f"{path}: {field}: {message}") from None
    meta = item["metadata"]
    layer = Layer.from_manifests(str(path), documents)
    return Manifest(meta["name"], meta.get("namespace") or "default", spec, layer)


def resolve_manifest(manifest: Manifest) -> Resolution:
    """The same `resolve` as in the operator, over the file's objects and the built-in library."""
    catalog = Catalog([manifest.layer, builtin_layer()])
    try:
        return resolve(manifest.name, manifest.namespace, manifest.spec, catalog, image=LOCAL_IMAGE)
    except ResolveError as error:
        raise ManifestError("; ".join(str(p) for p in error.problems)) from None
