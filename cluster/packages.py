"""Installs Debian packages that are missing, and keeps their services from starting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .console import say, step
from .errors import ClusterError
from .shell import answers, output

__all__ = ["install"]

_POLICY = Path("/usr/sbin/policy-rc.d")
"""invoke-rc.d asks this program whether a package may start its service; 101 means no."""
_SERVICES = ("docker-registry", "nftables")


def install(names: Sequence[str]) -> None:
    missing = [name for name in names if not _installed(name)]
    if not missing:
        return
    listed = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"packages: these are needed, please install them: {listed}")
    say(f"installing Debian packages: {listed}")
    with step("installing packages"), _no_services():
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            output(command, env=env)
        except ClusterError:
            # Most often the package lists are absent or old.
            output(["apt-get", "update", "-q"], env=env)
            output(command, env=env)
    _disable_services(missing)


def _installed(name: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", name]
    return answers(query) and output(query) == "installed"


@contextmanager
def _no_services() -> Iterator[None]:
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _disable_services(names: Sequence[str]) -> None:
    """Nor may they start at the next boot."""
    if not Path("/run/systemd/system").exists():
        return
    for name in names:
        if name in _SERVICES:
            answers(["systemctl", "disable", name])
