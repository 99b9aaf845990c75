"""What can be said of the images without building them: pins, versions, users, contexts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from images import requirements

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"


@pytest.fixture(params=["operator", "runner"])
def containerfile(request: pytest.FixtureRequest) -> str:
    """The text of each Containerfile."""
    path: Path = IMAGES / request.param / "Containerfile"
    return path.read_text()


def test_requirements_are_those_of_the_constraints(capsys: pytest.CaptureFixture[str]) -> None:
    assert requirements.main(["--check"]) == 0, capsys.readouterr().err


def test_the_operator_image_holds_no_torch_and_the_runner_image_no_kubernetes() -> None:
    def names(image: str) -> set[str]:
        return set(requirements.pins((IMAGES / image / "requirements.txt").read_text()))

    assert {"kopf", "pydantic"} <= names("operator")
    assert {"torch", "timm", "pydantic"} <= names("runner")
    assert not {"torch", "numpy", "pytest", "uv"} & names("operator")
    assert not {"kopf", "kubernetes", "pytest", "uv"} & names("runner")


def test_a_new_pin_and_a_new_dependency_make_it_stale() -> None:
    pinned = requirements.pins("a==1 \\\n    --hash=sha256:00\nB_c==2 ; x\n# note\n")
    assert pinned == {"a": "a==1 \\\n    --hash=sha256:00", "b-c": "B_c==2 ; x"}
    assert "aiohttp" in requirements.closure(["kopf>=1"])
    assert "nvidia-cublas" in requirements.closure(["cuda-toolkit[cublas]"])
    assert "nvidia-cublas" not in requirements.closure(["cuda-toolkit"])


def test_images_say_the_version_of_the_distribution_and_of_the_chart(containerfile: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in containerfile
    chart = yaml.safe_load((ROOT / "helm" / "interplay" / "Chart.yaml").read_text())
    assert chart["appVersion"] == version


def test_images_end_as_a_numeric_user_and_name_no_index(containerfile: str) -> None:
    assert re.findall(r"^USER (.+)$", containerfile, re.M)[-1] == "65532:65532"
    assert not re.search(r"https?://|--(extra-)?index-url|--trusted-host", containerfile)


def test_the_context_lets_pass_what_is_copied_and_nothing_else(containerfile: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    passed = [line[1:].removesuffix("/**") for line in lines if line.startswith("!")]
    for source in re.findall(r"^COPY (?!--from)(\S+)", containerfile, re.M):
        assert (ROOT / source).exists(), source
        assert any(source == p or source.startswith(f"{p}/") for p in passed), source
