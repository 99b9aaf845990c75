"""Out-of-distribution detection: does a score tell images of the dataset from those of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, StringConstraints
from scipy import special

from interplay_api.names import metric_key
from interplay_runner.intervals import Estimate, IntervalError, auroc, wilson
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    Value,
)

from .frozen import FeatureMeasurement, RowsParams, disjoint, features, neighbours, unit
from .values import absent, measured

__all__ = ["Ood", "OodKnn", "detection", "fpr_at_tpr"]

Array = npt.NDArray[np.float64]
TPR = 0.95
TAIL = 0.025
OTHER = "images that the dataset does not stand for"
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$", max_length=16)]


class OodParams(Parameters):
    """What the other dataset is called."""

    label: Label
    """Stands in every metric's name for the dataset in the role `ood`, so that several fit."""


class Ood(TableMeasurement):
    """Does a score of the logits tell images of the dataset (ID) from images of another (OOD).

    Scores s, higher for what looks familiar, of logits f, float [n, classes]: `msp` max_c p_c with
    p the softmax of f; `maxlogit` max_c f_c; `energy` ln sum_c exp f_c, the negative energy at
    temperature 1. For each, with <label> the parameter that names the OOD dataset (role `ood`,
    whose labels are not read):

    - `ood_auroc_<score>_<label>`: P(s of ID > s of OOD), ties one half. In [0, 1], higher is
      better, null .5. DeLong's interval; Newcombe's where no two images overlap.
    - `fpr95_ood_pos_<score>_<label>`: OOD is the positive class; the share of ID images that are
      called OOD at the threshold that finds at least 95 % of the OOD images, s <= t.
    - `fpr95_id_pos_<score>_<label>`: ID is the positive class; the share of OOD images that are
      accepted at the threshold that accepts at least 95 % of the ID images, s >= t. Both
      conventions are in use under one name. In [0, 1], lower is better, null .95.

    FPR95 interval: two independent errors, that of the share at the threshold (Wilson) and that of
    the threshold, between the order statistics that bound it with 95 % (binomial), joined by MOVER
    (Zou & Donner 2008): the distance of an end is the root of the sum of their squares. Coverage
    by simulation is .95 to .99. Below 72 positives nothing bounds the threshold from the far side,
    and that end is 1. Both datasets must let the same classes compete (Dataset field `logits`).
    Sources: Hendrycks & Gimpel 2017 (arXiv 1610.02136), Hendrycks et al. 2022 (arXiv 1911.11132),
    Liu et al. 2020 (arXiv 2010.03759). Cost: D, F.
    """

    roles: ClassVar[Mapping[str, str]] = {"ood": OTHER}
    Params = OodParams
    category = "benefit"
    cost = "F+D"
    params: OodParams

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        del model
        return dict.fromkeys((OWN, "ood"), Need(labels=False))

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        own, ood = (tables[role].records[IDENTITY] for role in (OWN, "ood"))
        return {
            **detection(own.maxprob, ood.maxprob, "msp", self.params.label),
            **detection(own.maxlogit, ood.maxlogit, "maxlogit", self.params.label),
            **detection(-own.energy, -ood.energy, "energy", self.params.label),
        }


class OodKnnParams(RowsParams, OodParams):
    """Which neighbour."""

    k: int = Field(50, ge=1, le=10_000)


class OodKnn(FeatureMeasurement):
    """Does the distance to training images tell images of the dataset (ID) from others (OOD).

    s = -|z - z_(k)|, z the features, float [n, d], at unit norm and z_(k) the k-th nearest of those
    of the training images (role `train`, at most `rows` of them), k = 50. Values, ranges and
    intervals are those of `ood` with the score `knn_k<k>`: `ood_auroc_knn_k50_<label>` (higher is
    better), `fpr95_ood_pos_knn_k50_<label>` and `fpr95_id_pos_knn_k50_<label>` (lower is better);
    <label> names the dataset in the role `ood`. No labels are read. Features that are all zero
    have distance sqrt 2 to any. Absent where k is more than the training images. The interval is
    over images of both datasets, for these training images. Source: Sun et al. 2022
    (arXiv 2204.06507). Cost: D, L.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "train": "images like those of the dataset, disjoint from it",
        "ood": OTHER,
    }
    Params = OodKnnParams
    params: OodKnnParams

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        disjoint(tables[OWN], tables["train"], "train")
        bank, k = unit(features(tables["train"])), self.params.k

        def score(table: Table) -> Array:
            found = [s[:, -1] for s, _ in neighbours(unit(features(table)), bank, k)]
            distance: Array = (2 - 2 * torch.cat(found)).clamp(min=0).sqrt().numpy()
            return -distance

        own, ood = tables[OWN], tables["ood"]
        if k <= len(bank):
            return detection(score(own), score(ood), metric_key("knn", k=k), self.params.label)
        n = len(own.records[IDENTITY].ids) + len(ood.records[IDENTITY].ids)
        reason = f"{k} neighbours are more than the {len(bank)} training samples"
        names = _names(metric_key("knn", k=k), self.params.label)
        return dict.fromkeys(names, absent(n, reason))


def _names(score: str, label: str) -> list[str]:
    kinds = ("ood_auroc", "fpr95_ood_pos", "fpr95_id_pos")
    return [f"{kind}_{score}_{label}" for kind in kinds]


def detection(own: Array, ood: Array, score: str, label: str) -> dict[str, Value]:
    """The three values of one score, float64 [n] and [m], higher for what looks familiar."""
    n = len(own) + len(ood)
    area, ood_pos, id_pos = _names(score, label)
    return {
        area: _area(own, ood),
        ood_pos: measured(n, "mover", lambda: fpr_at_tpr(-ood, -own), null=TPR),
        id_pos: measured(n, "mover", lambda: fpr_at_tpr(own, ood), null=TPR),
    }


def _area(own: Array, ood: Array) -> Value:
    n = len(own) + len(ood)
    try:
        value, low, high, method = auroc(own, ood)
    except IntervalError as error:
        return absent(n, f"ID against OOD: {error}")
    return Value(value, n, low, high, method, 0.5)


def fpr_at_tpr(positive: Array, negative: Array) -> Estimate:
    """The share of negatives that reach the score which 95 % of the positives reach.

    positive: float64 [m], negative: float64 [n], higher means positive.
    """
    m, n = len(positive), len(negative)
    if m == 0 or n == 0:
        raise IntervalError(f"{m} positives and {n} negatives are too few")
    falling = -np.sort(-positive)

    def passed(rank: int) -> float:
        """The share of negatives that reach the positive of this rank, from 1; beyond all, 1."""
        return 1.0 if rank > m else float((negative >= falling[rank - 1]).mean())

    value = passed(math.ceil(round(TPR * m, 9)))
    at_rank = wilson(round(value * n), n)
    # Positives beyond the true threshold are binomial(m, .95): the ranks that bound it.
    count = np.arange(m + 1)
    below = special.bdtr(count, m, TPR)
    first = int((below <= TAIL).sum())
    last = int((below < 1 - TAIL).sum()) + 1
    strict = passed(first) if first else 0.0
    low = value - math.hypot(value - at_rank.low, value - strict)
    high = value + math.hypot(at_rank.high - value, passed(last) - value)
    return Estimate(value, max(low, 0.0), min(high, 1.0))
