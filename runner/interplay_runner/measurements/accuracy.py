"""Accuracy: how often the label is among the first choices, over all samples and per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from interplay_api.names import metric_key
from interplay_runner.intervals import null_minimum
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Parameters,
    Record,
    RecordMeasurement,
    Value,
    View,
)

from .gaps import lowest
from .values import Distinct, absent, measured, share

__all__ = ["AnyLabelTopK", "NoiseAccuracy", "TopK", "WorstClass"]


class TopKParams(Parameters):
    """Which k."""

    ks: Distinct[Annotated[int, Field(ge=1, le=1000)]] = Field((1, 5), min_length=1, max_length=8)


class TopK(RecordMeasurement):
    """Share of samples whose label is among the k classes with the highest logits.

    `top<k>`: mean_i [rank_i < k], rank_i the number of classes before the label, ties to the lower
    class index. In [0, 1], higher is better; Wilson's interval. With fewer than k classes there
    is no top k. Source: Russakovsky et al. 2015 (ImageNet).
    """

    Params = TopKParams
    category = "benefit"
    params: TopKParams
    _classes: int | None = None

    def need(self, model: ModelInfo) -> Need:
        self._classes = model.num_classes
        return Need()

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        rank = records[IDENTITY].rank
        return {f"top{k}": self._top(rank < k, k) for k in self.params.ks}

    def _top(self, hits: npt.NDArray[np.bool_], k: int) -> Value:
        if self._classes is not None and self._classes < k:
            return absent(len(hits), f"the model has {self._classes} classes, fewer than {k}")
        return share(hits)


class AnyLabelTopK(TopK):
    """Share of samples with a right label, of several, among the k classes with highest logits.

    `any_top<k>`: mean_i [min_{c in L_i} rank_i(c) < k] over the samples whose set L_i of right
    labels is not empty, rank_i(c) the number of classes before c, ties to the lower class index. In
    [0, 1], higher is better; Wilson's interval. Where a dataset has one label each it equals the
    top k; ImageNet's labels reassessed (ReaL), GeoDE and Dollar Street have sets. Sources: Beyer et
    al. 2020 (arXiv 2006.07159), DeVries et al. 2019 (arXiv 1906.02659). Cost: F.
    """

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        rank = records[IDENTITY].any_rank
        rank = rank[rank >= 0]
        return {f"any_top{k}": self._top(rank < k, k) for k in self.params.ks}


class WorstClass(RecordMeasurement):
    """Accuracy of the class with the lowest accuracy: worst_class = min_c acc_c.

    In [0, 1], higher is better. Over the classes that have samples. The minimum of many noisy
    shares is low by itself, so `null` is E[min] if every class had the overall accuracy, and the
    interval is [min low_c, min high_c] of Wilson intervals that hold for all classes together.
    Source: Sagawa et al. 2020 (worst group), with classes as groups.
    """

    category = "benefit"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        hits = np.bincount(record.label, weights=record.correct).astype(np.float64)
        sizes = np.bincount(record.label).astype(np.float64)
        hits, sizes = hits[sizes > 0], sizes[sizes > 0]
        n = len(record.label)

        rng = np.random.default_rng(self.seed)
        null = null_minimum(float(hits.sum() / n), sizes, rng) if n else None
        method = "wilson-simultaneous"
        return {"worst_class": measured(n, method, lambda: lowest(hits, sizes), null=null)}


class NoiseParams(Parameters):
    """Which noise."""

    sigmas: Distinct[Annotated[float, Field(gt=0, le=10)]] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5), min_length=1, max_length=16
    )


class NoiseAccuracy(RecordMeasurement):
    """Top-1 on images with Gaussian noise: x' = clip(x + sigma g, 0, 1), g ~ N(0, 1) per pixel.

    `noise_top1` in [0, 1], higher is better; Wilson's interval. sigma in units of the pixel range
    [0, 1]; one draw per sample, seeded by its id and scaled by every sigma. Source: the Gaussian
    noise of Hendrycks & Dietterich 2019, without its severities.
    """

    Params = NoiseParams
    category = "benefit"
    cost = "T"
    params: NoiseParams

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need(views=tuple(map(_noise, self.params.sigmas)))

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        return {
            metric_key("noise_top1", sigma=sigma): share(records[_noise(sigma)].correct)
            for sigma in self.params.sigmas
        }


def _noise(sigma: float) -> View:
    return View.of("noise", sigma=sigma)
