"""Selective prediction: against scikit-learn, by definition, on paper and by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from interplay_runner.measurement import Record, RecordMeasurement, Value
from interplay_runner.measurements.selective import RiskCoverage, Selective, _risk_coverage
from tests.runner.measurements.builders import confident, covers, make, number, records, values

SEED = 20240612


def measure(kind: type[RecordMeasurement], item: Record) -> dict[str, Value]:
    return values(make(kind).compute(records(item)))


def area_of(loss: np.ndarray, confidence: np.ndarray) -> float:
    """By definition, for confidences that differ."""
    ordered = loss[np.argsort(-confidence)]
    return float(np.mean([ordered[:k].mean() for k in range(1, len(loss) + 1)]))


def draw(rng: np.random.Generator, n: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Right or not, and a confidence that knows something of it."""
    right = rng.random(n) >= rate
    return right, 1 / (1 + np.exp(-rng.normal(size=n) - 1.5 * right))


def test_auroc_is_scikit_learns() -> None:
    print("seed", SEED)
    right, p = draw(np.random.default_rng(SEED), 400, 0.3)
    got = measure(Selective, confident(p, right))["selective_auroc"]
    assert number(got) == pytest.approx(roc_auc_score(right, p), abs=1e-12)


def test_areas_are_their_definition_and_ties_the_mean_over_orders() -> None:
    print("seed", SEED)
    right, p = draw(np.random.default_rng(SEED), 300, 0.2)
    got = measure(RiskCoverage, confident(p, right))
    area = area_of(~right, p)
    assert number(got["aurc"]) == pytest.approx(area, abs=1e-12)
    assert number(got["e_aurc"]) == pytest.approx(area - area_of(~right, right + 0.1 * p))
    loss, p = np.array([0, 1, 1, 0, 1.0, 0]), np.array([0.9, 0.8, 0.8, 0.8, 0.8, 0.3])
    orders = itertools.permutations([0.81, 0.82, 0.83, 0.84])
    mean = np.mean([area_of(loss, np.array([0.9, *o, 0.3])) for o in orders])
    tied = number(measure(RiskCoverage, confident(p, loss == 0))["aurc"])
    assert tied == pytest.approx(mean, abs=1e-12)


def test_influences_are_what_a_row_less_would_change() -> None:
    print("seed", SEED)
    right, p = draw(np.random.default_rng(SEED), 2000, 0.2)
    loss, p = (~right).astype(float), np.round(p, 2)
    area, influence = _risk_coverage(loss, p)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    for row in (0, 7, 100):
        less = _risk_coverage(np.delete(loss, row), np.delete(p, row))[0]
        assert 1999 * (area - less) == pytest.approx(influence[row], abs=0.02)


def test_on_paper() -> None:
    blind = measure(RiskCoverage, confident([0.5] * 40, [True] * 30 + [False] * 10))
    assert number(blind["aurc"]) == pytest.approx(0.25) == blind["aurc"].null
    assert number(blind["e_aurc"]) == pytest.approx(blind["e_aurc"].null)
    perfect = measure(RiskCoverage, confident([0.9, 0.8, 0.7, 0.2, 0.1], [True] * 3 + [False] * 2))
    assert number(perfect["aurc"]) == pytest.approx((1 / 4 + 2 / 5) / 5)
    assert perfect["e_aurc"].reason == "all right predictions stand above all wrong ones"


def test_intervals_cover() -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    right, p = draw(rng, 200_000, 0.05)
    truth = _risk_coverage((~right).astype(float), p)[0]
    beyond = truth - (0.05 + 0.95 * np.log(0.95))
    hits = {"aurc": 0, "e_aurc": 0}
    for _ in range(200):
        right, p = draw(rng, 400, 0.05)
        got = measure(RiskCoverage, confident(p, right))
        for key, true in (("aurc", truth), ("e_aurc", beyond)):
            hits[key] += covers(got[key], true)
    assert hits["aurc"] >= 182
    assert hits["e_aurc"] >= 178


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_says_why(right: bool) -> None:
    item = confident(np.linspace(0.5, 1, 20), [right] * 20)
    words = f"{20 * right} right and {20 * (not right)} wrong predictions"
    assert words in str(measure(Selective, item)["selective_auroc"].reason)
    for value in measure(RiskCoverage, item).values():
        assert value.reason == f"{words} are too few"
    assert all(v.value is None for v in measure(RiskCoverage, confident([], [])).values())


def test_confidence_that_knows_nothing_is_absent_and_perfect_is_one() -> None:
    tied = measure(Selective, confident([0.5] * 8, [True, False] * 4))["selective_auroc"]
    assert tied.reason
    item = confident([0.9, 0.8, 0.7, 0.2, 0.1], [True] * 3 + [False] * 2)
    perfect = measure(Selective, item)["selective_auroc"]
    assert (perfect.value, perfect.high, perfect.method) == (1, 1, "newcombe")
