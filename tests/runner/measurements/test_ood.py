"""OOD detection: on paper, against scikit-learn, both conventions, and that FPR95 is covered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors

from interplay_runner.intervals import IntervalError
from interplay_runner.measurement import IDENTITY, Table, UnmeasurableError, Value
from interplay_runner.measurements.ood import Ood, OodKnn, detection, fpr_at_tpr
from tests.runner.measurements.builders import info, make, number, table, values

SEED = 20240624


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    print("seed", SEED + seed)
    return np.random.default_rng(SEED + seed).normal(size=(n, 8)) + shift


def plain(x: np.ndarray) -> Table:
    return table(x, np.zeros(len(x), dtype=int))


def fpr(label: np.ndarray, score: np.ndarray) -> float:
    """By scikit-learn: the first threshold that reaches 95 %."""
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    return float(false[np.argmax(true >= 0.95)])


def agrees(got: dict[str, Value], name: str, own: np.ndarray, other: np.ndarray) -> None:
    score, familiar = np.r_[own, other], np.r_[np.ones(len(own)), np.zeros(len(other))]
    expected = {
        f"ood_auroc_{name}": roc_auc_score(familiar, score),
        f"fpr95_ood_pos_{name}": fpr(1 - familiar, -score),
        f"fpr95_id_pos_{name}": fpr(familiar, score),
    }
    assert {k: number(got[k]) for k in expected} == pytest.approx(expected, abs=1e-12)


def test_the_two_conventions_are_two_numbers() -> None:
    # ID 1..100 and OOD 0.5, 1.5, .. 39.5, then 10 far above all.
    own, ood = np.arange(1.0, 101), np.r_[np.arange(40) + 0.5, np.full(10, 1000)]
    got = values(detection(own, ood, "s", "far"))
    # 95 % of ID is 6 and above: 34 + 10 of the 50 OOD. 95 % of OOD are all below and 8 of the far.
    assert number(got["fpr95_id_pos_s_far"]) == 44 / 50
    assert number(got["fpr95_ood_pos_s_far"]) == 1
    area = sum((own > o).mean() for o in ood) / 50
    assert number(got["ood_auroc_s_far"]) == pytest.approx(area)
    assert (got["ood_auroc_s_far"].n, got["ood_auroc_s_far"].null) == (150, 0.5)


def test_scores_are_what_other_libraries_say() -> None:
    x, z = 3 * features(120, 1), 2 * features(90, 2)
    z[:30] = x[:30]  # ties across the two
    got = values(make(Ood, label="noise").compute({"": plain(x), "ood": plain(z)}, info()))
    x, z = (a.astype(np.float32).astype(np.float64) for a in (x, z))
    agrees(got, "msp_noise", *(softmax(f, axis=1).max(axis=1) for f in (x, z)))
    agrees(got, "maxlogit_noise", *(f.max(axis=1) for f in (x, z)))
    agrees(got, "energy_noise", *(logsumexp(f, axis=1) for f in (x, z)))
    assert len(got) == 9


def test_neighbours_distance_is_what_scikit_learn_says() -> None:
    train, own, ood = features(80, 3, 1.0), features(60, 4, 1.0), features(50, 5)
    tables = {"train": plain(train), "": plain(own), "ood": plain(ood)}
    got = values(make(OodKnn, label="far", k=7).compute(tables, info()))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, own, ood)]
    near = NearestNeighbors(n_neighbors=7).fit(unit[0])
    scores = [-near.kneighbors(x)[0][:, -1] for x in unit[1:]]
    agrees(got, "knn_k7_far", *scores)


def test_two_ood_sets_have_two_names_and_a_label_is_needed() -> None:
    tables = {"": plain(features(30, 1)), "ood": plain(features(30, 2))}
    near, far = (make(Ood, label=x).compute(tables, info()) for x in ("near", "far"))
    assert not near.keys() & far.keys()
    for wrong in ({}, {"label": "No"}, {"label": "a_b"}, {"label": "x" * 17}):
        with pytest.raises(ValueError, match="label"):
            make(Ood, **wrong)
    assert not any(need.labels for need in make(Ood, label="x").needs(info()).values())


@pytest.mark.parametrize(
    ("m", "n", "shift"), [(100, 300, 2), (300, 100, 1), (600, 600, 3.5), (100, 100, 0)]
)
def test_fpr95_covers_although_its_threshold_is_estimated(m: int, n: int, shift: float) -> None:
    """Positives N(0, 1), negatives N(-shift, 1): the threshold is the 5 % quantile."""
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    truth = norm.cdf(-shift + norm.ppf(0.95))
    found = [fpr_at_tpr(rng.normal(size=m), rng.normal(-shift, 1, n)) for _ in range(300)]
    covered = sum(e.low <= truth <= e.high for e in found)
    assert covered >= 276  # .92 of 300; the naive Wilson interval alone has .5 to .9
    assert np.mean([e.value for e in found]) == pytest.approx(truth, abs=0.03)


def test_perfect_useless_few_and_none_are_defined_or_say_why() -> None:
    perfect = values(detection(np.arange(2.0, 102), np.zeros(100) - np.arange(100), "s", "x"))
    assert [v.value for v in perfect.values()] == [1, 0, 0]
    assert perfect["ood_auroc_s_x"].method == "newcombe"
    assert perfect["fpr95_id_pos_s_x"].high == pytest.approx(0.037, abs=0.001)  # Wilson of 0 of 100
    tied = values(detection(np.ones(50), np.ones(40), "s", "x"))
    assert tied["ood_auroc_s_x"].reason == "ID against OOD: all scores are tied"
    assert [v.value for v in tied.values()][1:] == [1, 1]
    # Below 72 positives the threshold may lie beyond all of them.
    assert fpr_at_tpr(np.arange(71.0), np.arange(-50.0, 0)).high == 1
    assert fpr_at_tpr(np.arange(72.0), np.arange(-50.0, 0)).high < 0.1
    with pytest.raises(IntervalError, match="0 positives"):
        fpr_at_tpr(np.zeros(0), np.ones(3))
    assert all(v.reason for v in values(detection(np.ones(3), np.zeros(0), "s", "x")).values())


def test_too_few_neighbours_and_a_shared_bank_say_why() -> None:
    own, ood = plain(features(30, 1)), plain(features(20, 2))
    got = values(make(OodKnn, label="x").compute({"": own, "ood": ood, "train": ood}, info()))
    assert {v.reason for v in got.values()} == {
        "50 neighbours are more than the 20 training samples"
    }
    assert {v.n for v in got.values()} == {50}
    with pytest.raises(UnmeasurableError, match=r"references\.train: 30"):
        make(OodKnn, label="x").compute({"": own, "ood": ood, "train": own}, info())
    renamed = replace(own.records[IDENTITY], ids=np.array([f"other-{i}" for i in range(30)]))
    other = Table({IDENTITY: renamed}, own.logits, own.features)
    assert make(OodKnn, label="x", k=1).compute({"": own, "ood": ood, "train": other}, info())
