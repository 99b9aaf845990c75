"""What `interplay plan` says of real architectures, built without numbers.

Aspects: MACs as published; the shape is that of the loaded model; what cannot be built here;
reference models and datasets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.library import ModelSpec
from interplay_api.plan import PlanModel
from interplay_cli.__main__ import main
from interplay_cli.weightless import shape_of
from interplay_runner.models import load_model

COMPARING = """
apiVersion: interplay.dev/v1alpha1
kind: Evaluation
metadata: {name: comparing}
spec:
  models: [{name: digits-vit-plain}, {name: digits-resnet-plain}]
  measurements: {names: [near, like, rough]}
---
apiVersion: interplay.dev/v1alpha1
kind: Measurement
metadata: {name: near}
spec: {category: benefit, entryPoint: knn, datasets: [digits], references: {train: digits-train}}
---
apiVersion: interplay.dev/v1alpha1
kind: Measurement
metadata: {name: like}
spec:
  category: property
  entryPoint: error-consistency
  datasets: [digits]
  referenceModel: digits-mixer-plain
---
apiVersion: interplay.dev/v1alpha1
kind: Measurement
metadata: {name: rough}
spec: {category: benefit, entryPoint: corruptions, datasets: [digits]}
"""
COMPARED = """\
2 x digits-vit-plain (4.47 MMAC), digits-resnet-plain (1.2 MMAC)
  digits (test): 600 decodes, 600 x 77 views = 46,200 forwards in batches of 64, 10 per view
    views: identity, 5 x brightness, 5 x contrast, 5 x defocus_blur, 5 x elastic_transform, \
5 x fog, 5 x frost, 5 x gaussian_noise, 5 x glass_blur, 5 x impulse_noise, 5 x jpeg_compression, \
5 x motion_blur, 5 x pixelate, 5 x shot_noise, 5 x snow, 5 x zoom_blur, \
identity by digits-mixer-plain
    F+D: like
    T: rough
    D+L: near
  digits-train (train): 800 decodes, 800 x 1 views = 800 forwards in batches of 64, 13 per view
    views: identity
    D+L: near (as train)
total: 2 models, 2,800 decodes, 94,000 shared forwards, 273 GMAC
"""
"""(4.47 + 1.20) MMAC x (76 x 600 + 800 forwards), and 8.45 MMAC of the mixer's x 2 x 600."""


def model(**spec: Any) -> PlanModel:
    return PlanModel(name="m", spec=ModelSpec.model_validate(spec))


@pytest.mark.parametrize(
    ("name", "gmacs", "parameters"),
    [("resnet50.tv_in1k", 4.09, 25_557_032), ("vit_small_patch16_224", 4.60, 22_050_664)],
)
def test_macs_are_those_that_are_published(name: str, gmacs: float, parameters: int) -> None:
    shape = shape_of(model(timm=name))
    assert shape.macs == pytest.approx(gmacs * 1e9, rel=0.005)
    assert shape.info.parameters == parameters


@pytest.mark.parametrize("name", ["digits-vit-plain", "digits-mixer-plain", "digits-resnet-plain"])
def test_the_shape_is_that_of_the_loaded_model(name: str) -> None:
    entry = Catalog([builtin_layer()]).find("Model", name)
    assert entry is not None
    item = PlanModel(name=name, spec=ModelSpec.model_validate(entry.spec))
    loaded, shape = load_model(item, "cpu", "fp32").network.info, shape_of(item)
    assert shape.info == loaded
    assert (shape.info.head is None) == (loaded.head is None)


def test_each_dataset_and_each_model_has_its_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evaluation.yaml"
    path.write_text(COMPARING)
    assert main(["plan", str(path)]) == 0
    assert capsys.readouterr().out == COMPARED


@pytest.mark.parametrize(
    "spec",
    [
        {"hub": {"id": "owner/name", "revision": "0" * 40}},
        {"timm": "no_such_model"},
        {"timm": "resnet18", "args": {"layers": "wrong"}},
        {"timm": "resnet18", "args": {"pretrained_cfg": "x"}},
    ],
)
def test_what_cannot_be_built_here_has_no_known_cost(spec: dict[str, Any]) -> None:
    shape = shape_of(model(**spec, numClasses=7))
    assert shape.macs is None
    assert shape.info.num_classes == 7
