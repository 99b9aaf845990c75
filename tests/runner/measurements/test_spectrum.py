"""Effective rank and participation ratio: on paper, against numpy, and their intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from interplay_runner.measurement import IDENTITY, StreamMeasurement, UnmeasurableError, Value
from interplay_runner.measurements.spectrum import (
    EffectiveRank,
    ParticipationRatio,
    SpectralDecay,
)
from tests.runner.measurements.builders import covers, info, make, number, stream

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


def decay(features: Tensor, **ranks: int) -> Value:
    (value,) = stream(make(SpectralDecay, **ranks), {IDENTITY: features}, rows=300).values()
    return value


def test_decay_of_a_power_law_is_its_exponent_and_of_a_sphere_nothing() -> None:
    # Rows +-e_k sqrt(lambda_k): the covariance is diagonal with exactly these eigenvalues.
    scale = torch.arange(1, 33, dtype=torch.float64).pow(-0.75)
    x = torch.cat([torch.diag(scale), -torch.diag(scale)]).repeat(40, 1) + 3
    assert number(decay(x, first=2, last=30)) == pytest.approx(1.5, abs=1e-9)
    even = torch.cat([torch.eye(32), -torch.eye(32)]).repeat(40, 1)
    assert number(decay(even, first=1, last=20)) == pytest.approx(0, abs=1e-9)


def test_decay_is_numpys_and_null_is_what_isotropic_features_show() -> None:
    x = normal(300, 40) * torch.logspace(0, -2, 40) + 0.5
    eigenvalues = np.linalg.eigvalsh(np.cov(x.double().numpy().T))[::-1]
    k = np.arange(4, 31)
    a, y = np.stack([np.log(k), np.ones(27)], axis=1), np.log(eigenvalues[3:30])
    slope = np.linalg.solve(a.T @ (a / k[:, None]), a.T @ (y / k))[0]
    assert number(decay(x, first=4, last=30)) == pytest.approx(-slope, rel=1e-9)
    for n, d in ((200, 40), (41, 40), (60, 100)):
        draws = [decay(normal(n, d, SEED + i), first=4, last=30) for i in range(8)]
        assert draws[0].null == pytest.approx(np.mean([number(v) for v in draws]), rel=0.08)


def test_decay_interval_covers() -> None:
    scale = torch.arange(1, 25).pow(-0.5)
    draws = [decay(normal(400, 24, SEED + i) * scale, first=2, last=20) for i in range(40)]
    truth = float(np.mean([number(v) for v in draws]))
    assert sum(covers(v, truth) for v in draws) >= 35


def test_decay_without_enough_images_features_or_directions_is_absent() -> None:
    assert "too few for ranks up to 20" in str(decay(normal(22, 30), first=2, last=20).reason)
    flat = normal(100, 5) @ normal(5, 30, 1)
    assert decay(flat, first=2, last=20).reason == "the features vary in fewer than 20 directions"
    assert "fewer than 20" in str(decay(torch.ones(100, 30), first=2, last=20).reason)
    with pytest.raises(UnmeasurableError, match="20 features are too few"):
        make(SpectralDecay, first=2, last=20).need(info(features=20))
    with pytest.raises(ValueError, match="above first"):
        make(SpectralDecay, first=9, last=9)
