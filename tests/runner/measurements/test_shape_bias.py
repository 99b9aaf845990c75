"""Shape bias: on paper, by definition, with coarse categories, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from interplay_runner.intervals import wilson
from interplay_runner.measurement import OWN, UnmeasurableError, Value
from interplay_runner.measurements.shape_bias import ShapeBias
from tests.runner.measurements.builders import info, make, number, table, values

SEED = 20240613


def bias(
    logits: npt.ArrayLike, shape: npt.ArrayLike, texture: npt.ArrayLike, **params: Any
) -> dict[str, Value]:
    x = np.asarray(logits)
    model = info(classes=x.shape[1])
    measurement = make(ShapeBias, **params)
    assert not measurement.needs(model)[OWN].labels
    meta = {"shape": np.asarray(shape), "texture": np.asarray(texture)}
    tables = {OWN: table(x, np.zeros(len(x), dtype=int), meta=meta)}
    return values(measurement.compute(tables, model))


def test_on_paper() -> None:
    """Three by shape, one by texture, two by neither; an image of equal cues does not count."""
    said = np.array([0, 1, 2, 3, 4, 4, 1])
    got = bias(np.eye(5)[said], shape=[0, 1, 2, 0, 0, 1, 1], texture=[1, 0, 0, 3, 1, 0, 1])
    assert got["shape_bias"] == Value(0.75, 4, *wilson(3, 4)[1:], "wilson", 0.5)
    assert (number(got["shape_accuracy"]), got["shape_accuracy"].n) == (3 / 6, 6)
    assert number(got["texture_accuracy"]) == pytest.approx(1 / 6)


def test_categories_decide_by_mean_probability() -> None:
    """Against a rewrite for one image at a time."""
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    categories = {"dog": [0, 1, 2], "cat": [3], "oven": [4, 5]}
    names = [*categories]
    logits = 2 * rng.normal(size=(300, 8)).astype(np.float32)
    shape, texture = rng.choice(names, 300), rng.choice(names, 300)
    got = bias(logits, shape, texture, categories=categories)
    hits = {"shape": 0, "texture": 0}
    for row, s, t in zip(logits.astype(float), shape, texture, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        said = max(names, key=lambda n: float(np.mean(p[categories[n]])))
        if s != t:
            hits["shape"] += said == s
            hits["texture"] += said == t
    assert got["shape_bias"].n == sum(hits.values())
    assert number(got["shape_bias"]) == pytest.approx(hits["shape"] / sum(hits.values()))
    conflict = int((shape != texture).sum())
    assert number(got["texture_accuracy"]) == pytest.approx(hits["texture"] / conflict)


def test_many_weak_classes_do_not_outweigh_one_strong_one() -> None:
    """The mean decides, not the sum: .4 against six times .1."""
    p = np.array([[0.4, *[0.1] * 6]])
    categories = {"one": [0], "six": [1, 2, 3, 4, 5, 6]}
    got = bias(np.log(p), ["one"], ["six"], categories=categories)
    assert number(got["shape_bias"]) == 1


def test_without_a_decision_it_is_absent() -> None:
    got = bias(np.eye(5)[[4, 4]], shape=[0, 1], texture=[1, 0])
    assert got["shape_bias"] == Value(None, 0, reason="no prediction follows either cue")
    assert number(got["shape_accuracy"]) == 0
    equal = bias(np.eye(5)[[1]], shape=[1], texture=[1])
    assert {v.value for v in equal.values()} == {None}
    empty = bias(np.zeros((0, 5)), np.array([], dtype=int), np.array([], dtype=int))
    assert {v.value for v in empty.values()} == {None}


@pytest.mark.parametrize(
    ("shape", "params", "message"),
    [
        ([0, 5], {}, "hold 0 to 5, not classes below 5"),
        ([-1, 1], {}, "hold -1 to 2, not classes below 5"),
        (["cat", "dog"], {}, "hold no class indices: name categories"),
        (["cat", "eel"], {"categories": {"cat": [0], "dog": [1]}}, "'eel' is no category"),
        ([0, 1], {"categories": {"cat": [0], "dog": [1]}}, "0 is no category"),
        (
            ["cat", "dog"],
            {"categories": {"cat": [0], "dog": [5]}},
            "categories.dog: class 5 is not",
        ),
    ],
)
def test_columns_that_will_not_do_are_said(
    shape: list[Any], params: dict[str, Any], message: str
) -> None:
    texture = shape[::-1] if isinstance(shape[0], str) else [1, 2]
    with pytest.raises(UnmeasurableError, match=message):
        bias(np.eye(5)[[0, 1]], shape, texture, **params)


@pytest.mark.parametrize("categories", [{"a": [0]}, {"a": [0], "b": []}, {"a": [0], "b": [0]}])
def test_bad_categories_name_their_field(categories: dict[str, list[int]]) -> None:
    with pytest.raises(ValidationError, match="categories"):
        make(ShapeBias, categories=categories)
