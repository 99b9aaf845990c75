"""The statistics behind every value: against scipy, against definitions, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from interplay_runner.intervals import (
    IntervalError,
    auroc,
    block_jackknife,
    calibration_bound,
    mean_t,
    mean_t_sums,
    null_minimum,
    wilson,
    wilson_simultaneous,
)

SEED = 20240601


@pytest.fixture
def rng() -> np.random.Generator:
    print("seed", SEED)
    return np.random.default_rng(SEED)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 600), (3, 7), (585, 600), (600, 600)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    ours = wilson(k, n)
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert ours == pytest.approx((k / n, theirs.low, theirs.high), abs=1e-12)


def test_mean_is_scipys_from_values_and_from_sums(rng: np.random.Generator) -> None:
    x = 1 - 1e-3 * rng.random(50)
    theirs = stats.ttest_1samp(x, 0).confidence_interval()
    assert mean_t(x) == pytest.approx((x.mean(), theirs.low, theirs.high), abs=1e-12)
    assert mean_t_sums(x.sum(), (x**2).sum(), 50) == pytest.approx(mean_t(x), abs=1e-9)


def test_a_mean_of_nothing_or_one_is_absent() -> None:
    for x in ([], [0.3]):
        with pytest.raises(IntervalError):
            mean_t(x)
        with pytest.raises(IntervalError):
            mean_t_sums(sum(x), sum(v * v for v in x), len(x))


def _delong(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """By the definition: all pairs."""
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    area = wins.mean()
    variance = wins.mean(axis=1).var(ddof=1) / len(x) + wins.mean(axis=0).var(ddof=1) / len(y)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + np.exp(-(np.log(area / (1 - area)) + s * half))) for s in (-1, 1))
    return float(area), float(low), float(high)


def test_auroc_is_delongs_with_ties(rng: np.random.Generator) -> None:
    x, y = rng.integers(2, 9, 40).astype(float), rng.integers(0, 7, 25).astype(float)
    ours = auroc(x, y)
    assert ours[:3] == pytest.approx(_delong(x, y), abs=1e-12)
    assert ours.method == "delong"


def test_perfect_separation_has_newcombes_interval() -> None:
    ours = auroc(np.arange(10, 50), np.arange(6))

    def distance(a: float) -> float:
        spread = 1 + 22 * ((1 - a) / (2 - a) + a / (1 + a))
        return float(1 - a - stats.norm.ppf(0.975) * np.sqrt(a * (1 - a) * spread / 240))

    assert ours[:3] == pytest.approx((1, optimize.brentq(distance, 0.01, 1 - 1e-9), 1), abs=1e-9)
    assert ours.method == "newcombe"
    mirrored = auroc(-np.arange(10, 50), -np.arange(6))
    assert mirrored[:3] == pytest.approx((0, 0, 1 - ours.low), abs=1e-9)


@pytest.mark.parametrize(("positive", "negative"), [([1], [0, 0]), ([], []), ([1, 1], [1, 1])])
def test_no_auroc_without_an_interval(positive: list[float], negative: list[float]) -> None:
    with pytest.raises(IntervalError):
        auroc(positive, negative)


def test_jackknife_of_a_mean_is_the_means_own_error(rng: np.random.Generator) -> None:
    blocks = np.array_split(rng.normal(size=103), 20)  # sizes differ by one
    x = np.concatenate(blocks)
    without = [(x.sum() - b.sum()) / (len(x) - len(b)) for b in blocks]
    sizes = [len(b) for b in blocks]
    value, low, high = block_jackknife(float(x.mean()), without, sizes)
    equal = np.array([b.mean() for b in blocks])
    error = np.sqrt(((equal - x.mean()) ** 2 * np.array(sizes) / 103).sum() / 19)
    assert value == pytest.approx(x.mean())
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 19) * error, rel=0.05)
    with pytest.raises(IntervalError, match="3 blocks"):
        block_jackknife(0.0, [0.0] * 3, [1] * 3)


@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_the_bound_of_calibration_covers(gap: float, rng: np.random.Generator) -> None:
    delta = np.full(15, gap) * np.array([1, -1] * 7 + [1])
    variance = rng.uniform(1e-6, 4e-4, 15)
    hits = 0
    for _ in range(200):
        low, high = calibration_bound(rng.normal(delta, np.sqrt(variance)), variance, rng)
        hits += low <= np.abs(delta).sum() <= high
    assert hits >= 185


def test_worst_of_equal_classes_is_low_by_chance(rng: np.random.Generator) -> None:
    lowest = null_minimum(0.76, np.full(1000, 50.0), rng)
    assert lowest == pytest.approx(0.551, abs=0.005)
    sizes, truth = np.full(10, 60.0), np.linspace(0.7, 0.97, 10)
    hits = 0
    for _ in range(400):
        low, high = wilson_simultaneous(rng.binomial(60, truth).astype(float), sizes)
        hits += low.min() <= 0.7 <= high.min()
    assert hits >= 375
