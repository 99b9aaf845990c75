"""Builds the cluster's programs once per machine and puts them into the checkout's bin folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from . import tools
from .console import step
from .layout import CACHE, Layout
from .packages import install
from .shell import run
from .toolchain import environment, go_command, go_version

__all__ = ["provide"]

_CGO_PACKAGES = ("gcc", "libc6-dev", "libseccomp-dev", "pkg-config")


def provide(layout: Layout, names: Iterable[str] = ()) -> None:
    """Have the named binaries in the bin folder, from the cache where it has them."""
    wanted = tools.named(names)
    go = go_command(layout)
    cached = {tool: _cached(tool, go) for tool in wanted}
    missing = [tool for tool in wanted if not cached[tool].exists()]
    if any(tool.cgo for tool in missing):
        install(_CGO_PACKAGES)
    for number, tool in enumerate(missing, start=1):
        with step(f"building {tool.name}, {number} of {len(missing)}"):
            _build(layout, tool, go, cached[tool])
    layout.bin.mkdir(parents=True, exist_ok=True)
    for tool in wanted:
        _place(cached[tool], layout.bin / tool.name)


def _cached(tool: tools.Tool, go: str) -> Path:
    folder = tools.MODULES / tool.group
    module = [(folder / name).read_bytes() for name in ("go.mod", "go.sum")]
    return CACHE / "bin" / tools.build_digest(tool, go_version(go), module) / tool.name


def _build(layout: Layout, tool: tools.Tool, go: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        built = Path(scratch) / tool.name
        run(
            ["nice", *tools.build_command(tool, go, built)],
            layout.logs / f"build-{tool.name}.log",
            env=environment(tool.cgo),
            cwd=tools.MODULES / tool.group,
        )
        # A whole file or none, also where two checkouts build at once.
        built.replace(target)


def _place(source: Path, target: Path) -> None:
    """Link the cached file; where it lies on another file system, copy it."""
    if target.exists() and _same(source, target):
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        beside.hardlink_to(source)
    except OSError:
        shutil.copy2(source, beside)
    # A running program keeps its old file; writing into it would fail.
    beside.replace(target)


def _same(source: Path, target: Path) -> bool:
    a, b = source.stat(), target.stat()
    same_file = (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
    return same_file or (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)
