"""The base image where no registry of images can be reached: a minimal Debian with Python."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from .shell import output, run

__all__ = ["INCLUDED", "SUITE", "make", "mirror", "name"]

SUITE = "bookworm"
INCLUDED = ("python3", "python3-venv", "ca-certificates")
_MIRROR = "http://deb.debian.org/debian"
_RECIPE = 1
"""Raised by hand when the steps below change."""

_HOST = (
    "etc/apt/sources.list",
    "etc/hostname",
    "etc/resolv.conf",
)
"""What debootstrap takes over from this machine, and no image may tell."""
_VOLATILE = (
    "etc/machine-id",
    "var/cache/apt/archives",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists",
    "var/lib/dbus/machine-id",
    "var/log/alternatives.log",
    "var/log/apt",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
)
"""What differs from one run to the next."""


def name() -> str:
    """Carries the recipe's digest, so that a changed recipe makes another image."""
    recipe = repr((_RECIPE, SUITE, INCLUDED, _HOST, _VOLATILE))
    return f"localhost/interplay-base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def make(target: Path, log: Path) -> None:
    """Fill the folder with the image's root."""
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    query = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(SITE)"]
    include = f"--include={','.join(INCLUDED)}"
    site = mirror(output(query))
    run(["debootstrap", "--variant=minbase", include, SUITE, str(target), site], log)
    for path in (*_HOST, *_VOLATILE):
        full = target / path
        if full.is_dir():
            shutil.rmtree(full)
            full.mkdir()
        else:
            full.unlink(missing_ok=True)
    # Bytecode by time would be stale, since the image's files get one fixed time.
    compile_all = ["python3", "-m", "compileall", "-q", "-f", "--invalidation-mode"]
    folders = ["/usr/lib/python3", "/usr/lib/python3.11"]
    output(["chroot", str(target), *compile_all, "unchecked-hash", *folders])


def mirror(targets: str) -> str:
    """Where this machine's apt finds the suite; Debian's own address on other systems."""
    for line in targets.splitlines():
        origin, codename, site = line.split("|")
        if (origin, codename) == ("Debian", SUITE):
            return site
    return _MIRROR
