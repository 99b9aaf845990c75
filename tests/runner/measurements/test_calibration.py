"""Proper scores and binned calibration, against other libraries, on paper and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from interplay_runner.measurement import IDENTITY, Record, RecordMeasurement, Value
from interplay_runner.measurements.calibration import Brier, Nll
from interplay_runner.measurements.calibration_bins import AdaptiveEce, Ece, Mce
from interplay_runner.measurements.classwise import ClasswiseEce
from tests.runner.measurements.builders import (
    confident,
    covers,
    make,
    number,
    record,
    records,
    stream,
    values,
)

SEED = 20240603


def only(kind: type[RecordMeasurement], item: Record) -> Value:
    (value,) = values(make(kind).compute(records(item))).values()
    return value


def classwise(logits: np.ndarray, labels: np.ndarray) -> Value:
    x = torch.from_numpy(logits)
    y = torch.from_numpy(labels)
    (value,) = stream(make(ClasswiseEce), {IDENTITY: x}, labels=y, rows=100).values()
    return value


def random_logits(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(n, 7)), rng.integers(0, 7, n)
    logits[np.arange(n), labels] += 1
    return 2 * logits, labels


def test_all_are_what_other_libraries_say() -> None:
    logits, labels = random_logits()
    p, item = softmax(logits, axis=1), record(logits, labels)
    assert number(only(Nll, item)) == pytest.approx(log_loss(labels, p), abs=1e-9)
    brier = ((p - np.eye(7)[labels]) ** 2).sum(axis=1).mean()
    assert number(only(Brier, item)) == pytest.approx(brier, abs=1e-12)
    for kind, norm in ((Ece, "l1"), (Mce, "max")):
        theirs = multiclass_calibration_error(
            torch.tensor(p), torch.tensor(labels), num_classes=7, n_bins=15, norm=norm
        )
        assert number(only(kind, item)) == pytest.approx(float(theirs), abs=1e-6)


def test_adaptive_and_classwise_are_their_definitions() -> None:
    logits, labels = random_logits(407)
    p, item = softmax(logits, axis=1), record(logits, labels)
    order, right = np.argsort(item.maxprob), item.correct
    bins = [order[b * 407 // 15 : (b + 1) * 407 // 15] for b in range(15)]
    adaptive = sum(abs((right[b] - item.maxprob[b]).sum()) for b in bins) / 407
    assert number(only(AdaptiveEce, item)) == pytest.approx(adaptive, abs=1e-12)
    total = 0.0
    for k in range(7):
        for b in range(15):
            rows = (p[:, k] > b / 15) & (p[:, k] <= (b + 1) / 15)
            total += abs(((labels == k)[rows] - p[rows, k]).sum()) / 407 / 7
    assert number(classwise(logits, labels)) == pytest.approx(total, abs=1e-12)


def test_bins_are_closed_above() -> None:
    # One prediction at 2/15 and one at .12: (1/15, 2/15] holds both, [1/15, 2/15) would not.
    item = confident([2 / 15, 0.12], [True, False])
    assert number(only(Ece, item)) == pytest.approx(abs(1 - 2 / 15 - 0.12) / 2)
    assert number(only(Mce, item)) == pytest.approx(abs(1 - 2 / 15 - 0.12) / 2)


def test_equal_confidences_share_a_bin() -> None:
    item = confident([0.8] * 30, [True] * 24 + [False] * 6)
    assert number(only(AdaptiveEce, item)) == pytest.approx(0, abs=1e-12)
    few = confident([0.3, 0.6, 0.9], [True, False, True])
    assert number(only(AdaptiveEce, few)) == pytest.approx((0.7 + 0.6 + 0.1) / 3)


@pytest.mark.parametrize("kind", [Ece, AdaptiveEce, Mce])
def test_perfect_calibration_shows_its_null_and_reaches_zero(kind: type[RecordMeasurement]) -> None:
    rng = np.random.default_rng(SEED)
    confidence = np.sqrt(rng.uniform(0.2, 1, 600))
    draws = [only(kind, confident(confidence, rng.random(600) < confidence)) for _ in range(40)]
    mean = np.mean([number(v) for v in draws])
    assert draws[0].null == pytest.approx(mean, rel=0.15)
    assert sum(v.low == 0 for v in draws) >= 38


def drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels that come with the probabilities p [n, K]."""
    above: np.ndarray = p.cumsum(axis=1) < rng.random((len(p), 1))
    return np.asarray(above[:, :-1].sum(axis=1))


@pytest.mark.parametrize("classes", [2, 8])
def test_classwise_null_and_interval(classes: int) -> None:
    rng = np.random.default_rng(SEED)
    x = 2 * rng.normal(size=(300, classes))
    draws = [classwise(x, drawn(softmax(x, axis=1), rng)) for _ in range(40)]
    assert draws[0].null == pytest.approx(np.mean([number(v) for v in draws]), rel=0.1)
    assert sum(v.low == 0 for v in draws) >= 38
    # Overconfident by a factor of two in the logits: what it tends to, with these p, is known.
    stated, true = softmax(2 * x, axis=1), softmax(x, axis=1)
    cell = np.ceil(stated * 15).clip(1, 15).astype(int) - 1 + 15 * np.arange(classes)
    gap = np.bincount(cell.ravel(), weights=(true - stated).ravel())
    truth = np.abs(gap).sum() / 300 / classes
    hits = [covers(classwise(2 * x, drawn(true, rng)), truth) for _ in range(40)]
    assert sum(hits) >= 37


@pytest.mark.parametrize("kind", [Ece, AdaptiveEce, Mce])
def test_intervals_cover_a_known_miscalibration(kind: type[RecordMeasurement]) -> None:
    rng = np.random.default_rng(SEED)
    confidence = rng.choice([0.62, 0.95], 500)
    gap = {Ece: 0.1 * np.mean(confidence == 0.95), Mce: 0.1}
    truth = gap.get(kind, gap[Ece])
    hits = 0
    for _ in range(60):
        right = rng.random(500) < np.where(confidence == 0.95, 0.85, 0.62)
        hits += covers(only(kind, confident(confidence, right)), truth)
    assert hits >= 55


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong_are_defined(right: bool) -> None:
    item = confident(np.linspace(0.5, 1, 20), [right] * 20)
    for kind in (Ece, AdaptiveEce, Mce):
        assert number(only(kind, item)) > 0
    one_class = classwise(np.zeros((20, 1)), np.zeros(20, dtype=np.int64))
    assert (one_class.value, one_class.low, one_class.null) == (0, 0, 0)


def test_one_image_has_no_mean_but_a_calibration_error() -> None:
    item = record([[2.0, 0.0]], [0])
    assert only(Nll, item).reason == only(Brier, item).reason == "one sample has no interval"
    for kind in (Ece, AdaptiveEce, Mce):
        assert number(only(kind, item)) == pytest.approx(1 - item.maxprob[0])
    gap = 1 - np.exp(log_softmax([2.0, 0.0])[0])
    single = classwise(np.array([[2.0, 0.0]]), np.array([0]))
    assert number(single) == pytest.approx(gap)
    # One Bernoulli number: E|X - p| = 2 p (1 - p), for both classes.
    assert single.null == pytest.approx(2 * gap * (1 - gap))
    empty = confident([], [])
    assert {only(k, empty).reason for k in (Ece, AdaptiveEce, Mce, Nll)} == {"no samples"}


def test_the_null_of_a_cell_is_scipys_binomial() -> None:
    x = np.log(np.tile([0.3, 0.7], (40, 1)))
    value = classwise(x, np.zeros(40, dtype=np.int64))
    k = np.arange(41)
    deviation = (np.abs(k - 12) * stats.binom.pmf(k, 40, 0.3)).sum() / 40
    assert value.null == pytest.approx(deviation, rel=1e-6)
