"""CKA: on paper, against the n x n definition, its symmetries, and its interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from interplay_runner.measurement import IDENTITY, REFERENCE, UnmeasurableError, Value
from interplay_runner.measurements.cka import Cka, CkaLayers
from tests.runner.measurements.builders import covers, info, make, number, stream

SEED = 20240613


def compare(x: Tensor, y: Tensor, rows: int = 300) -> Value:
    return stream(make(Cka), {IDENTITY: x, REFERENCE: y}, rows=rows)["cka"]


def normal(n: int, d: int, seed: int = SEED) -> Tensor:
    print("seed", seed)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


def hsic(x: Tensor, y: Tensor) -> float:
    """Song's estimator by definition, with all n x n matrices."""
    k, l = ((z.double() @ z.double().T).numpy() for z in (x, y))  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    n, one = len(k), np.ones(len(k))
    cross = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return float((np.trace(k @ l) + cross - 2 / (n - 2) * one @ k @ l @ one) / (n * (n - 3)))


def naive(x: Tensor, y: Tensor) -> float:
    return hsic(x, y) / math.sqrt(hsic(x, x) * hsic(y, y))


def test_a_model_is_like_itself_and_like_its_rotation_shift_and_scale() -> None:
    x = normal(200, 12)
    turn, _ = torch.linalg.qr(normal(12, 12, SEED + 1))
    same = compare(x, x)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    assert same.method == "jackknife"
    assert number(compare(x, x @ turn * -3 + 7)) == pytest.approx(1, abs=1e-6)
    assert number(compare(x, torch.cat([x, x], dim=1))) == pytest.approx(1, abs=1e-6)
    assert number(compare(x, x * torch.linspace(0.1, 3, 12))) < 0.95, "no other linear map"


@pytest.mark.parametrize("shift", [0, 30])
def test_it_is_the_definition_for_random_features(shift: float) -> None:
    x = normal(90, 7) + shift
    y = x[:, :3].relu() @ normal(3, 20, SEED + 1) + normal(90, 20, SEED + 2)
    assert number(compare(x, y, rows=11)) == pytest.approx(naive(x, y), abs=1e-9)
    assert number(compare(y, x)) == pytest.approx(number(compare(x, y)), abs=1e-12)


def test_four_directions_shared_of_eight_on_paper() -> None:
    # With unit variances HSIC is the number of shared directions: 4 / sqrt(8 * 8).
    z = normal(4000, 12)
    value = compare(z[:, :8], z[:, 4:], rows=4000)
    assert number(value) == pytest.approx(0.5, abs=0.02)
    assert covers(value, 0.5)


def test_unrelated_features_are_near_zero_where_the_biased_form_is_not() -> None:
    x, y = normal(600, 256), normal(600, 256, SEED + 1)
    value = compare(x, y)
    assert abs(number(value)) < 0.01
    assert covers(value, 0)
    centred = [z - z.mean(dim=0) for z in (x, y)]
    biased = torch.linalg.norm(centred[0].T @ centred[1]) ** 2
    for z in centred:
        biased /= torch.linalg.norm(z.T @ z)
    assert float(biased) == pytest.approx(0.30, abs=0.01)


def test_it_hardly_depends_on_n() -> None:
    small = [number(compare(*_pair(24, SEED + i))) for i in range(100)]
    large = [number(compare(*_pair(300, SEED + i))) for i in range(20)]
    error = np.std(small) / 10 + np.std(large) / np.sqrt(20)
    assert abs(np.mean(small) - np.mean(large)) < 3 * error + 0.01


def _pair(n: int, seed: int) -> tuple[Tensor, Tensor]:
    z = normal(n, 24, seed)
    return z[:, :16], z[:, 8:].tanh() * 2


def test_intervals_cover() -> None:
    draws = [compare(*_pair(300, SEED + i)) for i in range(60)]
    truth = number(compare(*_pair(40_000, SEED - 1), rows=4000))
    assert sum(covers(v, truth) for v in draws) >= 53


def test_few_constant_and_orthogonal_rows_are_absent_with_a_reason() -> None:
    for n in (1, 3, 12):
        assert "too few" in str(compare(normal(n, 5), normal(n, 5, 1)).reason)
    x = normal(80, 5)
    constant = torch.full((80, 3), 0.7)
    assert compare(x, constant).reason == compare(constant, x).reason
    assert compare(x, constant).reason == "the features do not vary"
    assert "more alike" in str(compare(torch.eye(80), x).reason)


def layered(features: Tensor, layers: dict[str, Tensor]) -> dict[str, Value]:
    return stream(make(CkaLayers), {IDENTITY: features}, layers=layers)


def test_stages_are_compared_with_the_next_and_with_the_features() -> None:
    x, y = normal(100, 6), normal(100, 4, SEED + 1)
    last = torch.cat([x, y], dim=1)
    got = layered(last, {"stem": x, "blocks.0": y, "blocks.1": 2 * last})
    assert [*got] == [
        *(f"cka_features_layer{k}" for k in (1, 2, 3)),
        *(f"cka_next_layer{k}" for k in (1, 2)),
    ]
    assert number(got["cka_features_layer1"]) == pytest.approx(naive(x, last), abs=1e-9)
    assert number(got["cka_features_layer3"]) == pytest.approx(1)
    assert number(got["cka_next_layer1"]) == pytest.approx(naive(x, y), abs=1e-9)
    assert number(got["cka_next_layer2"]) == pytest.approx(naive(y, last), abs=1e-9)


def test_of_many_stages_sixteen_are_taken_evenly() -> None:
    layers = {f"block.{i}": normal(40, 2, SEED + i) for i in range(31)}
    got = layered(normal(40, 3), layers)
    assert len(got) == 16 + 15
    chosen = [layers[f"block.{2 * i}"] for i in range(16)]
    for k in (1, 2, 15):
        assert number(got[f"cka_next_layer{k}"]) == pytest.approx(
            naive(chosen[k - 1], chosen[k]), abs=1e-9
        )


def test_what_cannot_be_compared_is_refused_before_the_run() -> None:
    with pytest.raises(UnmeasurableError, match="referenceModel"):
        make(Cka).need(info())
    wide = replace(info(features=4000), reference=info(features=4000))
    with pytest.raises(UnmeasurableError, match="48000000 sums per block"):
        make(Cka).need(wide)
    with pytest.raises(UnmeasurableError, match="sums per block"):
        make(CkaLayers).need(replace(info(features=4000), layers={"a": 4000, "b": 4000}))


def test_the_largest_common_models_fit() -> None:
    resnet50 = {"act1": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
    model = replace(info(features=2048), reference=info(features=2048), layers=resnet50)
    assert make(Cka).need(model)
    assert make(CkaLayers).need(model)
