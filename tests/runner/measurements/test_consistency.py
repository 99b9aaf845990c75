"""Consistency: on paper, by definition, and that its null is what chance agrees on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from interplay_runner.measurement import Record, Value, View
from interplay_runner.measurements.consistency import ShiftConsistency
from tests.runner.measurements.builders import covers, info, make, number, record, values

SEED = 20240613
FIRST, SECOND = (View.of("jitter", px=2, draw=d) for d in (0, 1))


def chosen(choices: np.ndarray) -> Record:
    """Records of which only the choice among 4 classes matters."""
    return record(np.eye(4)[choices], np.zeros(len(choices), dtype=np.int64))


def consistency(first: np.ndarray, second: np.ndarray) -> Value:
    measurement = make(ShiftConsistency, pixels=[2])
    assert measurement.need(info()).views == (FIRST, SECOND)
    assert not measurement.need(info()).labels
    got = values(measurement.compute({FIRST: chosen(first), SECOND: chosen(second)}))
    return got["shift_consistency_px2"]


def test_it_is_the_share_that_agrees() -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    first = rng.choice(4, 3000, p=[0.7, 0.1, 0.1, 0.1])
    second = np.where(rng.random(3000) < 0.4, first, rng.permutation(first))
    value = consistency(first, second)
    assert number(value) == pytest.approx(accuracy_score(first, second))
    unrelated = consistency(first, rng.permutation(first))
    assert unrelated.null == pytest.approx(0.52, abs=0.03)
    assert unrelated.null == pytest.approx(number(unrelated), abs=0.03)
    assert covers(value, 0.4 + 0.6 * 0.52)


def test_constant_one_and_none() -> None:
    same = consistency(np.full(40, 3), np.full(40, 3))
    assert (same.value, same.null, same.high, same.method) == (1, 1, 1, "wilson")
    assert number(consistency(np.array([1]), np.array([2]))) == 0
    nothing = np.zeros(0, dtype=np.int64)
    assert consistency(nothing, nothing).reason == "no samples"
