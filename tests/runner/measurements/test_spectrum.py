"""Effective rank and participation ratio: on paper, against numpy, and their intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from interplay_runner.measurement import IDENTITY, StreamMeasurement, UnmeasurableError, Value
from interplay_runner.measurements.spectrum import EffectiveRank, ParticipationRatio
from tests.runner.measurements.builders import info, make, number, stream

SEED = 20240604


def only(kind: type[StreamMeasurement], features: Tensor, rows: int = 7) -> Value:
    measurement = make(kind)
    (value,) = stream(measurement, {IDENTITY: features}, rows=rows).values()
    return value


def normal(n: int, d: int, seed: int = SEED) -> Tensor:
    print("seed", seed)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


def test_equal_directions_count_fully_and_one_counts_once() -> None:
    even = torch.eye(8).repeat(40, 1)
    assert number(only(EffectiveRank, even)) == pytest.approx(8, abs=1e-4)
    single = normal(200, 1) * torch.ones(8)
    assert number(only(EffectiveRank, single)) == pytest.approx(1, abs=2e-4)
    assert number(only(ParticipationRatio, single + 3)) == pytest.approx(1, abs=1e-6)


def test_effective_rank_is_numpys() -> None:
    x = normal(300, 16) * torch.logspace(0, -2, 16) + 0.5
    sigma = np.linalg.svd(x.double().numpy(), compute_uv=False)
    p = sigma / sigma.sum() + 1e-7
    assert number(only(EffectiveRank, x)) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)


def test_participation_ratio_is_the_mean_over_four_different_rows() -> None:
    x = normal(16, 3).double().numpy() ** 3 + 5
    upper = lower = 0.0
    for i, j, k, m in itertools.permutations(range(16), 4):
        a, b = x[i] - x[j], x[k] - x[m]
        upper, lower = upper + (a @ a) * (b @ b), lower + (a @ b) ** 2
    value = only(ParticipationRatio, torch.from_numpy(x))
    assert number(value) == pytest.approx(upper / lower, rel=1e-9)


@pytest.mark.parametrize(("kind", "n"), [(ParticipationRatio, 300), (EffectiveRank, 300)])
def test_intervals_cover(kind: type[StreamMeasurement], n: int) -> None:
    scale = torch.logspace(0, -1, 24)
    draws = [only(kind, normal(n, 24, SEED + i) * scale, rows=300) for i in range(40)]
    if kind is ParticipationRatio:
        truth = float((scale**2).sum() ** 2 / (scale**4).sum())
    else:
        truth = float(np.mean([number(v) for v in draws]))
    hits = sum(v.low <= truth <= v.high for v in draws if v.low is not None and v.high is not None)
    assert hits >= 35


def test_constant_zero_single_and_few_are_absent_or_defined() -> None:
    constant = torch.full((60, 5), 0.7)
    assert number(only(EffectiveRank, constant)) == pytest.approx(1, abs=1e-4)
    assert only(ParticipationRatio, constant).reason == "the features do not vary"
    assert only(EffectiveRank, torch.zeros(60, 5)).reason == "all features are zero"
    for n in (1, 3, 8):
        assert "too few" in str(only(EffectiveRank, normal(n, 5)).reason)
        assert "too few" in str(only(ParticipationRatio, normal(n, 5)).reason)


def test_too_many_features_are_refused_before_the_run() -> None:
    with pytest.raises(UnmeasurableError, match="4097"):
        make(EffectiveRank).need(info(features=4097))
