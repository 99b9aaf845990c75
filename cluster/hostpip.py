"""Lends the machine's pip configuration and certificates to a build, read-only, for its time alone.

Where pip finds packages is the machine's affair: it is mounted, and no image keeps any of it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import ClusterError
from .shell import output

__all__ = ["mounts", "pip_configuration"]

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_KEPT = ("index-url", "extra-index-url", "trusted-host", "find-links", "timeout", "no-index")
"""Settings that say where packages are; others, such as a cache folder, stay the image's own."""


def mounts(scratch: Path, environment: Mapping[str, str] = os.environ) -> list[tuple[Path, str]]:
    """Pairs of a path here and a path in the build."""
    try:
        listed = output([sys.executable, "-m", "pip", "config", "list"])
    except ClusterError:
        # A Python without pip has no configuration to lend but pip's own variables.
        listed = "".join(
            f":env:.{name[4:].lower().replace('_', '-')}={value!r}\n"
            for name, value in environment.items()
            if name.startswith("PIP_")
        )
    bundle = Path(environment.get("SSL_CERT_FILE") or _BUNDLE)
    pairs = [(bundle, _BUNDLE)] if bundle.is_file() else []
    scratch.mkdir(parents=True, exist_ok=True)
    configuration = scratch / "pip.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(pip_configuration(listed, certificates=bool(pairs)))
    return [*pairs, (configuration, "/etc/pip.conf")]


def pip_configuration(listed: str, *, certificates: bool) -> str:
    """One file out of what `pip config list` prints; the last word on a setting counts."""
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in _KEPT:
            settings[key] = str(ast.literal_eval(value))
    if certificates:
        settings["cert"] = _BUNDLE
    lines = [f"{key} = {' '.join(value.split())}" for key, value in sorted(settings.items())]
    return "\n".join(["[global]", *lines]) + "\n"
