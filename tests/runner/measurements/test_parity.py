"""Parity: gaps of selection and error rates, by definition and on paper; intervals that cover."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from interplay_runner.measurement import Record, UnmeasurableError, Value
from interplay_runner.measurements import gaps
from interplay_runner.measurements.parity import DemographicParity, EqualizedOdds
from tests.runner.measurements.builders import info, make, number, record, records, values

SEED = 20240612


def scene(n: int = 600) -> Record:
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(n, 4)), rng.integers(0, 4, n)
    logits[np.arange(n), labels] += 1
    group = rng.choice(["a", "b", "c"], n)
    logits[group == "b", 2] += 1.5
    return replace(record(logits, labels), meta={"group": group})


def both(item: Record, **params: Any) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for kind in (DemographicParity, EqualizedOdds):
        out |= values(make(kind, column="group", **params).compute(records(item)))
    return out


@pytest.mark.parametrize("positive", [[2], [1, 3]])
def test_gaps_are_those_of_the_definition(positive: list[int]) -> None:
    print("seed", SEED)
    item = scene()
    got = both(item, positive=positive)
    rates: dict[str, list[float]] = {"selection": [], "tpr": [], "fpr": []}
    for g in "abc":
        rows = [
            (p in positive, y in positive)
            for p, y, other in zip(item.pred, item.label, item.meta["group"], strict=True)
            if other == g
        ]
        rates["selection"].append(float(np.mean([p for p, _ in rows])))
        rates["tpr"].append(float(np.mean([p for p, y in rows if y])))
        rates["fpr"].append(float(np.mean([p for p, y in rows if not y])))
    expected = {name: max(r) - min(r) for name, r in rates.items()}
    key = "_".join(["group", *map(str, positive)])
    for metric, gap in (
        ("demographic_parity", expected["selection"]),
        ("tpr_gap", expected["tpr"]),
        ("fpr_gap", expected["fpr"]),
        ("equalized_odds", max(expected["tpr"], expected["fpr"])),
    ):
        assert number(got[f"{metric}_{key}"]) == pytest.approx(gap, abs=1e-12)
    assert got[f"equalized_odds_{key}"].n == 600
    assert number(got[f"fpr_gap_{key}"]) > (got[f"fpr_gap_{key}"].null or 0)


def test_on_paper() -> None:
    """Group a is always judged right; group b is always called 1: TPR 1 and 1, FPR 0 and 1."""
    labels = np.tile([0, 1], 40)
    said = np.where(np.arange(80) < 40, labels, 1)
    group = np.repeat(["a", "b"], 40)
    item = replace(record(np.eye(2)[said], labels), meta={"group": group})
    got = both(item, positive=[1])
    assert number(got["demographic_parity_group_1"]) == 0.5
    assert number(got["tpr_gap_group_1"]) == 0
    assert number(got["fpr_gap_group_1"]) == 1
    assert number(got["equalized_odds_group_1"]) == 1


def test_without_two_groups_it_is_absent() -> None:
    item = scene(60)
    alone = replace(item, meta={"group": np.full(60, "a")})
    assert {v.value for v in both(alone, positive=[2]).values()} == {None}
    few = both(item, positive=[2], min_size=50)["tpr_gap_group_2"]
    assert few.reason == "fewer than 2 groups have 50 samples of a kind"
    empty = replace(record(np.zeros((0, 4)), np.zeros(0, int)), meta={"group": np.empty(0, str)})
    assert {v.value for v in both(empty, positive=[2]).values()} == {None}
    with pytest.raises(UnmeasurableError, match="class 7 is not below the model's 4"):
        make(EqualizedOdds, column="group", positive=[7]).need(info(classes=4))
    with pytest.raises(ValidationError, match="positive"):
        make(EqualizedOdds, column="group", positive=[1, 1])


@pytest.mark.parametrize("true", [[0.9, 0.9, 0.9], [0.7, 0.9, 0.8]])
def test_the_interval_of_the_larger_gap_covers(true: list[float]) -> None:
    rng = np.random.default_rng(SEED)
    false = [0.05, 0.1, 0.05]
    truth = max(np.ptp(true), np.ptp(false))
    n, m = np.array([40.0, 60, 100]), np.array([90.0, 70, 200])
    covered, found = [], []
    for _ in range(400):
        families = [
            (rng.binomial(s.astype(int), p).astype(float), s) for p, s in ((true, n), (false, m))
        ]
        value, low, high = gaps.largest_gap(families)
        covered.append(low <= truth <= high)
        found.append(value)
    assert np.mean(covered) > 0.93, np.mean(covered)


def test_null_is_what_equal_groups_show() -> None:
    rng = np.random.default_rng(SEED)
    n, m = np.array([40.0, 60, 100]), np.array([90.0, 70, 200])
    found = []
    for _ in range(400):
        a, b = (rng.binomial(s.astype(int), p).astype(float) for p, s in ((0.9, n), (0.1, m)))
        found.append(gaps.largest_gap([(a, n), (b, m)]).value)
    null = gaps.null_gap([(0.9 * n, n), (0.1 * m, m)], rng)
    assert null == pytest.approx(np.mean(found), abs=0.005)
