"""Neural collapse: a perfect simplex, definitions rewritten, the null on paper, the interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from interplay_runner.measurement import OWN, Head, Value
from interplay_runner.measurements.collapse import NeuralCollapse
from tests.runner.measurements.builders import covers, info, make, number, table, values

SEED = 20240617
Array = npt.NDArray[np.float64]
GEOMETRY = ("nc1_variability", "nc2_norms", "nc2_angles", "nc3_duality")


def collapse(
    z: Array, y: npt.NDArray[np.int64], weight: Array | None, logits: Array | None = None
) -> dict[str, Value]:
    """What the measurement says of features, labels and classifier."""
    classes = 3 if weight is None else len(weight)
    model = info(features=z.shape[1], classes=classes)
    if weight is not None:
        head = Head(torch.from_numpy(weight).float(), torch.zeros(classes))
        model = replace(model, head=head)
        logits = z @ weight.T if logits is None else logits
    given = np.zeros((len(z), classes)) if logits is None else logits
    return values(make(NeuralCollapse).compute({OWN: table(given, y, z)}, model))


def simplex(classes: int, d: int) -> Array:
    """Rows of equal length at equal and widest angles, turned at random, float64 [classes, d]."""
    centred = np.eye(classes) - 1 / classes
    turn, _ = np.linalg.qr(np.random.default_rng(SEED).normal(size=(d, d)))
    rows: Array = centred @ turn[:classes]
    return rows


def noisy(n: int, seed: int, noise: float = 0.3) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Features of 6 uneven classes in 9 dimensions around a far centre, labels, a classifier."""
    print("seed", seed)
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(SEED)
    means = fixed.normal(size=(6, 9)) + 4
    y = rng.choice(6, size=n, p=np.array([1, 1, 2, 2, 3, 3]) / 12)
    spread = fixed.normal(size=(9, 9)) * noise
    return means[y] + rng.normal(size=(n, 9)) @ spread, y, means + fixed.normal(size=(6, 9)) / 4


def test_a_perfect_simplex_is_fully_collapsed() -> None:
    means, y = simplex(5, 12), np.arange(200) % 5
    got = collapse(3 * means[y] + 2, y, 0.5 * means, logits=10 * means[y] @ means.T)
    for name in GEOMETRY:
        value = got[name]
        assert [value.value, value.low, value.high] == pytest.approx([0, 0, 0], abs=1e-6), name
        assert value.method == "jackknife"
    assert number(got["nc4_nearest_mean"]) == 1
    assert got["nc4_nearest_mean"].method == "wilson"


def test_each_part_of_collapse_is_told_apart() -> None:
    means, y = simplex(4, 8), np.arange(80) % 4
    long = means * np.array([[1], [1], [1], [3.0]])
    got = collapse(long[y], y, means)
    centred = long - long.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    assert number(got["nc1_variability"]) == pytest.approx(0, abs=1e-9)
    assert number(got["nc2_norms"]) == pytest.approx(lengths.std() / lengths.mean(), abs=1e-6)
    opposite = collapse(means[y], y, -means)
    assert number(opposite["nc3_duality"]) == pytest.approx(2)
    assert number(opposite["nc4_nearest_mean"]) == 0


def test_random_features_by_definition() -> None:
    z, y, weight = noisy(300, SEED)
    z = z.astype(np.float32).astype(np.float64)
    mu = np.stack([z[y == c].mean(axis=0) for c in range(6)])
    within = np.mean([np.cov(z[y == c].T, bias=True) for c in range(6)], axis=0)
    m = mu - mu.mean(axis=0)
    between = m.T @ m / 6
    got = collapse(z, y, weight)
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / 6
    assert number(got["nc1_variability"]) == pytest.approx(expected, rel=1e-8)
    lengths = np.linalg.norm(m, axis=1)
    assert number(got["nc2_norms"]) == pytest.approx(lengths.std() / lengths.mean(), rel=1e-8)
    cosines = (m / lengths[:, None]) @ (m / lengths[:, None]).T
    gaps = [abs(cosines[i, j] + 1 / 5) for i in range(6) for j in range(6) if i != j]
    assert number(got["nc2_angles"]) == pytest.approx(np.mean(gaps), rel=1e-8)
    w = weight.astype(np.float32).astype(np.float64)
    gap = np.linalg.norm(w / np.linalg.norm(w) - m / np.linalg.norm(m))
    assert number(got["nc3_duality"]) == pytest.approx(gap, rel=1e-6)
    nearest = np.linalg.norm(z[:, None] - mu, axis=2).argmin(axis=1)
    said = (z @ weight.T).astype(np.float32).argmax(axis=1)
    assert number(got["nc4_nearest_mean"]) == pytest.approx((nearest == said).mean())
    assert {v.n for v in got.values()} == {300}


def test_more_classes_than_dimensions_have_a_pseudoinverse_too() -> None:
    rng, y = np.random.default_rng(SEED), np.arange(400) % 20
    z = (rng.normal(size=(20, 5))[y] + rng.normal(size=(400, 5))).astype(np.float32).astype(float)
    mu = np.stack([z[y == c].mean(axis=0) for c in range(20)])
    m, residual = mu - mu.mean(axis=0), z - mu[y]
    expected = np.trace(residual.T @ residual / 400 @ np.linalg.inv(m.T @ m / 20)) / 20
    got = collapse(z, y, rng.normal(size=(20, 5)))
    assert number(got["nc1_variability"]) == pytest.approx(expected, rel=1e-6)


def test_shift_and_scale_change_nothing() -> None:
    z, y, weight = noisy(240, SEED)
    logits = z @ weight.T
    one, other = collapse(z, y, weight, logits), collapse(5 * z - 9, y, weight, logits)
    for name in GEOMETRY:
        assert number(other[name]) == pytest.approx(number(one[name]), abs=1e-5)


def test_null_is_what_unrelated_labels_show() -> None:
    rng = np.random.default_rng(SEED)
    n, c, d = 300, 10, 200
    z, y = rng.normal(size=(n, d)), np.arange(n) % c
    got = collapse(z, y, rng.normal(size=(c, d)))
    # Inverse Wishart: E tr((m'm)^+) = (n / C) (C - 1) / (d - C), and S_W has lost 1 of n / C.
    paper = (n / c - 1) * (c - 1) / (d - c)
    assert number(got["nc1_variability"]) == pytest.approx(paper, rel=0.15)
    assert got["nc1_variability"].null == pytest.approx(paper, rel=0.1)
    assert got["nc3_duality"].null == pytest.approx(math.sqrt(2), abs=0.05)
    assert got["nc4_nearest_mean"].null == pytest.approx(0.1, abs=0.04)


def test_intervals_cover() -> None:
    draws = [collapse(*noisy(240, SEED + i)) for i in range(50)]
    for name in GEOMETRY:
        truth = float(np.mean([number(d[name]) for d in draws]))
        assert sum(covers(d[name], truth) for d in draws) >= 43, name


def test_rare_classes_are_left_out_and_two_lie_opposite() -> None:
    z, y, weight = noisy(200, SEED)
    whole = collapse(z, y, weight)
    z2 = np.concatenate([z, [[99.0] * 9]])
    lonely = collapse(z2, np.append(y, 6), np.concatenate([weight, weight[:1]]))
    assert number(lonely["nc1_variability"]) == pytest.approx(number(whole["nc1_variability"]))
    assert lonely["nc4_nearest_mean"].n == 201
    two = collapse(z, y % 2, weight[:2])
    assert two["nc2_norms"].reason == "two means always lie opposite of each other"
    assert number(two["nc1_variability"]) > 0


def test_one_class_few_samples_and_no_head_are_absent_with_a_reason() -> None:
    z, y, weight = noisy(120, SEED)
    for n in (0, 1, 120):
        one = collapse(z[:n], 0 * y[:n], weight)
        assert {v.value for v in one.values()} == {None}
        assert "2 are needed" in str(one["nc1_variability"].reason)
    headless = collapse(z, y % 3, None)
    assert headless.pop("nc3_duality").reason == "the logits are not a linear map of the features"
    assert all(v.value is not None for v in headless.values())
    few = collapse(z[:15], np.arange(15) % 3, weight[:3])
    assert "too few for a jackknife" in str(few["nc1_variability"].reason)
    same = collapse(np.full((60, 9), 0.3), np.arange(60) % 3, weight[:3])
    assert same["nc1_variability"].reason == "all classes have the same mean"
