"""Temperature: against a fine grid, planted temperatures and their coverage, and where none is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import log_softmax, softmax

from interplay_runner.measurement import IDENTITY, Table, UnmeasurableError, Value
from interplay_runner.measurements.calibration import Brier, Nll
from interplay_runner.measurements.calibration_bins import Ece
from interplay_runner.measurements.temperature import Temperature, fitted
from tests.runner.measurements.builders import info, make, number, record, records, table, values

SEED = 20240625
Pair = tuple[npt.ArrayLike, npt.ArrayLike]
"""Logits and labels."""


def drawn(
    n: int, seed: int, true: float, scale: float = 3, wrong: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that softmax(logits / true) draws, some of them by a blind guess."""
    rng = np.random.default_rng(SEED + seed)
    logits = (scale * rng.normal(size=(n, 5))).astype(np.float32)
    p = (1 - wrong) * softmax(logits.astype(np.float64) / true, axis=1) + wrong / 5
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits, labels


def scaled(own: Pair, fit: Pair) -> dict[str, Value]:
    tables = {"": table(*own), "fit": apart(table(*fit))}
    return values(make(Temperature).compute(tables, info()))


def apart(item: Table) -> Table:
    """The same under other ids."""
    named = np.array([f"other-{i}" for i in item.records[IDENTITY].ids])
    renamed = replace(item.records[IDENTITY], ids=named)
    return Table({IDENTITY: renamed}, item.logits, item.features)


def test_two_logits_and_three_right_of_four_on_paper() -> None:
    # Margin 2 in every image: 1 / (1 + e^(-2 / T)) = 3 / 4, so T = 2 / ln 3.
    fit = np.tile([[2.0, 0.0]], (40, 1)), np.arange(40) % 4 == 3
    got = scaled(([[2.0, 0.0], [0.0, 2.0]], [0, 0]), fit)
    assert number(got["temperature"]) == pytest.approx(2 / math.log(3), abs=1e-9)
    assert (got["temperature"].n, got["temperature"].null) == (40, 1)
    assert number(got["nll_temperature"]) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    assert number(got["brier_temperature"]) == pytest.approx((2 * 0.25**2 + 2 * 0.75**2) / 2)
    assert number(got["ece_temperature"]) == pytest.approx(0.25)


def test_it_is_the_lowest_of_a_fine_grid() -> None:
    print("seed", SEED)
    logits, labels = drawn(300, 1, 1.7)
    best = fitted(torch.from_numpy(logits).double(), torch.from_numpy(labels))
    grid = np.geomspace(0.5, 5, 4001)
    losses = [-log_softmax(logits / t, axis=1)[np.arange(300), labels].mean() for t in grid]
    assert best == pytest.approx(grid[np.argmin(losses)], rel=6e-4)


def test_what_is_left_is_what_the_others_say_of_scaled_logits() -> None:
    print("seed", SEED)
    own, fit = drawn(200, 1, 2.5), drawn(150, 2, 2.5)
    got = scaled(own, fit)
    after = records(record(own[0].astype(np.float64) / number(got["temperature"]), own[1]))
    for kind, name in ((Ece, "ece"), (Nll, "nll"), (Brier, "brier")):
        (expected,) = values(make(kind).compute(after)).values()
        value = got[f"{name}_temperature"]
        assert number(value) == pytest.approx(number(expected), abs=1e-12)
        assert value.null == expected.null
        assert value.n == 200


def test_it_follows_the_scale_of_the_logits() -> None:
    (own, y), (fit, t) = drawn(100, 1, 1.0), drawn(100, 2, 1.0)
    one, ten = scaled((own, y), (fit, t)), scaled((8 * own, y), (8 * fit, t))
    before, after = one["temperature"], ten["temperature"]
    for end in ("value", "low", "high"):
        assert getattr(after, end) == pytest.approx(8 * getattr(before, end))
    assert number(ten["nll_temperature"]) == pytest.approx(number(one["nll_temperature"]))


@pytest.mark.parametrize(
    ("true", "scale", "wrong", "truth"),
    [(1.0, 1, 0, 1.0), (2.0, 3, 0, 2.0), (0.7, 8, 0, 0.7), (1.0, 6, 0.05, None)],
)
def test_the_interval_covers(true: float, scale: float, wrong: float, truth: float | None) -> None:
    print("seed", SEED)
    if truth is None:  # where the softmax is wrong at any temperature, the best one of many images
        logits, labels = drawn(40_000, 999, true, scale, wrong)
        truth = fitted(torch.from_numpy(logits).double(), torch.from_numpy(labels))
    covered, own = 0, drawn(4, 0, 1.0)
    for seed in range(80):
        value = scaled(own, drawn(150, seed + 1, true, scale, wrong))["temperature"]
        assert value.low is not None
        assert value.high is not None
        covered += value.low <= truth <= value.high
    assert covered >= 70  # .88 of 80; .95 has a standard error of .024


def test_few_misses_leave_the_lower_end_open() -> None:
    logits = np.tile([[3.0, 0.0, 0.0]], (60, 1))
    value = scaled((logits, np.arange(60) % 3), (logits, np.arange(60) // 59))["temperature"]
    assert value.low == 0
    assert value.high is not None
    assert number(value) < value.high < 3


def test_all_right_no_relation_one_and_none_say_why() -> None:
    own, eye = drawn(30, 1, 1.0), 2 * np.eye(5)[np.arange(40) % 4]
    perfect = scaled(own, (eye, np.arange(40) % 4))
    assert len(perfect) == 4
    below = "fit: no T is best: the 40 labels ask for one below .001"
    assert {v.reason for v in perfect.values()} == {below}
    opposite = scaled(own, (eye, (np.arange(40) + 1) % 4))
    assert "above 1000" in str(opposite["temperature"].reason)
    logits, labels = drawn(40, 3, 1.0, scale=1)
    unrelated = scaled(own, (logits, np.roll(labels, 1)))
    assert "bounds" in str(unrelated["temperature"].reason) or "above" in str(unrelated)
    single = scaled(own, ([[1.0, 0.9, 0, 0, 3.0]], [1]))
    assert single["temperature"].reason
    assert scaled(own, (eye[:0], [])).popitem()[1].reason == "fit: no samples"


def test_the_fit_set_may_not_be_the_dataset_or_have_other_classes() -> None:
    item = table(*drawn(30, 1, 1.0))
    with pytest.raises(UnmeasurableError, match=r"references\.fit: 30 of its samples"):
        make(Temperature).compute({"": item, "fit": item}, info())
    with pytest.raises(
        UnmeasurableError, match=r"references\.fit: 2 classes compete there, 5 here"
    ):
        scaled(([[0.0] * 5], [0]), ([[1.0, 2.0]], [0]))
