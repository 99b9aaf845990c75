"""Which Kubernetes this machine can have: a context the person names, kind, or a native node."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from types import ModuleType

from . import context, kind
from .errors import ClusterError, UnavailableError
from .layout import Layout
from .native import node
from .shell import answers

__all__ = ["CONTEXT_VARIABLE", "PROVIDERS", "chosen", "decide", "provider"]

CONTEXT_VARIABLE = "INTERPLAY_CONTEXT"
PROVIDERS: Mapping[str, ModuleType] = {"context": context, "kind": kind, "native": node}


def decide(*, named: bool, docker: bool, root: bool, linux: bool) -> str:
    """The name of a provider. Who names a context means that one, whatever else there is."""
    if named:
        return "context"
    if docker:
        return "kind"
    if root and linux:
        return "native"
    lacks = "not root" if linux else "not Linux"
    raise UnavailableError(
        f"no cluster: Docker does not answer, {lacks} (so no native node),"
        f" and {CONTEXT_VARIABLE} names no context"
    )


def chosen() -> str:
    return decide(
        named=bool(os.environ.get(CONTEXT_VARIABLE)),
        docker=shutil.which("docker") is not None and answers(["docker", "info"]),
        root=os.geteuid() == 0,
        linux=platform.system() == "Linux",
    )


def provider(layout: Layout) -> str:
    """The name of what `up` made here."""
    try:
        name = layout.provider.read_text().strip()
    except FileNotFoundError:
        name = ""
    if name not in PROVIDERS:
        raise ClusterError("no cluster: run `python3 -m cluster up` first")
    return name
