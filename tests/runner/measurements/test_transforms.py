"""Invariance, alignment and equivariance: on paper, against scikit-learn, and what is not one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn.functional import cosine_similarity

from interplay_runner.measurement import IDENTITY, Output, UnmeasurableError, Value, View
from interplay_runner.measurements import linear_map
from interplay_runner.measurements.alignment import Alignment
from interplay_runner.measurements.equivariance import Equivariance, halves
from interplay_runner.measurements.invariance import Invariance
from interplay_runner.views import apply_view
from tests.runner.measurements.builders import ids, info, make, number, stream

SEED = 20240605
BASE, TURNED = View.of("rotate", deg=0), View.of("rotate", deg=30)


def normal(n: int, d: int, seed: int = SEED) -> Tensor:
    print("seed", seed)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


def both(x: Tensor, y: Tensor, rows: int = 7) -> dict[str, Value]:
    """All values of features x before and y after, without the words that they share."""
    turn, features = {"op": "rotate", "magnitudes": [30]}, {BASE: x, TURNED: y}
    out = stream(make(Invariance, **turn), features, rows=rows)
    out |= stream(make(Equivariance, **turn), features, rows=rows)
    return {k.removeprefix("rotation_").removesuffix("_deg30"): v for k, v in out.items()}


def test_a_constant_move_is_equivariant_and_not_invariant() -> None:
    x = normal(300, 12)
    got = both(x, x + 4 * torch.ones(12, dtype=torch.float64))
    assert number(got["equivariance"]) == pytest.approx(1, abs=1e-9)
    assert number(got["equivariance_r2"]) > 0.999
    assert number(got["equivariance_gain"]) > 0.999
    assert number(got["invariance"]) < 0.5
    assert number(got["invariance_centred"]) == pytest.approx(1, abs=1e-9)


def test_an_orthogonal_map_is_equivariant_by_the_map_alone() -> None:
    x = normal(300, 12)
    q = torch.linalg.qr(normal(12, 12, 1))[0]
    got = both(x, x @ q)
    assert number(got["equivariance_r2"]) > 0.999
    assert number(got["equivariance_gain"]) > 0.999
    assert abs(number(got["equivariance"])) < 0.05
    assert abs(number(got["invariance_centred"])) < 0.4


def test_nothing_moves_is_invariance_one_and_no_equivariance() -> None:
    x = normal(300, 12).abs()
    got = both(x, x)
    assert number(got["invariance"]) == pytest.approx(1)
    assert number(got["invariance_centred"]) == pytest.approx(1)
    assert got["equivariance"].reason == "the transform does not move the features"
    assert got["equivariance_gain"].reason == "the transform does not move the features"
    assert number(got["equivariance_r2"]) > 0.999
    still = both(x.float(), x.float() * (1 + 1e-7))
    assert still["equivariance"].reason == "the transform does not move the features"


def test_unrelated_features_show_nothing_once_baselines_are_off() -> None:
    x, y = normal(400, 12).abs(), normal(400, 12, 1).abs()
    got = both(x, y)
    assert got["invariance"].null == pytest.approx(number(got["invariance"]), abs=0.02)
    assert number(got["invariance"]) > 0.5
    assert abs(number(got["invariance_centred"])) < 0.1
    assert abs(number(got["invariance_gain"])) < 0.02
    assert number(got["equivariance_r2"]) < 0.05


def test_cosines_are_torchs_and_the_baselines_are_their_definitions() -> None:
    x, y = normal(80, 5), normal(80, 5) + 0.3 * normal(80, 5, 1)
    got = both(x, y)
    cos = cosine_similarity(x[:, None], y[None], dim=2)
    off = ~torch.eye(80, dtype=torch.bool)
    assert number(got["invariance"]) == pytest.approx(float(cos.diagonal().mean()))
    assert got["invariance"].null == pytest.approx(float(cos[off].mean()))
    rng = np.random.default_rng(SEED)
    shuffled = torch.stack(
        [cosine_similarity(x, y[:, rng.permutation(5)], dim=1).mean() for _ in range(4000)]
    )
    expected = float(cos.diagonal().mean() - shuffled.mean())
    assert number(got["invariance_gain"]) == pytest.approx(expected, abs=0.01)
    c, e = x - x.mean(0), y - y.mean(0)
    centred = float((c * e).sum() / (c.norm() * e.norm()))
    assert number(got["invariance_centred"]) == pytest.approx(centred)
    d = torch.nn.functional.normalize(y - x, dim=1)
    assert number(got["equivariance"]) == pytest.approx(float((d @ d.T)[off].mean()))


def test_the_linear_map_is_sklearns_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    x, noise = normal(240, 6), normal(240, 6, 1)
    y = x @ normal(6, 6, 2) + 0.5 * noise + 2
    monkeypatch.setattr(linear_map, "RIDGES", (0.1,))
    got = both(x, y)
    a, b = halves(ids(240))
    centred = x[a] - x[a].mean(0)
    alpha = 0.1 * float(centred.square().sum() / 6)
    predicted = Ridge(alpha=alpha).fit(x[a].numpy(), y[a].numpy()).predict(x[b].numpy())
    residual = float(((y[b].numpy() - predicted) ** 2).sum())
    total = float((y[b] - y[b].mean(0)).square().sum())
    assert number(got["equivariance_r2"]) == pytest.approx(1 - residual / total, abs=1e-9)
    moved = float((y[b] - x[b]).square().sum())
    assert number(got["equivariance_gain"]) == pytest.approx(1 - residual / moved, abs=1e-9)


def test_the_penalty_keeps_many_features_of_few_images_honest() -> None:
    x = normal(120, 90)
    unrelated = both(x, normal(120, 90, 1))
    assert -0.2 < number(unrelated["equivariance_r2"]) < 0.05
    low = normal(120, 3, 2)
    related = both(low @ normal(3, 90, 3) + 0.01 * x, low @ normal(3, 90, 4))
    assert number(related["equivariance_r2"]) > 0.95


def test_more_features_than_directions_are_projected() -> None:
    low = normal(200, 10)
    x, y = low @ normal(10, 400, 1), low @ normal(10, 400, 2)
    assert number(both(x, y)["equivariance_r2"]) > 0.99


def test_the_two_are_not_one_number() -> None:
    """Neither tells the other where moves, turns and noise of the features vary freely."""
    rng = np.random.default_rng(SEED)
    rows = []
    for i in range(30):
        x, own = normal(100, 8, SEED + i), normal(100, 8, SEED - i - 1)
        half = torch.from_numpy(rng.normal(size=(8, 8))) * rng.uniform(0, 0.6)
        turn = torch.linalg.matrix_exp(half - half.T)
        move = torch.from_numpy(rng.normal(size=8)) * rng.uniform(0, 2)
        got = both(x, x @ turn + move + rng.uniform(0, 1) * own, rows=100)
        rows.append([number(v) for v in got.values()])
    invariance = [i for i, name in enumerate(got) if name.startswith("invariance")]
    equivariance = [i for i, name in enumerate(got) if name.startswith("equivariance")]
    rank = np.abs(spearmanr(np.array(rows)).statistic)
    assert rank[np.ix_(invariance, equivariance)].max() < 0.9


def test_constant_zero_and_few_are_absent_with_a_reason() -> None:
    constant = torch.ones(60, 4)
    got = both(constant, constant * 2)
    assert number(got["invariance"]) == 1
    assert got["invariance_centred"].reason == "the features do not vary"
    assert got["equivariance_r2"].reason == "the features do not vary"
    assert number(got["equivariance"]) == pytest.approx(1)
    dead = both(torch.zeros(60, 4), torch.zeros(60, 4))
    assert dead["invariance"].reason == "all features are zero"
    assert all(v.value is None for v in dead.values())
    assert all(v.value is None for v in both(normal(1, 4), normal(1, 4, 1)).values())
    six = both(normal(6, 4), normal(6, 4, 1))
    assert {k for k, v in six.items() if v.value is not None} == {"invariance", "invariance_gain"}


def test_intervals_of_the_map_cover() -> None:
    weight, draws = normal(6, 6, 1), []
    for i in range(40):
        x = normal(200, 6, SEED + i)
        y = x @ weight + 2 * normal(200, 6, SEED - i - 1)
        draws.append(both(x, y, rows=100)["equivariance_r2"])
    truth = np.mean([number(v) for v in draws])
    hits = sum(v.low <= truth <= v.high for v in draws if v.low is not None and v.high is not None)
    assert hits >= 35


def test_views_and_names() -> None:
    shift = make(Invariance, op="shift", magnitudes=[0, 2])
    assert shift.need(info()).views == (IDENTITY, View.of("shift", dx=2))
    x = normal(40, 4)
    got = stream(shift, {IDENTITY: x, View.of("shift", dx=2): x})
    assert set(got) == {
        f"shift_invariance{kind}_px{m}" for kind in ("", "_gain", "_centred") for m in (0, 2)
    }
    assert make(Equivariance, op="rotate", magnitudes=[30]).need(info()).views == (BASE, TURNED)


@pytest.mark.parametrize(
    ("op", "none", "some", "view", "metric"),
    [
        ("rotate", 0, 30, TURNED, "rotation_invariance_deg30"),
        ("shift", 0, 2, View.of("shift", dx=2), "shift_invariance_px2"),
        ("scale", 1, 1.5, View.of("zoom", factor=1.5), "scale_invariance_factor1p5"),
        ("brightness", 1, 2, View.of("light", factor=2), "brightness_invariance_factor2"),
        ("hue", 0, 90, View.of("hue", deg=90), "hue_invariance_deg90"),
        ("blur", 0, 0.7, View.of("blur", sigma=0.7), "blur_invariance_sigma0p7"),
    ],
)
def test_each_transform_has_a_base_that_it_does_not_change(
    op: str, none: float, some: float, view: View, metric: str
) -> None:
    measurement = make(Invariance, op=op, magnitudes=[none, some])
    base = BASE if op == "rotate" else IDENTITY
    assert measurement.need(info()).views == (base, view)
    assert measurement.params.metric("invariance", some) == metric
    images = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    assert torch.equal(apply_view(base, images, ids(2), 0)[:, :, 4, 4], images[:, :, 4, 4])
    assert not torch.equal(apply_view(view, images, ids(2), 0), images)


def test_grey_images_have_no_hue() -> None:
    grey = replace(info(), input_size=(1, 8, 8))
    for kind in (Invariance, Equivariance, Alignment):
        with pytest.raises(UnmeasurableError, match="no hue"):
            make(kind, op="hue", magnitudes=[90]).need(grey)
        make(kind, op="blur", magnitudes=[1]).need(grey)


def test_alignment_is_its_definition_and_at_two_tied_to_invariance() -> None:
    x, y = normal(80, 5), normal(80, 5) + 0.5 * normal(80, 5, 1)
    y[7] = 0
    turn = {"op": "rotate", "magnitudes": [30]}
    got = stream(make(Alignment, **turn), {BASE: x, TURNED: y})["rotation_alignment_alpha2_deg30"]
    invariance = both(x, y)["invariance"]
    assert number(got) == pytest.approx(2 - 2 * number(invariance))
    assert got.null == pytest.approx(2 - 2 * float(invariance.null or 0))
    assert got.n == invariance.n == 79
    one = stream(make(Alignment, **turn, alpha=1), {BASE: x, TURNED: y})
    kept = [i for i in range(80) if i != 7]
    unit = [torch.nn.functional.normalize(z[kept], dim=1) for z in (x, y)]
    value = one["rotation_alignment_alpha1_deg30"]
    assert number(value) == pytest.approx(float((unit[0] - unit[1]).norm(dim=1).mean()))
    same = stream(make(Alignment, **turn), {BASE: x, TURNED: 3 * x})
    assert number(same["rotation_alignment_alpha2_deg30"]) == pytest.approx(0, abs=1e-12)
    dead = stream(make(Alignment, **turn), {BASE: 0 * x, TURNED: x})
    assert dead["rotation_alignment_alpha2_deg30"].reason == "all features are zero"


def test_what_is_kept_of_each_image_is_what_the_mean_is_of() -> None:
    x, y = normal(40, 5), normal(40, 5, 1)
    x[3] = 0
    turn = {"op": "rotate", "magnitudes": [30]}
    outputs = {v: Output(z, z) for v, z in ((BASE, x), (TURNED, y))}
    for kind, metric in ((Invariance, "invariance"), (Alignment, "alignment_alpha2")):
        measurement = make(kind, **turn)
        value = stream(measurement, {BASE: x, TURNED: y})[f"rotation_{metric}_deg30"]
        (column,) = measurement.samples(ids(40), torch.zeros(40), outputs).values()
        assert np.isnan(column[3])
        assert number(value) == pytest.approx(float(np.nanmean(column.astype(float))))


@pytest.mark.parametrize(
    ("op", "magnitudes"),
    [
        ("rotate", []),
        ("shift", [1.5]),
        ("zoom", [1]),
        ("rotate", [30, 30.0]),
        ("rotate", [-5]),
        ("scale", [0.5]),
        ("brightness", [0]),
        ("blur", [65]),
    ],
)
def test_bad_parameters_are_refused(op: str, magnitudes: list[float]) -> None:
    with pytest.raises(ValidationError, match=r"op|magnitudes"):
        make(Invariance, op=op, magnitudes=magnitudes)
