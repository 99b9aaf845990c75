"""Both majors of helm, as the cluster's commands build them, as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helm.chart import BINARIES, Helm


@pytest.fixture(params=sorted(BINARIES))
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    """Each helm major in turn."""
    return Helm(request.param, tmp_path)


@pytest.fixture
def helm4(tmp_path: Path) -> Helm:
    """The newer one, where the other could only say the same."""
    return Helm("helm4", tmp_path)
