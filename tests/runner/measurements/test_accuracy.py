"""Accuracy: top-k, the worst class and noise, against scikit-learn and on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import recall_score, top_k_accuracy_score

from interplay_runner.measurement import Value, View
from interplay_runner.measurements.accuracy import AnyLabelTopK, NoiseAccuracy, TopK, WorstClass
from tests.runner.measurements.builders import info, make, number, record, records, values

SEED = 20240602


def top(logits: np.ndarray, labels: np.ndarray, classes: int, **params: object) -> dict[str, Value]:
    measurement = make(TopK, **params)
    measurement.need(info(classes=classes))
    return values(measurement.compute(records(record(logits, labels))))


def test_top_k_and_worst_class_are_sklearns() -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(300, 10)), rng.integers(0, 10, 300)
    logits[np.arange(300), labels] += 1.5
    got = top(logits, labels, 10, ks=[1, 3])
    for k in (1, 3):
        expected = top_k_accuracy_score(labels, logits, k=k, labels=range(10))
        assert number(got[f"top{k}"]) == pytest.approx(expected, abs=1e-12)
    worst = values(make(WorstClass).compute(records(record(logits, labels))))["worst_class"]
    per_class = recall_score(labels, logits.argmax(axis=1), average=None)
    assert number(worst) == pytest.approx(per_class.min(), abs=1e-12)
    assert worst.null is not None
    assert worst.null < number(got["top1"])


def test_fewer_classes_than_k_is_absent_and_k_of_all_is_one() -> None:
    logits, labels = np.eye(4)[[0, 1, 2, 3]], np.array([1, 1, 2, 3])
    got = top(logits, labels, 4, ks=[1, 4, 5])
    assert number(got["top1"]) == 0.75
    assert number(got["top4"]) == 1
    assert got["top5"] == Value(None, 4, reason="the model has 4 classes, fewer than 5")


def test_ties_go_to_the_lower_class() -> None:
    got = top(np.zeros((3, 5)), np.array([0, 1, 4]), 5, ks=[1, 2])
    assert number(got["top1"]) == pytest.approx(1 / 3)
    assert number(got["top2"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("labels", [[0], [0] * 30, [0, 0, 5]])
def test_worst_class_of_few_classes_is_defined(labels: list[int]) -> None:
    item = record(np.eye(6)[labels], labels)
    worst = values(make(WorstClass).compute(records(item)))["worst_class"]
    assert (worst.value, worst.n, worst.null) == (1, len(labels), 1)


def test_any_label_counts_the_best_right_class_and_leaves_out_samples_without_one() -> None:
    rng = np.random.default_rng(SEED)
    logits, labels = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    sets = [rng.permutation(10)[: rng.integers(0, 4)].tolist() for _ in labels]
    order = np.argsort(-logits, axis=1)
    ranks = [
        min((int(np.argmax(o == c)) for c in s), default=-1)
        for o, s in zip(order, sets, strict=True)
    ]
    item = replace(record(logits, labels), any_rank=np.array(ranks))
    measurement = make(AnyLabelTopK, ks=[1, 3, 11])
    measurement.need(info(classes=10))
    got = values(measurement.compute(records(item)))
    some = [bool(s) for s in sets]
    for k in (1, 3):
        hits = [bool({*s} & {*o[:k].tolist()}) for o, s in zip(order, sets, strict=True) if s]
        value = got[f"any_top{k}"]
        assert value.n == sum(some)
        assert number(value) == pytest.approx(np.mean(hits), abs=1e-12)
    assert got["any_top11"].reason == "the model has 10 classes, fewer than 11"
    nothing = replace(item, any_rank=np.full(200, -1))
    assert measurement.compute(records(nothing))["any_top1"] == Value(None, 0, reason="no samples")


def test_noise_reads_the_noisy_views() -> None:
    measurement = make(NoiseAccuracy, sigmas=[0.3, 0.1])
    views = measurement.need(info()).views
    assert views == (View.of("noise", sigma=0.3), View.of("noise", sigma=0.1))
    labels = np.arange(4)
    wrong = record(np.eye(4)[[1, 1, 2, 0]], labels)
    got = values(measurement.compute({views[0]: wrong, views[1]: record(np.eye(4), labels)}))
    assert number(got["noise_top1_sigma0p3"]) == 0.5
    assert number(got["noise_top1_sigma0p1"]) == 1


@pytest.mark.parametrize("sigmas", [[], [0], [0.1, 0.1], [float("nan")], [0.1, 0.1000000001]])
def test_bad_parameters_name_their_field(sigmas: list[float]) -> None:
    with pytest.raises(ValidationError, match="sigmas"):
        make(NoiseAccuracy, sigmas=sigmas)
