"""Corruptions: scores by definition, clusters of one image, AlexNet's errors, stored images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from interplay_api.library import DatasetSpec
from interplay_runner.corruptions.constants import (
    ALEXNET_CLEAN,
    ALEXNET_ERROR,
    COMMON,
    EXTRA,
    SEVERITIES,
)
from interplay_runner.data.folder import ImageFolderSource
from interplay_runner.intervals import wilson
from interplay_runner.measurement import IDENTITY, Record, UnmeasurableError, View
from interplay_runner.measurements.corruption import (
    CLEAN,
    Cell,
    CorruptionColumns,
    Corruptions,
    against_alexnet,
    scores,
)
from interplay_runner.models.preprocess import exact_transform_of, transform_of
from interplay_runner.views import apply_view
from tests.runner.measurements.builders import Linear, confident, info, make, number, record, values

SEED = 20240917
KEYS: list[tuple[str, int]] = [(k, s) for k in COMMON for s in SEVERITIES]
ALEXNET: dict[str, float] = dict(ALEXNET_ERROR.items())
Wrong = Mapping[tuple[str, int], npt.NDArray[np.bool_]]


def outcome(wrong: npt.NDArray[np.bool_]) -> Record:
    return confident(np.full(len(wrong), 0.5), ~wrong)


def random_wrong(n: int, rng: np.random.Generator) -> dict[tuple[str, int], npt.NDArray[np.bool_]]:
    """Some images are harder than others, under whatever corruption."""
    hard = rng.beta(1, 2, size=n)
    return {key: rng.random(n) < hard for key in [*KEYS, CLEAN]}


def cells_of(wrong: Wrong) -> dict[tuple[str, int], Cell]:
    return {key: Cell(np.arange(len(w)), w) for key, w in wrong.items()}


def test_every_score_is_its_definition() -> None:
    print("seed", SEED)
    wrong = random_wrong(200, np.random.default_rng(SEED))
    got = values(
        scores(cells_of(wrong), COMMON, SEVERITIES, detail=True)
        | against_alexnet(cells_of(wrong), COMMON, SEVERITIES, 1000)
    )
    error = {c: np.array([wrong[c, s].mean() for s in SEVERITIES]) for c in COMMON}
    for c in COMMON:
        assert number(got[f"corruption_top1_{c}"]) == pytest.approx(1 - error[c].mean(), abs=1e-12)
        for s in SEVERITIES:
            one = got[f"corruption_top1_{c}_severity{s}"]
            assert (one.value, one.low, one.high) == wilson(int((~wrong[c, s]).sum()), 200)
    mean = np.mean([error[c].mean() for c in COMMON])
    assert number(got["corruption_error"]) == pytest.approx(mean, abs=1e-12)
    assert number(got["corruption_top1"]) == pytest.approx(1 - mean, abs=1e-12)
    alexnet = {c: np.full(5, ALEXNET[c]) for c in COMMON}
    clean = wrong[CLEAN].mean()
    mce = np.mean([error[c].sum() / alexnet[c].sum() for c in COMMON])
    relative = [(error[c] - clean).sum() / (alexnet[c] - ALEXNET_CLEAN).sum() for c in COMMON]
    assert number(got["corruption_mce"]) == pytest.approx(mce, abs=1e-12)
    assert number(got["corruption_relative_mce"]) == pytest.approx(np.mean(relative), abs=1e-12)


def test_resnet50_from_its_published_corruption_errors() -> None:
    """Per-corruption CE of ResNet-50 in percent give its published mCE and relative mCE."""
    published: dict[str, float] = dict(
        zip(
            COMMON,
            [
                79.8,
                81.6,
                82.6,
                74.7,
                88.6,
                78,
                79.9,
                77.8,
                74.8,
                66.1,
                56.6,
                71.4,
                84.8,
                76.9,
                76.8,
            ],
            strict=True,
        )
    )
    n, ranks = 20_000, np.arange(20_000)
    wrong = {(c, s): ranks < round(n * published[c] / 100 * ALEXNET[c]) for c, s in KEYS} | {
        CLEAN: ranks < 0.2387 * n
    }
    got = values(against_alexnet(cells_of(wrong), COMMON, SEVERITIES, 1000))
    assert number(got["corruption_mce"]) == pytest.approx(0.767, abs=5e-4)
    assert number(got["corruption_relative_mce"]) == pytest.approx(1.050, abs=2e-3)
    half = number(got["corruption_mce"]) - (got["corruption_mce"].low or 0)
    assert 0.003 < half < 0.01


def test_alexnet_itself_is_one() -> None:
    n, ranks = 20_000, np.arange(20_000)
    wrong = {(c, s): ranks < round(n * ALEXNET[c]) for c, s in KEYS}
    wrong[CLEAN] = ranks < round(n * ALEXNET_CLEAN)
    got = values(against_alexnet(cells_of(wrong), COMMON, SEVERITIES, 1000))
    assert number(got["corruption_mce"]) == pytest.approx(1, abs=1e-4)
    assert number(got["corruption_relative_mce"]) == pytest.approx(1, abs=1e-3)


def test_the_interval_of_images_missing_here_and_there_is_the_jackknifes() -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    wrong = random_wrong(300, rng)
    keep = {key: rng.random(300) < 0.7 for key in KEYS}
    images = np.arange(300)

    def mce(without: int = -1) -> float:
        rates = [wrong[k][keep[k] & (images != without)].mean() / ALEXNET[k[0]] for k in KEYS]
        return float(np.mean(rates))

    cells = {k: Cell(images[keep[k]], wrong[k][keep[k]]) for k in KEYS}
    got = values(against_alexnet(cells, COMMON, SEVERITIES, 1000))["corruption_mce"]
    assert number(got) == pytest.approx(mce(), abs=1e-12)
    left = np.array([mce(i) for i in range(300)])
    error = np.sqrt(299 / 300 * ((left - left.mean()) ** 2).sum())
    assert got.high is not None
    assert (got.high - number(got)) / 1.968 == pytest.approx(error, rel=0.02)


def test_the_interval_covers_although_images_repeat() -> None:
    """Over 40 images x 75 views: 93 to 97 % by images, where counting samples covers a third."""
    print("seed", SEED)
    rng, hits, naive, runs = np.random.default_rng(SEED), 0, 0, 300
    for _ in range(runs):
        wrong = random_wrong(40, rng)
        top = scores(cells_of({k: wrong[k] for k in KEYS}), COMMON, SEVERITIES)["corruption_top1"]
        assert top.low is not None
        assert top.high is not None
        hits += top.low <= 2 / 3 <= top.high
        right = sum(int((~wrong[k]).sum()) for k in KEYS)
        _, low, high = wilson(right, 40 * 75)
        naive += low <= 2 / 3 <= high
    assert 0.92 <= hits / runs <= 0.98
    assert naive / runs < 0.6


def test_views_and_stored_rows_are_one_score() -> None:
    print("seed", SEED)
    wrong = random_wrong(30, np.random.default_rng(SEED))
    direct = make(Corruptions, detail=True)
    views = direct.need(info(classes=1000)).views
    assert len(views) == len(set(views)) == 76
    shown = {View.of(c, severity=s, size=224): outcome(wrong[c, s]) for c, s in KEYS}
    assert set(views) == {IDENTITY, *shown}
    expected = values(direct.compute({**shown, IDENTITY: outcome(wrong[CLEAN])}))

    order = np.random.default_rng(1).permutation(30 * 76)
    rows = [(*key, i) for key in [*KEYS, CLEAN] for i in range(30)]
    stored = make(CorruptionColumns, detail=True)
    stored.need(info(classes=1000))
    item = replace(
        outcome(np.concatenate([wrong[k] for k in [*KEYS, CLEAN]])[order]),
        ids=np.array([f"{c}/{s}/n{i % 3}/{i}.png" for c, s, i in rows])[order],
        meta={
            "corruption": np.array([c for c, _, _ in rows])[order],
            "severity": np.array([str(s) for _, s, _ in rows])[order],
        },
    )
    got = values(stored.compute({IDENTITY: item}))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert [got[name].value, got[name].low, got[name].high] == pytest.approx(
            [value.value, value.low, value.high], abs=1e-12
        )
        assert (got[name].n, got[name].method) == (value.n, value.method)


def test_no_second_resize(tmp_path: Path) -> None:
    """Stored at the model's size, images give the very mCE; resized and cropped again another."""
    print("seed", SEED)
    rng, side, n = np.random.default_rng(SEED), 32, 4
    weight = torch.from_numpy(rng.normal(size=(3 * side * side, 1000)).astype(np.float32))
    network = Linear(weight)
    coarse = torch.from_numpy(rng.random((n, 3, 8, 8)).astype(np.float32))
    images = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear")
    labels = network.forward(images).logits.argmax(dim=1).numpy()
    names = [f"{i}" for i in range(n)]
    direct: dict[View, Record] = {IDENTITY: record(network.forward(images).logits, labels)}
    for corruption, severity in KEYS:
        view = View.of(corruption, severity=severity, size=224)
        seen = (apply_view(view, images, names, 0) * 255).round() / 255
        direct[view] = record(network.forward(seen).logits, labels)
        for image, label, name in zip(seen, labels, names, strict=True):
            folder = tmp_path / corruption / str(severity) / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
    measurement = make(Corruptions)
    measurement.need(info(classes=1000))
    expected = number(values(measurement.compute(direct))["corruption_mce"])

    spec = DatasetSpec.model_validate(
        {
            "imageFolder": {"path": str(tmp_path), "levels": ["corruption", "severity"]},
            "numClasses": 1000,
            "labelMap": {str(label): int(label) for label in labels},
        }
    )
    source = ImageFolderSource(spec)
    config = {
        "input_size": (3, side, side),
        "crop_pct": 224 / 256,
        "interpolation": "bilinear",
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
    }
    mce = []
    for transform in (exact_transform_of(config), transform_of(config)):
        decoded = [source.load(i) for i in range(len(source.ids))]
        batch = torch.stack([transform(image) for image, _ in decoded])
        item = record(network.forward(batch).logits, [label for _, label in decoded])
        item = replace(item, ids=np.array(source.ids), meta=source.columns)
        stored = make(CorruptionColumns)
        stored.need(info(classes=1000))
        mce.append(number(values(stored.compute({IDENTITY: item}))["corruption_mce"]))
    assert mce[0] == pytest.approx(expected, abs=1e-12)
    assert abs(mce[1] - expected) > 0.01


def test_extras_are_shown_and_in_no_mean() -> None:
    wrong = {(k, s): np.array([k in EXTRA] * 4) for k in (*COMMON, *EXTRA) for s in SEVERITIES}
    measurement = make(Corruptions, protocol="cifar", extra=True)
    views = measurement.need(info()).views
    assert View.of("spatter", severity=2, size=32) in views
    shown = {View.of(k, severity=s, size=32): outcome(w) for (k, s), w in wrong.items()}
    got = values(measurement.compute({**shown, IDENTITY: outcome(np.zeros(4, dtype=bool))}))
    assert number(got["corruption_top1_spatter"]) == 0
    assert number(got["corruption_top1"]) == 1
    assert (got["corruption_top1"].low, got["corruption_top1"].method) == (
        wilson(4, 4).low,
        "wilson",
    )
    assert "corruption_mce" not in got


@pytest.mark.parametrize(
    ("classes", "kinds", "severities", "reason"),
    [
        (10, COMMON, SEVERITIES, "1000 classes"),
        (1000, COMMON[:14], SEVERITIES, "all 15"),
        (1000, COMMON, (1, 2), "all 5"),
    ],
)
def test_mce_has_its_conditions(
    classes: int, kinds: tuple[str, ...], severities: tuple[int, ...], reason: str
) -> None:
    wrong = random_wrong(10, np.random.default_rng(0))
    got = values(against_alexnet(cells_of(wrong), kinds, severities, classes))
    assert len(got) == 2
    assert all(v.value is None and v.reason and reason in v.reason for v in got.values())


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_samples_are_a_reason(n: int) -> None:
    cells = cells_of({key: np.zeros(n, dtype=bool) for key in [*KEYS, CLEAN]})
    got = values(
        scores(cells, COMMON, SEVERITIES, detail=True)
        | against_alexnet(cells, COMMON, SEVERITIES, 1000)
    )
    for name, value in got.items():
        assert (value.value is None) == (n == 0 or "severity" not in name)


def test_what_a_folder_lacks_is_absent_and_the_rest_is_there() -> None:
    wrong = random_wrong(10, np.random.default_rng(0))
    del wrong["fog", 3], wrong[CLEAN]
    got = values(
        scores(cells_of(wrong), COMMON, SEVERITIES)
        | against_alexnet(cells_of(wrong), COMMON, SEVERITIES, 1000)
    )
    absent = {name for name, v in got.items() if v.reason == "no samples of fog at severity 3"}
    assert absent == {
        "corruption_top1_fog",
        "corruption_top1",
        "corruption_error",
        "corruption_mce",
        "corruption_relative_mce",
    }
    stored = make(CorruptionColumns)
    stored.need(info(classes=1000))
    with pytest.raises(UnmeasurableError, match="column corruption"):
        stored.compute({IDENTITY: outcome(np.zeros(3, dtype=bool))})


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("corruptions", []),
        ("corruptions", ["fog", "fog"]),
        ("corruptions", ["spatter"]),
        ("severities", []),
        ("severities", [0]),
        ("severities", [6]),
        ("severities", [2, 2]),
        ("protocol", "tiny"),
    ],
)
def test_bad_parameters_name_their_field(field: str, given: object) -> None:
    with pytest.raises(ValidationError, match=field):
        make(Corruptions, **{field: given})
