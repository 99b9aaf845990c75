"""`logits: Mapped` and `resize: Never`, from folders of images to values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.library import ModelSpec
from interplay_api.names import digest
from interplay_api.plan import Cell, Plan, PlanDataset, PlanModel, RunSettings
from interplay_runner.data import open_source
from interplay_runner.data.embedded import DigitsSource
from interplay_runner.errors import DataError
from interplay_runner.models import load_model
from interplay_runner.run import run_plan

MODEL = "digits-efficientnet-plain"
FOLDERS = {"one": [1], "three": [3], "round": [8, 6, 9]}
"""The last one holds eights, and any of three classes is right for it."""


def model() -> PlanModel:
    entry = Catalog([builtin_layer()]).find("Model", MODEL)
    assert entry is not None
    return PlanModel(name=MODEL, spec=ModelSpec.model_validate(entry.spec))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 digits for each folder, turned by 90 degrees so that the model errs."""
    digits = DigitsSource("digits", "test")
    for name, (label, *_) in FOLDERS.items():
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        images = (digits.load(i) for i in range(len(digits.ids)))
        chosen = [image for image, c in images if c == label][:40]
        for number, image in enumerate(chosen):
            image.rotate(90).save(folder / f"{number}.png")
    return tmp_path


def dataset(logits: str) -> PlanDataset:
    spec = {
        "imageFolder": {"path": "/set"},
        "labelSets": FOLDERS,
        "logits": logits,
        "numClasses": 10,
    }
    return PlanDataset.model_validate({"name": "part", "spec": spec})


def measured(item: PlanDataset, root: Path) -> dict[str, float | None]:
    cells = [
        Cell(
            measurement=name,
            dataset="part",
            entry_point=name,
            category="benefit",
            numerics=1,
            parameters={"ks": [1, 2]},
            key=digest(name),
        )
        for name in ("top-k", "any-label-top-k")
    ]
    settings = RunSettings(device="cpu", batch_size=32)
    report = run_plan(Plan(model=model(), datasets=[item], cells=cells, run=settings), root=root)
    return {v.metric: v.value for cell in report.cells for v in cell.values}


@pytest.mark.parametrize("logits", ["All", "Mapped"])
def test_accuracy_is_numpys_argmax_over_the_competing_classes(root: Path, logits: str) -> None:
    item = dataset(logits)
    source, loaded = open_source(item, root), load_model(model(), "cpu", "fp32")
    samples = [source.load(i) for i in range(len(source.ids))]
    with torch.no_grad():
        images = torch.stack([loaded.transform(image) for image, _ in samples])
        scores = loaded.network.forward(images).logits.numpy()
    classes = np.array([1, 3, 6, 8, 9] if logits == "Mapped" else range(10))
    order = classes[np.argsort(-scores[:, classes], axis=1, kind="stable")]
    labels = np.array([label for _, label in samples])
    sets = source.label_sets
    assert sets is not None
    got = measured(item, root)
    for k in (1, 2):
        top = [row[:k] for row in order]
        one = np.mean([y in row for y, row in zip(labels, top, strict=True)])
        some = np.mean([bool({*s} & {*row}) for s, row in zip(sets, top, strict=True)])
        assert got[f"top{k}"] == pytest.approx(one, abs=1e-9)
        assert got[f"any_top{k}"] == pytest.approx(some, abs=1e-9)
        assert one < some < 1


def test_resize_never_refuses_another_size_and_takes_its_own_as_it_is(root: Path) -> None:
    spec = dataset("All").spec.model_copy(update={"resize": "Never"})
    item = PlanDataset(name="part", spec=spec)
    with pytest.raises(DataError, match="8 x 8 pixels, not 32 x 32"):
        measured(item, root)
    rng = np.random.default_rng(0)
    for path in (root / "set").rglob("*.png"):
        with Image.open(path) as image:
            large = np.kron(np.asarray(image), np.ones((4, 4)))
        noisy = np.clip(large + rng.normal(0, 20, large.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(path)
    source, loaded = open_source(item, root), load_model(model(), "cpu", "fp32")
    samples = [source.load(i) for i in range(len(source.ids))]
    mode = "RGB" if loaded.network.info.input_size[0] == 3 else "L"
    pixels = [np.asarray(x.convert(mode), dtype=np.float32).reshape(32, 32, -1) for x, _ in samples]
    images = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2) / 255)
    with torch.no_grad():
        said = loaded.network.forward(images).logits.numpy().argmax(axis=1)
    top1 = np.mean(said == [label for _, label in samples])
    assert measured(item, root)["top1"] == pytest.approx(top1, abs=1e-9)
