"""Calibration and selection, against scikit-learn and torchmetrics, on paper and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from interplay_runner.measurement import Record, RecordMeasurement, Value
from interplay_runner.measurements.calibration import Brier, Ece, Nll, Selective
from tests.runner.measurements.builders import confident, make, number, record, records, values

SEED = 20240603


def only(kind: type[RecordMeasurement], item: Record) -> Value:
    (value,) = values(make(kind).compute(records(item))).values()
    return value


def random_logits(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(n, 7)), rng.integers(0, 7, n)
    logits[np.arange(n), labels] += 1
    return 2 * logits, labels


def test_all_four_are_what_other_libraries_say() -> None:
    logits, labels = random_logits()
    p, item = softmax(logits, axis=1), record(logits, labels)
    assert number(only(Nll, item)) == pytest.approx(log_loss(labels, p), abs=1e-9)
    brier = ((p - np.eye(7)[labels]) ** 2).sum(axis=1).mean()
    assert number(only(Brier, item)) == pytest.approx(brier, abs=1e-12)
    theirs = multiclass_calibration_error(
        torch.tensor(p), torch.tensor(labels), num_classes=7, n_bins=15
    )
    assert number(only(Ece, item)) == pytest.approx(float(theirs), abs=1e-6)
    right = p.argmax(axis=1) == labels
    area = roc_auc_score(right, p.max(axis=1))
    assert number(only(Selective, item)) == pytest.approx(area, abs=1e-12)


def test_ece_bins_are_closed_above() -> None:
    # One prediction at 2/15 and one at .12: (1/15, 2/15] holds both, [1/15, 2/15) would not.
    value = only(Ece, confident([2 / 15, 0.12], [True, False]))
    assert number(value) == pytest.approx(abs(1 - 2 / 15 - 0.12) / 2)


def test_perfect_calibration_shows_its_null_and_reaches_zero() -> None:
    rng = np.random.default_rng(SEED)
    confidence = np.sqrt(rng.uniform(0.2, 1, 600))
    draws = [only(Ece, confident(confidence, rng.random(600) < confidence)) for _ in range(40)]
    mean = np.mean([number(v) for v in draws])
    assert draws[0].null == pytest.approx(mean, rel=0.15)
    assert sum(v.low == 0 for v in draws) >= 38


def test_ece_interval_covers_a_known_miscalibration() -> None:
    rng = np.random.default_rng(SEED)
    hits = 0
    for _ in range(60):
        value = only(Ece, confident(np.full(500, 0.95), rng.random(500) < 0.85))
        assert value.low is not None
        assert value.high is not None
        hits += value.low <= 0.1 <= value.high
    assert hits >= 55


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_is_defined_or_says_why(right: bool) -> None:
    item = confident(np.linspace(0.5, 1, 20), [right] * 20)
    assert only(Ece, item).value is not None
    reason = only(Selective, item).reason
    assert reason is not None
    assert "20 right and 0 wrong" in reason or "0 right and 20 wrong" in reason


def test_one_image_has_no_mean_but_a_calibration_error() -> None:
    item = record([[2.0, 0.0]], [0])
    assert only(Nll, item).reason == only(Brier, item).reason == "one sample has no interval"
    assert number(only(Ece, item)) == pytest.approx(1 - item.maxprob[0])


def test_confidence_that_knows_nothing_is_absent_and_perfect_is_one() -> None:
    assert only(Selective, confident([0.5] * 8, [True, False] * 4)).reason
    perfect = only(Selective, confident([0.9, 0.8, 0.7, 0.2, 0.1], [True] * 3 + [False] * 2))
    assert (perfect.value, perfect.high, perfect.method) == (1, 1, "newcombe")
