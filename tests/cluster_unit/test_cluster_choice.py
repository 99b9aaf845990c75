"""Which Kubernetes a machine gets, and that none at all is an answer of its own (exit code 3)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster import choose, gpus
from cluster.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("named", "docker", "root", "linux", "answer"),
    [
        (True, True, True, True, "context"),
        (False, True, True, True, "kind"),
        (False, True, False, False, "kind"),
        (False, False, True, True, "native"),
    ],
)
def test_what_is_there_decides(
    named: bool, docker: bool, root: bool, linux: bool, answer: str
) -> None:
    assert choose.decide(named=named, docker=docker, root=root, linux=linux) == answer


def test_nothing_there_is_one_line_that_says_why() -> None:
    with pytest.raises(UnavailableError, match=r"^no cluster: Docker does not answer, not root"):
        choose.decide(named=False, docker=False, root=False, linux=True)
    with pytest.raises(UnavailableError, match="not Linux"):
        choose.decide(named=False, docker=False, root=True, linux=False)


def test_the_package_runs_without_the_virtual_environment() -> None:
    """The standard library is all it may need: `up` comes before anything is installed."""
    code = "import sys; sys.path.insert(0, '.'); import cluster.__main__"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, cwd=ROOT, timeout=30)


def test_no_gpus_take_the_resource_away() -> None:
    assert '"nvidia.com/gpu": "4"' in gpus.patch(4)
    assert '"nvidia.com/gpu": null' in gpus.patch(0)
