"""The CRDs, generated from the types: `python -m interplay_api.crd [--check] [FOLDER]`.

Writes crds/*.yaml and the chart's copies below FOLDER (the checkout), or with --check names what
is stale there.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .constants import GROUP, VERSION
from .kinds import KINDS, Column, Kind
from .schema import structural

__all__ = ["crd", "files", "main"]

HEADER = "# Generated from crds/interplay_api by `make generate`; do not edit.\n"
CHART_FOLDER = "helm/interplay/templates/crds"
AGE = Column("Age", ".metadata.creationTimestamp", "date")
IMMUTABLE = {"rule": "self == oldSelf", "message": "spec is immutable; create another object"}

CHART_METADATA = """\
  labels:
    {{- include "interplay.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


def _column(column: Column) -> dict[str, Any]:
    out = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**out, "priority": 1} if column.wide else out


def _root(kind: Kind) -> dict[str, Any]:
    spec = structural(kind.spec, f"{kind.name}.spec", defaults=kind.freeze_defaults)
    if kind.immutable:
        spec.setdefault("x-kubernetes-validations", []).append(IMMUTABLE)
    properties = {"spec": spec}
    if kind.status:
        properties["status"] = structural(kind.status, f"{kind.name}.status")
    root: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "properties": properties,
        "required": ["spec"],
    }
    if kind.rules:
        root["x-kubernetes-validations"] = [r.validation() for r in kind.rules]
    return root


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(c) for c in (*kind.columns, AGE)],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    if kind.status:
        version["subresources"] = {"status": {}}
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": p} for p in kind.selectable]
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "categories": ["interplay"],
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class _Dumper(yaml.SafeDumper):
    """Plain YAML: what is the same twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


# kubectl and helm read YAML 1.1 to the letter: a field called n must be quoted, or it is false.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))


def _text(manifest: Mapping[str, Any]) -> str:
    return yaml.dump(dict(manifest), Dumper=_Dumper, sort_keys=False, width=100)


def _chart_text(manifest: Mapping[str, Any]) -> str:
    head = _text({k: manifest[k] for k in ("apiVersion", "kind", "metadata")})
    body = _text({"spec": manifest["spec"]})
    if "{{" in body:
        raise ValueError(f"{manifest['metadata']['name']}: a template mark in a description")
    return (
        f"{HEADER}{{{{- if .Values.crds.enabled }}}}\n{head}{CHART_METADATA}{body}{{{{- end }}}}\n"
    )


def files() -> dict[str, str]:
    """Every generated file: its path in the checkout, and its text."""
    out = {}
    for kind in KINDS:
        manifest = crd(kind)
        out[f"crds/{kind.plural}.yaml"] = HEADER + _text(manifest)
        out[f"{CHART_FOLDER}/{kind.plural}.yaml"] = _chart_text(manifest)
    return out


def _present(root: Path) -> set[str]:
    folders = (root / "crds", root / CHART_FOLDER)
    return {p.relative_to(root).as_posix() for f in folders for p in f.glob("*.yaml")}


def stale(root: Path) -> list[str]:
    """Generated files below `root` that are not what the types say, or should not be there."""
    wanted = files()
    changed = {
        n for n, t in wanted.items() if not (root / n).exists() or (root / n).read_text() != t
    }
    return sorted(changed | (_present(root) - set(wanted)))


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="interplay_api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[2])
    args = parser.parse_args(arguments)
    found = stale(args.folder)
    if args.check:
        for name in found:
            print(f"{name}: stale, run `make generate`", file=sys.stderr)
        return 1 if found else 0
    wanted = files()
    for name in found:
        path = args.folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
