"""Uniformity: on paper, by its definition, and that the jackknife of its pairs covers."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.special import hyp0f1

from interplay_runner.measurement import Value
from interplay_runner.measurements.uniformity import Uniformity
from tests.runner.measurements.builders import info, make, number, table, values

SEED = 20240626


def uniformity(features: np.ndarray) -> Value:
    empty = table(np.zeros((len(features), 2)), np.zeros(len(features), dtype=int), features)
    (value,) = values(make(Uniformity).compute({"": empty}, info())).values()
    return value


def normal(n: int, d: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(SEED + seed).normal(size=(n, d)) + shift


def test_axes_one_direction_and_opposites_are_known() -> None:
    axes = uniformity(5 * np.eye(6))
    assert [axes.value, axes.low, axes.high] == pytest.approx([-4] * 3)  # |u - v|^2 = 2 everywhere
    same = uniformity(np.arange(1, 9)[:, None] * [[0.6, 0.8]])
    assert number(same) == pytest.approx(0, abs=1e-6)
    # Two of each of +1 and -1: two pairs at distance 0, four at 2.
    opposite = uniformity(np.array([[1.0], [1], [-1], [-1]]))
    assert number(opposite) == pytest.approx(math.log((2 + 4 * math.exp(-8)) / 6))


def test_random_directions_reach_the_null_and_tend_to_minus_four() -> None:
    print("seed", SEED)
    for d in (2, 8, 512):
        value = uniformity(normal(1500, d))
        assert value.null == pytest.approx(-4 + math.log(hyp0f1(d / 2, 4)))
        assert number(value) == pytest.approx(value.null, abs=0.01)
        assert value.low <= value.null <= value.high  # type: ignore[operator]
    assert number(value) == pytest.approx(-4, abs=0.02)


def test_pairs_and_jackknife_by_definition() -> None:
    print("seed", SEED)
    x = normal(30, 5, shift=0.4).astype(np.float32).astype(np.float64)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)

    def direct(rows: np.ndarray) -> float:
        pairs = [math.exp(-2 * ((a - b) ** 2).sum()) for a, b in combinations(rows, 2)]
        return math.log(np.mean(pairs))

    without = np.array([direct(np.delete(u, i, axis=0)) for i in range(30)])
    error = math.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    value = uniformity(x)
    assert number(value) == pytest.approx(direct(u), abs=1e-9)
    assert value.high is not None
    # t(29) = 2.045; the engine's jackknife divides by n where this one divides by n - 1.
    assert value.high - number(value) == pytest.approx(2.0452 * error, rel=0.02)


def test_scale_of_an_image_does_not_matter() -> None:
    x = normal(50, 4)
    assert number(uniformity(x)) == pytest.approx(number(uniformity(7 * x)), abs=1e-6)


@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_the_interval_covers(shift: float) -> None:
    print("seed", SEED)
    truth = number(uniformity(normal(6000, 6, 1, shift)))
    found = [uniformity(normal(100, 6, s, shift)) for s in range(2, 202)]
    assert sum(v.low <= truth <= v.high for v in found) >= 182  # type: ignore[operator]


def test_few_samples_and_zero_features_say_why() -> None:
    assert uniformity(normal(3, 4)).reason == "3 samples are too few for a jackknife"
    assert uniformity(normal(0, 4)).reason == "0 samples are too few for a jackknife"
    dead = normal(8, 4)
    dead[2] = 0
    assert uniformity(dead).reason == "1 of 8 samples have features that are all zero"
    need = make(Uniformity).needs(info())[""]
    assert (need.rows, need.labels) == (2048, False)
