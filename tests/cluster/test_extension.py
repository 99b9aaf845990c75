"""A user's own image, built FROM ours: its dataset, models and measurements run in pods."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.builders import builder
from cluster.layout import checkout
from tests.cluster.conftest import ROOT
from tests.cluster.kubectl import Kubectl

EXAMPLE = ROOT / "examples" / "extension"


@pytest.fixture
def image(images: dict[str, str], tmp_path: Path) -> str:
    """The reference of the example's image, by digest, in the registry that has the runner's."""
    context = tmp_path / "extension"
    shutil.copytree(EXAMPLE, context)
    runner, _, _ = images["runner"].partition("@")
    registry = runner.rpartition("/")[0]
    tool = builder(checkout())
    # What `cluster images` has built lies under this name in the builder's own storage.
    base = "localhost/interplay-runner:latest"
    tool.build(context, context / "Containerfile", base, "localhost/stripes:latest")
    digest = tool.push("localhost/stripes:latest", f"{registry}/stripes:test")
    return f"{registry}/stripes@{digest}"


@pytest.fixture
def manifests(image: str, kubectl: Kubectl, chart: Kubectl) -> Iterator[list[dict[str, Any]]]:
    """Those of the example, with this image and a Mode of the test's own."""
    documents = list(yaml.safe_load_all((EXAMPLE / "evaluation.yaml").read_text()))
    (mode,) = [d for d in documents if d["kind"] == "Mode"]
    (evaluation,) = [d for d in documents if d["kind"] == "Evaluation"]
    name = f"stripes-{secrets.token_hex(4)}"
    mode["metadata"]["name"] = evaluation["spec"]["mode"] = name
    mode["spec"] |= {"image": image, "allowedNamespaces": [kubectl.namespace]}
    chart.apply(mode)
    try:
        yield [d for d in documents if d is not mode]
    finally:
        chart.run("delete", "mode", name)


def test_a_users_own_image_measures_what_it_brings(
    kubectl: Kubectl, manifests: list[dict[str, Any]]
) -> None:
    kubectl.apply(*manifests)
    item = kubectl.until_condition("stripes", "Complete", timeout=300)
    rows = {r["model"]: r["values"] for r in item["status"]["results"]}
    assert rows.keys() == {"gabor-8", "gabor-16"}
    assert {k: v["value"] for k, v in rows["gabor-8"].items()} == {
        "stripes_test_separation": pytest.approx(0.8732, abs=1e-3),
        "stripes_test_occluded_top1_share0p5": pytest.approx(397 / 400, abs=1.01 / 400),
        "stripes_test_top1": 1.0,
    }
    separation = rows["gabor-8"]["stripes_test_separation"]
    assert separation["low"] < separation["value"] < separation["high"]
