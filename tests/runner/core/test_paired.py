"""Paired comparisons against scipy, against a textbook case, and their intervals' coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from interplay_runner.intervals import IntervalError
from interplay_runner.paired import compare_paired


def _table(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


def test_mcnemar_is_the_binomial_test_of_the_samples_that_differ() -> None:
    found = compare_paired(*_table(40, 15, 5, 40))
    assert (found.method, found.first_only, found.second_only) == ("mcnemar", 15, 5)
    assert found.p == pytest.approx(2 * stats.binom.cdf(5, 20, 0.5))
    assert found.difference == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    swapped = compare_paired(*reversed(_table(40, 15, 5, 40)))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_equal_columns_show_no_difference() -> None:
    found = compare_paired(*_table(30, 0, 0, 10))
    assert (found.difference, found.p) == (0, 1)
    assert found.low < 0 < found.high
    constant = compare_paired(np.full(5, 0.25), np.full(5, 0.25))
    assert (constant.difference, constant.p, constant.method) == (0, 1, "paired-t")


def test_other_columns_are_compared_by_a_paired_t_test() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 50))
    found, wanted = compare_paired(a, b), stats.ttest_rel(a, b)
    ends = wanted.confidence_interval()
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize("joint", [(0.7, 0.1, 0.05, 0.15), (0.9, 0.05, 0.05, 0.0)], ids=str)
def test_the_interval_holds_as_often_as_it_says(joint: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    truth, hits = joint[1] - joint[2], 0
    for counts in rng.multinomial(200, joint, size=1000):
        found = compare_paired(*_table(*(int(c) for c in counts)))
        hits += found.low <= truth <= found.high
    assert 930 <= hits <= 985


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([0.5, np.nan], [0.5, 0.5], "1 of 2 samples are not finite"),
        ([0.5], [0.5], "1 samples are too few"),
        ([0.5, 0.6], [0.25, 0.35], "the difference is the same on every sample"),
    ],
)
def test_what_cannot_be_compared_says_why(a: list[float], b: list[float], reason: str) -> None:
    with pytest.raises(IntervalError, match=reason):
        compare_paired(np.array(a), np.array(b))
