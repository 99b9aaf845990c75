"""kNN: on paper, against scikit-learn, and that ties, zeros and shared samples are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from interplay_runner.measurement import Table, UnmeasurableError, Value
from interplay_runner.measurements import frozen
from interplay_runner.measurements.knn import Knn
from tests.runner.measurements.builders import info, make, number, table, values

SEED = 20240621


def knn(own: Table, train: Table, **parameters: object) -> dict[str, Value]:
    return values(make(Knn, **parameters).compute({"": own, "train": train}, info()))


def labelled(features: object, labels: object) -> Table:
    """Logits that nothing reads."""
    return table(np.zeros((len(labels), 100)), labels, features)  # type: ignore[arg-type]


def blobs(n: int, seed: int, classes: int = 7, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    print("seed", SEED + seed)
    rng, centres = np.random.default_rng(SEED + seed), np.random.default_rng(SEED)
    labels = rng.integers(0, classes, n)
    x = centres.normal(size=(classes, d))[labels] + 2 * rng.normal(size=(n, d))
    return x.astype(np.float32), labels


def test_a_near_neighbour_outweighs_two_far_ones() -> None:
    train = labelled([[1, 0], [0, 1], [0, 1]], [4, 9, 9])
    own = labelled([[1.0, 0.9], [0.1, 1]], [4, 9])
    # Cosines .743 and .669: e^(.743 / .07) > 2 e^(.669 / .07), but not at T = 1.
    assert number(knn(own, train, ks=[3])["knn_top1_k3"]) == 1
    assert number(knn(own, train, ks=[3], temperature=1)["knn_top1_k3"]) == 0.5


def test_it_is_what_scikit_learn_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "MAX_CELLS", 5000)  # several runs of queries
    (x, y), (z, t) = blobs(150, 1), blobs(400, 2)
    got = knn(labelled(x, y), labelled(z, t), ks=[1, 10, 200])
    for k in (1, 10, 200):
        theirs = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
        ).fit(z.astype(np.float64), t)
        value = got[f"knn_top1_k{k}"]
        assert number(value) == pytest.approx(theirs.score(x.astype(np.float64), y), abs=1e-12)
        assert (value.n, value.method) == (150, "wilson")


def test_equal_neighbours_go_by_place_and_equal_votes_to_the_lower_class() -> None:
    same = np.tile([[3.0, 4.0]], (6, 1))
    train, own = labelled(same, [5, 2, 2, 5, 5, 5]), labelled([[0.6, 0.8]] * 4, [5, 2, 0, 0])
    got = knn(own, train, ks=[1, 2, 3, 4])
    # k = 1: class 5; 2: a tie, 2; 3: class 2; 4: a tie again.
    assert [number(got[f"knn_top1_k{k}"]) for k in (1, 2, 3, 4)] == [0.25] * 4
    ones = torch.ones(2, 1, dtype=torch.float64)
    index = torch.cat([i for _, i in frozen.neighbours(ones, ones, 2)])
    assert index.tolist() == [[0, 1], [0, 1]]


def test_a_bank_too_small_no_samples_and_zeros_are_defined_or_say_why() -> None:
    train = labelled(np.eye(3), [0, 1, 2])
    got = knn(labelled(np.zeros((5, 3)), [0] * 5), train, ks=[1, 4])
    assert number(got["knn_top1_k1"]) == 1
    assert got["knn_top1_k4"].reason == "4 neighbours are more than the 3 training samples"
    nothing = labelled(np.zeros((0, 3)), [])
    assert knn(nothing, train, ks=[1])["knn_top1_k1"].reason == "no samples"
    assert knn(train, nothing, ks=[1])["knn_top1_k1"].value is None


def test_what_is_measured_on_may_not_be_learnt_from() -> None:
    x, y = blobs(30, 1)
    with pytest.raises(UnmeasurableError, match=r"references\.train: 30 of its samples"):
        knn(labelled(x, y), labelled(x, y))


def test_labels_need_not_be_classes_and_only_the_bank_is_capped() -> None:
    needs = make(Knn, rows=500).needs(info())
    assert {r: (n.rows, n.labels) for r, n in needs.items()} == {
        "": (None, False),
        "train": (500, False),
    }
