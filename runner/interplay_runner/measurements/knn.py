"""Nearest neighbours: what the geometry of the features knows, with nothing learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.measurement import OWN, ModelInfo, Table, Value

from .frozen import FeatureMeasurement, RowsParams, disjoint, features, labels, neighbours, unit
from .values import Distinct, absent, share

__all__ = ["Knn"]


class KnnParams(RowsParams):
    """How many neighbours, and how fast their weight falls."""

    ks: Distinct[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        (10, 20, 100, 200), min_length=1, max_length=8
    )
    temperature: float = Field(0.07, ge=0.01, le=10)


class Knn(FeatureMeasurement):
    """Top-1 of a weighted vote among the k training images with the most similar features.

    knn_top1 = mean_i [argmax_c sum_{j in N_k(i)} [y_j = c] exp(s_ij / T) = y_i], s_ij the cosine
    of the features z_i, float [n, d], of an image and z_j, float [m, d], of a training image (role
    `train`, at most `rows` of them); k in `ks`, T = `temperature`. Labels are the dataset's own
    and need not be classes of the model. In [0, 1], higher is better; a guess gives the share of
    the class guessed. Equally similar images go by id and equal votes to the lower class; features
    that are all zero have cosine 0. Absent where k is more than the training images. Wilson's
    interval: over test images, for these training images. Source: Wu et al. 2018, as evaluated by
    Caron et al. 2021 (arXiv 2104.14294): T = .07, k of 10, 20, 100, 200. Cost: D, L.
    """

    Params = KnnParams
    params: KnnParams

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        own, train = tables[OWN], tables["train"]
        disjoint(own, train, "train")
        truth, known = labels(own), labels(train)
        fitting = [k for k in self.params.ks if k <= len(known)]
        hits = self._hits(own, train, truth, known, fitting)
        values = {metric_key("knn_top1", k=k): share(hits[k].numpy()) for k in fitting}
        for k in set(self.params.ks) - set(fitting):
            reason = f"{k} neighbours are more than the {len(known)} training samples"
            values[metric_key("knn_top1", k=k)] = absent(len(truth), reason)
        return values

    def _hits(
        self, own: Table, train: Table, truth: Tensor, known: Tensor, ks: list[int]
    ) -> dict[int, Tensor]:
        """By k, whether each prediction is right: bool [n]."""
        said: dict[int, list[Tensor]] = {k: [] for k in ks}
        if ks:
            bank = unit(features(train))
            for cosine, index in neighbours(unit(features(own)), bank, max(ks)):
                weight = ((cosine - cosine[:, :1]) / self.params.temperature).exp()
                for k in ks:
                    votes = torch.zeros(len(index), int(known.max()) + 1, dtype=torch.float64)
                    votes.scatter_add_(1, known[index[:, :k]], weight[:, :k])
                    # Sums of the same weights in another order must tie; argmax takes the first.
                    said[k].append(votes.round(decimals=9).argmax(dim=1))
        return {k: torch.cat(s) == truth for k, s in said.items()}
