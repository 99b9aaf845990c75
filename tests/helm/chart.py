"""Runs one helm binary against the chart: rendering, refusals, install and uninstall."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__ = [
    "CHART",
    "NAMESPACE",
    "RELEASE",
    "ROOT",
    "Helm",
    "Object",
    "identity",
    "named",
    "only",
    "plurals",
]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "interplay"
BINARIES = {"helm3": ROOT / ".cluster/bin/helm3", "helm4": ROOT / ".cluster/bin/helm"}
RELEASE = "interplay"
NAMESPACE = "interplay-system"

Object = dict[str, Any]


def identity(item: Object) -> tuple[str, str, str]:
    """(kind, namespace, name); the namespace is empty for what belongs to the cluster."""
    meta = item["metadata"]
    return item["kind"], meta.get("namespace", ""), meta["name"]


def named(items: Sequence[Object], kind: str) -> list[Object]:
    """All objects of one kind."""
    return [i for i in items if i["kind"] == kind]


def only(items: Sequence[Object], kind: str) -> Object:
    """The one object of a kind."""
    (item,) = named(items, kind)
    return item


def plurals() -> set[str]:
    """Resource names of all our kinds."""
    crds = (yaml.safe_load(p.read_text()) for p in (ROOT / "crds").glob("*.yaml"))
    return {c["spec"]["names"]["plural"] for c in crds}


class Helm:
    """A helm binary with a home of its own, so that nobody's configuration is read or written."""

    def __init__(self, name: str, home: Path) -> None:
        self.binary = BINARIES[name]
        self.home = home
        if not self.binary.is_file():
            reason = f"{self.binary.name} missing: python3 -m cluster binaries {self.binary.name}"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)

    def run(
        self,
        *args: str | Path,
        values: Mapping[str, Any] | None = None,
        kubeconfig: str | Path = os.devnull,
    ) -> str:
        """Standard output; RuntimeError with standard error when helm refuses."""
        if values is not None:
            path = self.home / "values.json"
            path.write_text(json.dumps(values))
            args = (*args, "--values", path)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(kubeconfig),
        }
        done = subprocess.run(
            [self.binary, *args], env=env, capture_output=True, text=True, timeout=240, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def render(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        api_versions: Sequence[str] = (),
        crds: bool = False,
        kube_version: str = "v1.37.0",
    ) -> list[Object]:
        """The rendered objects; CRDs are left out unless wanted, since others test them."""
        values = dict(values or {})
        values.setdefault("crds", {"enabled": crds})
        args = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE]
        args += ["--kube-version", kube_version]
        for version in api_versions:
            args += ["--api-versions", version]
        return [d for d in yaml.safe_load_all(self.run(*args, values=values)) if d]
