"""Few-shot transfer: what a linear classifier learns from a handful of images per class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.intervals import Estimate, IntervalError, transformed_t, wilson
from interplay_runner.measurement import OWN, ModelInfo, Table, Value

from .frozen import (
    FeatureMeasurement,
    RowsParams,
    disjoint,
    features,
    hash_order,
    ids,
    labels,
    unit,
)
from .probe import ridge
from .values import Distinct, absent, measured

__all__ = ["FewShot", "crossed"]


class FewShotParams(RowsParams):
    """How many images per class, and how often they are drawn."""

    shots: Distinct[Annotated[int, Field(ge=1, le=1000)]] = Field(
        (1, 5, 10), min_length=1, max_length=8
    )
    draws: int = Field(10, ge=3, le=100)
    l2: float = Field(0.01, ge=1e-6, le=1e6)


class FewShot(FeatureMeasurement):
    """Top-1 of a ridge classifier learnt from k training images per class, averaged over draws.

    few_shot_top1 = mean_{r, i} a_ri, a_ri = [draw r predicts y_i]; k in `shots`. A draw is the
    first k images of each class in the order of sha256(seed, r, id), so draws are nested in k. The
    classifier is least squares to one-hot labels on x, the features, float [n, d], brought to unit
    norm, centred and divided by the root mean square of their norms over the draw, so that the
    penalty means the same for every model:
    min over W, b of mean_j |y_j - W'x_j - b|^2 / 2 + (l2 / 2) |W|^2, in closed form. Labels are
    the dataset's own and need not be classes of the model. In [0, 1], higher is better; 1 / classes
    for a guess. Absent where a class has fewer than k training images.

    Interval: over draws and over test images together. Draws and images are crossed, so
    Var = (MS_draws + MS_images - MS_rest) / (R n) from the mean squares of the table a [R, n];
    the last one is left out, which can only widen it. Student's t with Satterthwaite's degrees of
    freedom, on the scale of the logit; coverage by simulation .93 to .98. Wilson's interval, of n
    images, where every a is the same. It speaks of draws from these training images. Source:
    Kolesnikov et al. 2019 (arXiv 1912.11370), Dosovitskiy et al. 2020 (arXiv 2010.11929) for least
    squares to the label. Cost: D, L.
    """

    Params = FewShotParams
    params: FewShotParams

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        own, train = tables[OWN], tables["train"]
        disjoint(own, train, "train")
        y, known, names = labels(own), labels(train), ids(train)
        x, pool = unit(features(own)), unit(features(train))
        classes, sizes = torch.unique(known, return_counts=True)
        orders = [
            _by_class(known, sizes, hash_order(names, f"few-shot:{self.seed}:{draw}"))
            for draw in range(self.params.draws)
        ]

        def value(k: int) -> Value:
            if len(classes) < 2:
                return absent(len(y), "train: a classifier needs samples of two classes")
            if int(sizes.min()) < k:
                least = int(sizes.argmin())
                few = f"class {classes[least]} has {sizes[least]} training samples, fewer than {k}"
                return absent(len(y), few)
            hits = np.empty((len(orders), len(y)), dtype=np.bool_)
            for row, (order, place) in zip(hits, orders, strict=True):
                drawn = order[place < k]
                row[:] = (_predicted(pool[drawn], known[drawn], x, self.params.l2) == y).numpy()
            method = "wilson" if hits.all() or not hits.any() else "crossed-t"
            return measured(len(y), method, lambda: crossed(hits))

        return {metric_key("few_shot_top1", k=k): value(k) for k in self.params.shots}


def _by_class(known: Tensor, sizes: Tensor, order: list[int]) -> tuple[Tensor, Tensor]:
    """The samples in their order, class by class, and the place of each in its class, from 0."""
    rows = torch.tensor(order, dtype=torch.int64)
    rows = rows[known[rows].argsort(stable=True)]
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return rows, torch.arange(len(rows)) - starts


def _predicted(support: Tensor, known: Tensor, x: Tensor, l2: float) -> Tensor:
    """The class of each row of x."""
    centre = support.mean(dim=0)
    spread = float((support - centre).square().sum(dim=1).mean().sqrt()) or 1.0
    fit = ridge((support - centre) / spread, known, l2)
    return fit.classes[fit.scores((x - centre) / spread).argmax(dim=1)]


def crossed(hits: npt.NDArray[np.bool_]) -> Estimate:
    """The mean of a table [R, n] whose rows and columns are both drawn; R, n >= 2."""
    draws, n = hits.shape
    if n < 2:
        raise IntervalError("no samples" if n == 0 else "one sample has no interval")
    mean = float(hits.mean())
    if mean in (0.0, 1.0):
        return wilson(n * int(mean), n)
    squares = np.array([n * hits.mean(axis=1).var(ddof=1), draws * hits.mean(axis=0).var(ddof=1)])
    if not squares.any():
        raise IntervalError(f"{draws} draws of {n} samples show no variance")
    freedom = squares.sum() ** 2 / (squares**2 / [draws - 1, n - 1]).sum()
    error = math.sqrt(squares.sum() / (draws * n))
    return transformed_t(mean, error, int(freedom), scale="logit")
