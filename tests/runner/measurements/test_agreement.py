"""Error consistency: scikit-learn's kappa, cases on paper, and an interval that covers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import cohen_kappa_score

from interplay_runner.measurement import IDENTITY, REFERENCE, Record, UnmeasurableError, Value
from interplay_runner.measurements import agreement
from interplay_runner.measurements.agreement import ErrorConsistency, HumanConsistency
from tests.runner.measurements.builders import confident, info, make, number, records, values

SEED = 20240614


def right(hits: npt.ArrayLike) -> Record:
    return confident(np.full(len(np.asarray(hits)), 0.9), hits)


def consistency(first: npt.ArrayLike, second: npt.ArrayLike) -> dict[str, Value]:
    measurement = make(ErrorConsistency)
    assert measurement.need(info()).views == (IDENTITY, REFERENCE)
    return values(measurement.compute({IDENTITY: right(first), REFERENCE: right(second)}))


def human(hits: npt.ArrayLike, trials: npt.ArrayLike, **params: Any) -> dict[str, Value]:
    item = replace(right(hits), meta={"anna": np.asarray(trials)})
    return values(make(HumanConsistency, column="anna", **params).compute(records(item)))


def test_kappa_is_scikit_learns_and_parts_are_those_of_the_definition() -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    first = rng.random(500) < 0.8
    second = np.where(rng.random(500) < 0.5, first, rng.random(500) < 0.6)
    got = consistency(first, second)
    kappa = cohen_kappa_score(first, second)
    assert number(got["error_consistency"]) == pytest.approx(kappa, abs=1e-12)
    a, b = first.mean(), second.mean()
    assert number(got["observed_consistency"]) == (first == second).mean()
    expected = a * b + (1 - a) * (1 - b)
    assert number(got["expected_consistency"]) == pytest.approx(expected, abs=1e-12)
    swapped = consistency(second, first)
    assert number(swapped["error_consistency"]) == pytest.approx(kappa, abs=1e-12)


def test_on_paper() -> None:
    """40 both right, 10 and 20 one of them, 30 none: observed .7, expected .5, kappa .4."""
    first = np.repeat([1, 1, 0, 0], [40, 10, 20, 30])
    second = np.repeat([1, 0, 1, 0], [40, 10, 20, 30])
    got = consistency(first, second)
    assert number(got["observed_consistency"]) == 0.7
    assert number(got["expected_consistency"]) == pytest.approx(0.5)
    kappa = got["error_consistency"]
    assert number(kappa) == pytest.approx(0.4)
    # The delete-one jackknife knows nothing of influences nor of Fisher's scale.
    keep = ~np.eye(100, dtype=bool)
    without = np.array([cohen_kappa_score(first[k], second[k]) for k in keep])
    error = np.sqrt(99 / 100 * ((without - without.mean()) ** 2).sum())
    assert kappa.low is not None
    assert kappa.high is not None
    assert (kappa.high - kappa.low) / 2 / 1.96 == pytest.approx(error, rel=0.05)


def test_the_same_the_opposite_and_the_constant() -> None:
    half = np.arange(40) % 2 == 0
    same = consistency(half, half)["error_consistency"]
    assert (same.value, same.high) == (1, 1)
    assert same.low is not None
    assert 0.6 < same.low < 1
    opposite = consistency(half, ~half)["error_consistency"]
    assert (opposite.value, opposite.low) == (-1, -1)
    always = np.ones(40, dtype=bool)
    chance = consistency(always, half)["error_consistency"]
    assert number(chance) == 0
    for hits, word in ((always, "right"), (~always, "wrong")):
        got = consistency(hits, hits)
        assert got["error_consistency"].reason == (
            f"both are {word} on every image: kappa is undefined"
        )
        assert (number(got["observed_consistency"]), got["expected_consistency"].value) == (1, 1)


@pytest.mark.parametrize("n", [0, 1])
def test_few_samples_are_absent(n: int) -> None:
    assert consistency([True] * n, [True] * n)["error_consistency"].value is None


def test_human_trials_are_correctness_or_answers() -> None:
    rng = np.random.default_rng(SEED)
    hits, trials = rng.random(200) < 0.7, (rng.random(200) < 0.8).astype(int)
    kappa = cohen_kappa_score(hits, trials)
    got = human(hits, trials)
    assert number(got["error_consistency_anna"]) == pytest.approx(kappa, abs=1e-12)
    # The label is 0 throughout, so that any other answer is wrong.
    answers = np.where(trials, 0, rng.integers(1, 9, 200))
    assert human(hits, answers, holds="class") == got
    for column, message in ((answers, "more than 0 and 1"), (answers.astype(str), "holds text")):
        with pytest.raises(UnmeasurableError, match=f"column anna .*{message}|{message}"):
            human(hits, column)


def test_a_reference_model_of_other_classes_is_refused() -> None:
    other = replace(right([True, False]), rank=np.array([-1, -1]))
    with pytest.raises(UnmeasurableError, match="referenceModel: the labels are not classes"):
        make(ErrorConsistency).compute({IDENTITY: right([True, False]), REFERENCE: other})


@pytest.mark.parametrize(
    ("n", "a", "b", "kappa"),
    [
        (100, 0.7, 0.6, 0.2),
        (100, 0.95, 0.97, 0.3),
        (600, 0.98, 0.98, 0.3),
        (600, 0.98, 0.98, 0.8),
        (600, 0.1, 0.7, 0.05),
        (100, 0.5, 0.5, 0.9),
    ],
)
def test_the_intervals_cover(n: int, a: float, b: float, kappa: float) -> None:
    expected = a * b + (1 - a) * (1 - b)
    both = (kappa * (1 - expected) + expected - 1 + a + b) / 2
    p = np.array([both, a - both, b - both, 1 - a - b + both])
    rng = np.random.default_rng(SEED)
    covered = []
    for counts in rng.multinomial(n, p, size=500).astype(float):
        if counts[0] < n:
            k, e = agreement._kappa(counts), agreement._expected(counts)
            covered.append((k.low <= kappa <= k.high, e.low <= expected <= e.high))
    assert (np.mean(covered, axis=0) > 0.9).all(), np.mean(covered, axis=0)
    print(np.mean(covered, axis=0))
