"""Imports go one way and stay light: what each process must never load.

All modules of the API, the operator and the runner; of the command line its entry, since what needs
the runner is loaded when it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHILD = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(package, "__path__", ()), package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""
FORBIDDEN = {
    "interplay_api": {"torch", "timm", "numpy", "kopf", "kubernetes"},
    "interplay_operator": {"torch", "timm", "numpy", "interplay_runner", "interplay_cli"},
    "interplay_runner": {"kopf", "kubernetes", "interplay_operator", "interplay_cli"},
    "interplay_cli.__main__": {"kopf", "kubernetes", "torch", "timm", "interplay_operator"},
}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_every_module_of_a_package_loads_without(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, package], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert package in loaded
    assert loaded & FORBIDDEN[package] == set()
