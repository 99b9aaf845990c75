"""Groups: accuracy, worst, gap, trend and error ratio, by definition; intervals that cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from scipy.stats import norm

from interplay_runner.intervals import wilson
from interplay_runner.measurement import Record, UnmeasurableError, Value
from interplay_runner.measurements import gaps
from interplay_runner.measurements.groups import FactorErrorRatio, GroupDisparity
from tests.runner.measurements.builders import (
    confident,
    info,
    make,
    number,
    record,
    records,
    values,
)

SEED = 20240611


def scene(n: int = 400, **columns: npt.ArrayLike) -> Record:
    """Random logits that are mostly right; sets of right labels that may be empty."""
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(n, 10)), rng.integers(0, 10, n)
    logits[np.arange(n), labels] += 1.5
    item = record(logits, labels)
    some = np.where(rng.random(n) < 0.1, -1, np.minimum(item.rank, rng.integers(0, 10, n)))
    meta = {name: np.asarray(c) for name, c in columns.items()}
    return replace(item, any_rank=some, meta=meta)


def hits(right: npt.ArrayLike, meta: Mapping[str, npt.ArrayLike]) -> Record:
    item = confident(np.full(len(np.asarray(right)), 0.9), right)
    return replace(item, meta={name: np.asarray(c) for name, c in meta.items()})


def disparity(item: Record, **params: Any) -> dict[str, Value]:
    measurement = GroupDisparity(GroupDisparity.Params.model_validate(params))
    measurement.need(info())
    return values(measurement.compute(records(item)))


def ratios(item: Record, *columns: str) -> dict[str, Value]:
    return values(make(FactorErrorRatio, columns=columns).compute(records(item)))


@pytest.mark.parametrize(("kind", "k"), [("label", 1), ("label", 3), ("any", 1), ("any", 2)])
def test_groups_worst_and_gap_are_those_of_the_definition(kind: str, k: int) -> None:
    print("seed", SEED)
    region = np.random.default_rng(1).choice(["Africa", "The Americas", "Asia"], 400)
    item = scene(region=region)
    got = disparity(item, column="region", kind=kind, k=k)
    rank = item.rank if kind == "label" else item.any_rank
    name = f"top{k}_region" if kind == "label" else f"any_top{k}_region"
    shares = {}
    for group, key in (("Africa", "africa"), ("The Americas", "the_americas"), ("Asia", "asia")):
        own = [r < k for r, g in zip(rank, region, strict=True) if g == group and r >= 0]
        shares[key] = sum(own) / len(own)
        value = got[f"group_{name}_{key}"]
        assert number(value) == pytest.approx(shares[key], abs=1e-12)
        assert value.n == len(own)
    assert number(got[f"worst_group_{name}"]) == min(shares.values())
    spread = max(shares.values()) - min(shares.values())
    assert number(got[f"group_gap_{name}"]) == pytest.approx(spread, abs=1e-12)
    assert len(got) == 5


def test_on_paper() -> None:
    """40 of 50 against 20 of 50: worst .4, gap .4, both with ends of intervals at Sidak's level."""
    right = [True] * 40 + [False] * 10 + [True] * 20 + [False] * 30
    got = disparity(hits(right, {"side": ["a"] * 50 + ["b"] * 50}), column="side")
    z = norm.isf((1 - 0.95**0.5) / 2)

    def ends(p: float, n: int) -> tuple[float, float]:
        centre, half = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
        return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)

    (low_a, high_a), (low_b, high_b) = ends(0.8, 50), ends(0.4, 50)
    worst, spread = got["worst_group_top1_side"], got["group_gap_top1_side"]
    assert (worst.value, worst.low, worst.high) == pytest.approx((0.4, low_b, high_b), abs=1e-9)
    expected = (0.4, low_a - high_b, high_a - low_b)
    assert (spread.value, spread.low, spread.high) == pytest.approx(expected, abs=1e-9)
    # E|X - Y| of two shares with variance .6 .4 / 50 each, all but normal: 2 s / sqrt(pi).
    assert spread.null == pytest.approx(2 * np.sqrt(0.24 / 50 / np.pi), rel=0.05)
    assert worst.null == pytest.approx(0.6 - np.sqrt(0.24 / 50 / np.pi), abs=0.005)


def test_small_groups_count_neither_for_worst_nor_gap() -> None:
    group = ["a"] * 20 + ["b"] * 20 + ["few"] * 3
    item = hits([True] * 20 + [True] * 10 + [False] * 13, {"g": group})
    got = disparity(item, column="g")
    assert got["group_top1_g_few"] == Value(None, 3, reason="3 samples, fewer than 10")
    assert (number(got["worst_group_top1_g"]), number(got["group_gap_top1_g"])) == (0.5, 0.5)
    assert got["worst_group_top1_g"].n == 40
    alone = disparity(item, column="g", min_size=100)
    assert alone["worst_group_top1_g"].reason == "no group has 100 samples"
    one = disparity(hits([True] * 12, {"g": ["a"] * 12}), column="g")
    assert number(one["worst_group_top1_g"]) == 1
    assert "fewer than 2 groups" in (one["group_gap_top1_g"].reason or "")
    none = disparity(hits([], {"g": np.array([], dtype=str)}), column="g")
    assert {v.n for v in none.values()} == {0}


def test_bins_are_quantiles_and_the_trend_has_a_sign() -> None:
    income = np.exp(np.random.default_rng(2).normal(size=400))
    poor = income < np.quantile(income, 0.25)
    right = np.where(poor, np.arange(400) % 2 == 0, True)
    item = hits(right, {"income": income})
    got = disparity(item, column="income", bins=4)
    shares = [right[poor].mean(), 1, 1, 1]
    for i, expected in enumerate(shares):
        value = got[f"group_top1_income_q{i + 1}"]
        assert number(value) == pytest.approx(expected)
        assert value.n == 100
    trend = got["group_trend_top1_income"]
    assert number(trend) == pytest.approx(1 - shares[0])
    assert trend.low is not None
    assert trend.low > 0.3
    falling = disparity(hits(right, {"income": -income}), column="income", bins=4)
    assert number(falling["group_trend_top1_income"]) == -number(trend)


def test_newcombe_is_the_published_example() -> None:
    """56/70 - 48/80 (Newcombe 1998, table II, example a): .0524 to .3339."""
    assert gaps.difference((56, 48), (70, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("column", "params", "message"),
    [
        (["a", "b"], {"column": "income"}, "no column income; it has g"),
        ([0.5, 1.5], {"column": "g"}, "column g holds numbers: groups of it need bins"),
        (["a", "b"], {"column": "g", "bins": 2}, "column g holds text: bins need numbers"),
        ([1, 1], {"column": "g", "bins": 2}, "too many equal numbers for 2 bins"),
        (["South Asia", "south-asia"], {"column": "g"}, "'South Asia' and 'south-asia' share a"),
        (["a", "中"], {"column": "g"}, "group '中' gives no metric's name"),
        (["a", "b" * 90], {"column": "g"}, "gives no metric's name"),
        ([*map(str, range(1001))], {"column": "g"}, "column g has 1001 groups, more than 1000"),
    ],
)
def test_a_column_that_will_not_do_is_said(
    column: list[Any], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnmeasurableError, match=message):
        disparity(hits([True] * len(column), {"g": column}), **params)


def test_of_many_groups_only_worst_and_gap_are_named() -> None:
    got = disparity(hits([True] * 340, {"country": np.arange(340) % 17}), column="country")
    assert {*got} == {"worst_group_top1_country", "group_gap_top1_country"}
    with pytest.raises(UnmeasurableError, match="the model has 3 classes, fewer than 5"):
        make(GroupDisparity, column="g", k=5).need(info(classes=3))
    with pytest.raises(ValidationError, match="column"):
        make(GroupDisparity, column="Region")


@pytest.mark.parametrize("p", [[0.9, 0.9, 0.9, 0.9], [0.6, 0.9, 0.75, 0.95], [0.98, 0.99, 1, 0.97]])
def test_intervals_of_worst_and_gap_cover(p: list[float]) -> None:
    rng = np.random.default_rng(SEED)
    sizes = np.array([40.0, 80, 25, 150])
    covered = np.zeros(2)
    for _ in range(400):
        k = rng.binomial(sizes.astype(int), p).astype(float)
        worst, spread = gaps.lowest(k, sizes), gaps.gap(k, sizes)
        covered += worst.low <= min(p) <= worst.high, spread.low <= np.ptp(p) <= spread.high
    assert (covered / 400 > 0.93).all(), covered / 400


def test_error_ratio_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(SEED)
    pose, style = rng.integers(0, 2, 400), rng.choice(["photo", "sketch"], 400)
    item = scene(pose=pose, style=style)
    got = ratios(item, "pose", "style")
    wrong = item.rank > 0
    for key, mask in (("pose", pose == 1), ("style_sketch", style == "sketch")):
        value = got[f"error_ratio_{key}"]
        expected = wrong[mask].mean() / wrong.mean()
        assert number(value) == pytest.approx(expected, abs=1e-12)
        assert value.n == mask.sum()
    assert {*got} == {"error_ratio_pose", "error_ratio_style_photo", "error_ratio_style_sketch"}


def test_error_ratio_at_its_ends() -> None:
    factor = np.arange(40) < 10
    always = ratios(hits(~factor, {"f": factor.astype(int)}), "f")["error_ratio_f"]
    assert (always.value, always.high) == (4, 4), "1 / w, and no more is possible"
    never = ratios(hits(factor, {"f": factor.astype(int)}), "f")["error_ratio_f"]
    assert (never.value, never.low) == (0, 0)
    assert never.high is not None
    assert 0 < never.high < 1
    perfect = ratios(hits([True] * 40, {"f": factor.astype(int)}), "f")["error_ratio_f"]
    assert perfect.reason == "no errors"
    all_of_it = ratios(hits(factor, {"f": np.ones(40, dtype=int)}), "f")["error_ratio_f"]
    assert all_of_it.reason == "all samples or none have the factor"
    with pytest.raises(UnmeasurableError, match="column f is no factor"):
        ratios(hits(factor, {"f": np.arange(40)}), "f")
    with pytest.raises(UnmeasurableError, match="error_ratio_f stands for two factors"):
        ratios(hits(factor, {"f": factor.astype(int)}), "f", "f")


def test_the_score_of_the_ratio_is_wilsons_where_the_other_rate_is_known() -> None:
    """Against a million samples of known rate .5 the ratio's ends are those of the own rate."""
    low, high = wilson(30, 100)[1:]
    got = gaps._ratio_ends(0.5 / 0.3, (30, 500_000), (100, 1_000_000))
    assert got == pytest.approx((0.5 / high, 0.5 / low), rel=0.01)


@pytest.mark.parametrize(("p", "q"), [(0.05, 0.05), (0.2, 0.05), (0.02, 0.1), (0.6, 0.3)])
def test_the_interval_of_the_error_ratio_covers(p: float, q: float) -> None:
    """The number of samples with the factor is drawn too."""
    rng = np.random.default_rng(SEED)
    w, n = 0.3, 300
    truth = p / (w * p + (1 - w) * q)
    covered = []
    for _ in range(400):
        a = int(rng.binomial(n, w))
        low, high = gaps.relative_error(
            (int(rng.binomial(a, p)), int(rng.binomial(n - a, q))), (a, n - a)
        )[1:]
        covered.append(low <= truth <= high)
    assert 0.92 < np.mean(covered) < 0.99, np.mean(covered)
