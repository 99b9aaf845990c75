"""Sparsity: on paper, by definition on random features, and that n = 0 and dead units are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from interplay_runner.measurement import IDENTITY, UnmeasurableError, Value
from interplay_runner.measurements.sparsity import Sparsity
from tests.runner.measurements.builders import covers, info, make, number, stream

SEED = 20240611


def sparsity(features: Tensor, **parameters: object) -> dict[str, Value]:
    return stream(make(Sparsity, **parameters), {IDENTITY: features})


def normal(n: int, d: int, seed: int = SEED) -> Tensor:
    print("seed", seed)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


def test_one_active_unit_is_one_and_equal_units_are_zero() -> None:
    one = sparsity(torch.eye(8).repeat(20, 1))
    assert number(one["population_sparsity"]) == pytest.approx(1)
    assert number(one["hoyer_sparsity"]) == pytest.approx(1)
    # Each unit answers an eighth of the images, all alike: b = 1/8.
    assert number(one["lifetime_sparsity"]) == pytest.approx((1 - 1 / 8) / (1 - 1 / 160))
    share = one["active_share_theta0"]
    assert (share.value, share.low, share.high, share.n) == (0.125, 0.125, 0.125, 160)
    even = sparsity(torch.full((40, 8), -0.3), thetas=[0, 0.5])
    assert [number(even[k]) for k in even] == pytest.approx([1, 0, 0, 0, 0], abs=1e-12)


def test_an_image_and_a_unit_are_two_views() -> None:
    # Every image fires the same unit: sparse per image, not sparse over a unit's lifetime.
    same = sparsity(torch.eye(8)[:1].repeat(40, 1))
    assert number(same["population_sparsity"]) == pytest.approx(1)
    assert number(same["lifetime_sparsity"]) == pytest.approx(0, abs=1e-12)


def test_random_features_by_definition() -> None:
    x = normal(90, 6).relu() * torch.tensor([1, 1, 2, 3, 0, 1.0])
    x[[4, 50]] = 0
    got = sparsity(x, thetas=[0, 0.5])
    z = x.double().numpy()
    for theta in (0, 0.5):
        key = f"active_share_theta{theta:g}".replace(".", "p")
        assert number(got[key]) == pytest.approx((z > theta).mean())
    rows, units = z[z.any(axis=1)], z[:, z.any(axis=0)]
    ratio = rows.mean(axis=1) ** 2 / (rows**2).mean(axis=1)
    assert number(got["population_sparsity"]) == pytest.approx(((1 - ratio) * 6 / 5).mean())
    hoyer = np.sqrt(6) - rows.sum(axis=1) / np.sqrt((rows**2).sum(axis=1))
    assert number(got["hoyer_sparsity"]) == pytest.approx((hoyer / (np.sqrt(6) - 1)).mean())
    life = (1 - units.mean(axis=0) ** 2 / (units**2).mean(axis=0)) / (1 - 1 / 90)
    assert number(got["lifetime_sparsity"]) == pytest.approx(life.mean())
    assert got["active_share_theta0"].n == 90
    assert got["hoyer_sparsity"].n == len(rows) < 90


def test_scale_changes_only_the_shares_of_other_thetas() -> None:
    x = normal(60, 5).relu()
    one, ten = sparsity(x), sparsity(10 * x)
    same = [k for k in one if number(ten[k]) == pytest.approx(number(one[k]))]
    assert set(one) - set(same) == {f"active_share_theta{t}" for t in ("0p01", "0p1", "1")}


def test_intervals_cover() -> None:
    # a -> (E|z|)^2 / E z^2 = 1 / pi for the rectified normal, over images and over units.
    draws = [sparsity(normal(120, 40, SEED + i).relu()) for i in range(60)]
    for key in ("active_share_theta0", "population_sparsity", "lifetime_sparsity"):
        mean = float(np.mean([number(d[key]) for d in draws]))
        truth = 0.5 if key.startswith("active") else mean
        assert sum(covers(d[key], truth) for d in draws) >= 52, key
    assert truth == pytest.approx(1 - 1 / np.pi, abs=0.01)


def test_nothing_dead_one_and_single_are_absent_with_a_reason() -> None:
    dead = sparsity(torch.zeros(40, 4), thetas=[0])
    assert number(dead.pop("active_share_theta0")) == 0
    assert {v.reason for v in dead.values()} == {"all features are zero"}
    assert {v.n for k, v in dead.items() if k != "lifetime_sparsity"} == {0}
    one = sparsity(torch.ones(1, 4), thetas=[0])
    assert all(v.value is None for v in one.values())
    with pytest.raises(UnmeasurableError, match="one feature"):
        make(Sparsity).need(info(features=1))
