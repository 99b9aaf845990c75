"""Few-shot: on paper, draws by definition, and that the interval covers draws and images both."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import Ridge

from interplay_runner.intervals import IntervalError
from interplay_runner.measurement import Value
from interplay_runner.measurements.few_shot import FewShot, crossed
from tests.runner.measurements.builders import ids, info, make, number, values
from tests.runner.measurements.test_knn import blobs, labelled

SEED = 20240623


def few_shot(own: object, train: object, **parameters: object) -> dict[str, Value]:
    tables = {"": own, "train": train}
    return values(make(FewShot, **parameters).compute(tables, info()))  # type: ignore[arg-type]


def test_one_image_of_each_class_tells_directions_apart() -> None:
    axes = np.eye(4)[np.arange(40) % 4]
    got = few_shot(labelled(axes, np.arange(40) % 4), labelled(3 * axes, np.arange(40) % 4))
    assert {k: v.value for k, v in got.items()} == dict.fromkeys(got, 1.0)
    assert got["few_shot_top1_k10"].method == "wilson"
    assert got["few_shot_top1_k1"].n == 40


def test_draws_and_classifier_by_definition() -> None:
    (x, y), (z, t) = blobs(80, 1, classes=4), blobs(120, 2, classes=4)
    got = few_shot(labelled(x, y), labelled(z, t), shots=[3], draws=4, l2=0.5)
    names, hits = ids(120), []
    x, z = (a / np.linalg.norm(a.astype(np.float64), axis=1, keepdims=True) for a in (x, z))
    for draw in range(4):
        keys = [hashlib.sha256(f"few-shot:0:{draw}:{name}".encode()).digest() for name in names]
        order = sorted(range(120), key=keys.__getitem__)
        rows = [i for c in range(4) for i in [j for j in order if t[j] == c][:3]]
        scale = np.sqrt(z[rows].var(axis=0).sum())
        theirs = Ridge(alpha=0.5 * 12).fit(z[rows] / scale, np.eye(4)[t[rows]])
        hits.append(theirs.predict(x / scale).argmax(axis=1) == y)
    value = got["few_shot_top1_k3"]
    assert number(value) == pytest.approx(np.mean(hits), abs=1e-12)
    assert value.method == "crossed-t"


def test_the_scale_of_the_features_does_not_matter() -> None:
    (x, y), (z, t) = blobs(60, 1), blobs(100, 2)
    one = few_shot(labelled(x, y), labelled(z, t))
    assert few_shot(labelled(100 * x, y), labelled(100 * z, t)) == one


def test_the_variance_is_that_of_a_crossed_table() -> None:
    # Nothing but rows: R = 2 shares .25 and .75, so the error is that of two numbers.
    rows = np.zeros((2, 400), dtype=bool)
    rows[0, :100] = rows[1, :300] = True
    print("seed", SEED)
    for row in rows:
        np.random.default_rng(SEED + int(row.sum())).shuffle(row)
    found = crossed(rows)
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0, 1), abs=0.01)
    with pytest.raises(IntervalError, match="no variance"):
        crossed(np.eye(2, dtype=bool))


@pytest.mark.parametrize(("rows", "columns"), [(0.05, 1.0), (0.4, 1.0), (0.4, 0.2), (0.0, 2.0)])
def test_the_interval_covers_draws_and_images(rows: float, columns: float) -> None:
    """a_ri = [normal + row effect + image effect < 1]: the mean is known, both effects vary."""
    print("seed", SEED)
    rng, covered = np.random.default_rng(SEED), 0
    truth = norm.cdf(1 / np.sqrt(1 + rows**2 + columns**2))
    for _ in range(300):
        effect = rows * rng.normal(size=(10, 1)) + columns * rng.normal(size=(1, 200))
        found = crossed(rng.normal(size=(10, 200)) + effect < 1)
        covered += found.low <= truth <= found.high
    assert covered >= 276  # .92 of 300; .95 has a standard error of .013


def test_too_few_of_a_class_one_class_and_no_samples_say_why() -> None:
    (x, y), z = blobs(20, 1, classes=2), np.eye(4)
    got = few_shot(labelled(x[:, :4], y), labelled(z, [3, 3, 8, 3]), shots=[1, 2])
    assert got["few_shot_top1_k1"].value is not None
    assert got["few_shot_top1_k2"].reason == "class 8 has 1 training samples, fewer than 2"
    one = few_shot(labelled(x[:, :4], y), labelled(z, [3] * 4))
    nothing = few_shot(labelled(x[:0, :4], []), labelled(z, [3, 3, 8, 3]), shots=[1])
    single = few_shot(labelled(x[:1, :4], [9]), labelled(z, [3, 3, 8, 3]), shots=[1])
    reasons = {v.reason for v in [*one.values(), *nothing.values(), *single.values()]}
    assert reasons == {
        "train: a classifier needs samples of two classes",
        "no samples",
        "one sample has no interval",
    }
