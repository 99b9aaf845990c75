"""Content keys: what changes the numbers changes the key, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from interplay_api.keys import cell_key, is_pinned
from interplay_api.library import DatasetSpec, ModelSpec
from interplay_api.plan import Plan
from tests.api.manifests import Object, edited, everything

PLAN = next(
    item["spec"]["plan"] for item in everything("ModelRun") if item["spec"]["model"] == "resnet"
)
IMAGE = "runner@sha256:" + "e" * 64
SIZE = 600
"""Of the dataset of the first cell."""


def key(plan: Object, image: str = IMAGE) -> str:
    read = Plan.read(plan)
    cell = read.cells[0]
    datasets = {d.name: d for d in read.datasets}
    assert datasets[cell.dataset].spec.size == SIZE
    models = {m.name: m for m in read.models}
    return cell_key(
        read.model, datasets, cell, read.run, image, models.get(cell.reference_model or "")
    )


@pytest.mark.parametrize(
    "change",
    [
        {"model.name": "other"},
        {"model.spec.description": "other"},
        {"model.spec.checkpoint.file": "/elsewhere/x.safetensors"},
        {"datasets.0.spec.description": "other"},
        {"cells.0.measurement": "other"},
        {"run.batchSize": 32},
        {"run.workers": 0},
        {"run.threads": 4},
        {"run.device": "cpu"},
        {"cells.0.parameters": {"targeted": False, "epsilons": [1.0, 2, 4]}},
    ],
    ids=str,
)
def test_what_leaves_the_numbers_leaves_the_key(change: Object) -> None:
    assert key(edited(PLAN, change)) == key(PLAN)


@pytest.mark.parametrize(
    "change",
    [
        {"model.spec.timm": "resnet34"},
        {"model.spec.args.drop_rate": 0.25},
        {"model.spec.checkpoint.sha256": "f" * 64},
        {"model.spec.numClasses": 11},
        {"model.spec.dataConfig.cropPct": 0.9},
        {"datasets.0.spec.revision": "v3"},
        {"datasets.0.spec.split": "val"},
        {"datasets.0.spec.labelMap.daisy": 5},
        {"datasets.0.spec.logits": "All"},
        {"datasets.2.spec.factorFile.file": "other.h5"},
        {"models.0.spec.timm": "resnet34"},
        {"cells.0.entryPoint": "other"},
        {"cells.0.numerics": 3},
        {"cells.0.parameters.targeted": True},
        {"run.precision": "fp32"},
        {"run.limit": 99},
        {"run.seed": 4},
    ],
    ids=str,
)
def test_what_changes_the_numbers_changes_the_key(change: Object) -> None:
    assert key(edited(PLAN, change)) != key(PLAN)


def test_another_image_is_another_key() -> None:
    assert key(PLAN, "runner@sha256:" + "f" * 64) != key(PLAN)


def test_a_limit_at_or_above_the_size_is_no_limit() -> None:
    whole = key(edited(PLAN, {}, ["run.limit"]))
    assert key(edited(PLAN, {"run.limit": SIZE})) == whole
    assert key(edited(PLAN, {"run.limit": SIZE + 1})) == whole
    assert key(edited(PLAN, {"run.limit": SIZE - 1})) != whole


SHA = "a" * 64
PINNED_MODEL: Object = {"timm": "x", "checkpoint": {"embedded": "w", "sha256": SHA}}
HUB_MODEL: Object = {"hub": {"id": "a/b", "revision": "a" * 40}}
FOLDER: Object = {"imageFolder": {"path": "/data"}}


@pytest.mark.parametrize(
    ("model", "dataset", "image", "pinned"),
    [
        (PINNED_MODEL, {"embedded": {"name": "d"}}, IMAGE, True),
        (HUB_MODEL, {**FOLDER, "revision": "v1"}, IMAGE, True),
        ({"timm": "x"}, {"embedded": {"name": "d"}}, IMAGE, False),
        (PINNED_MODEL, FOLDER, IMAGE, False),
        (PINNED_MODEL, {"embedded": {"name": "d"}}, "runner:latest", False),
    ],
    ids=["by digest", "by commit", "weights may move", "data may move", "image may move"],
)
def test_only_what_is_pinned_is_reused(
    model: Object, dataset: Object, image: str, pinned: Any
) -> None:
    assert is_pinned([ModelSpec.read(model)], [DatasetSpec.read(dataset)], image) is pinned
