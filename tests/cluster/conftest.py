"""The real cluster, the built images and the chart as fixtures; each test has its own namespace."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".cluster" / "bin"
KUBECONFIG = ROOT / ".cluster" / "kubeconfig"
SYSTEM = "interplay-system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def admin() -> Kubectl:
    """The operator's own namespace, as the cluster's administrator."""
    reason = ""
    if not KUBECONFIG.is_file():
        reason = "no cluster: `make cluster-up` starts one"
    else:
        kubectl = Kubectl(BIN / "kubectl", KUBECONFIG, SYSTEM)
        try:
            kubectl.run("get", "--raw", "/readyz")
        except RuntimeError as error:
            reason = f"the cluster does not answer: {error}"
    if reason:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return kubectl


@pytest.fixture(scope="session")
def images(admin: Kubectl) -> dict[str, str]:
    """References of both images, by digest; built only when something changed."""
    del admin
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "images"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=1800, check=True,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in done.stdout.split())


def install() -> None:
    """The chart with the images of this tree; left installed, since the next test wants it too."""
    subprocess.run(
        [ROOT / "cluster" / "install.sh"], stdout=subprocess.DEVNULL, timeout=1800, check=True
    )


@pytest.fixture
def chart(admin: Kubectl) -> Kubectl:
    """The operator's own namespace, with the chart in it."""
    install()
    return admin


@contextmanager
def own_namespace(chart: Kubectl) -> Iterator[Kubectl]:
    """A namespace of the test's own that admits only pods of pod security `restricted`."""
    name = f"test-{secrets.token_hex(4)}"
    chart.run("create", "namespace", name)
    chart.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield Kubectl(chart.binary, chart.kubeconfig, name)
    finally:
        chart.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(chart: Kubectl) -> Iterator[Kubectl]:
    """A namespace for one test."""
    with own_namespace(chart) as own:
        yield own
