"""Calibration of every class's probability, not of the first choice alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor

from interplay_runner.intervals import Estimate, classwise_bound
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Output,
    State,
    StreamMeasurement,
    Value,
    View,
)

from .calibration_bins import BINS, EDGES
from .values import absent, measured

__all__ = ["ClasswiseEce"]

Array = npt.NDArray[np.float64]


class ClasswiseEce(StreamMeasurement):
    """Class-wise expected calibration error: that of each class's probability, averaged.

    classwise_ece = 1/K sum_k sum_b (n_kb / n) |acc_kb - conf_kb|, over K classes and 15 bins of
    equal width, (lo, hi], of the softmax p_i(k), float [n, K]: n_kb predictions lie in bin b of
    class k, a share acc_kb of them is of class k, and conf_kb is their mean p(k). In [0, 2/K],
    lower is better: most of the n K probabilities are small and right, so it shrinks with K, and
    only values at one K compare. `null` is its expectation if the classes came with the
    probabilities stated. Interval: a bound with at least 95 % coverage; the errors of the classes
    hang together, which at most doubles the variance of their sum. Bins of equal width throughout:
    the class-wise adaptive error (ACE) needs every probability at once and is not this. Source:
    Nixon et al. 2019 (arXiv 1904.01685), as SCE. Cost: F.
    """

    category = "property"

    def init(self, model: ModelInfo) -> State:
        cells = model.num_classes, BINS
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "size": torch.zeros(cells, dtype=torch.int64),
            "hits": torch.zeros(cells, dtype=torch.int64),
            "stated": torch.zeros(cells, dtype=torch.float64),
            "spread": torch.zeros(cells, dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids
        p = torch.softmax(outputs[IDENTITY].logits.double(), dim=1)
        bins = (torch.searchsorted(torch.from_numpy(EDGES), p) - 1).clamp(0, BINS - 1)
        cell = torch.arange(p.shape[1]) * BINS + bins
        right = torch.zeros_like(cell).scatter_(1, labels[:, None], 1)
        state["n"] += len(p)
        for name, x in (
            ("size", torch.ones_like(cell)),
            ("hits", right),
            ("stated", p),
            ("spread", p * (1 - p)),
        ):
            state[name].view(-1).index_add_(0, cell.view(-1), x.view(-1))

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del blocks
        n = int(state["n"])
        if n == 0:
            return {"classwise_ece": absent(0, "no samples")}
        size, hits, stated, spread = (
            state[k].double().numpy() for k in ("size", "hits", "stated", "spread")
        )
        scale = 1 / (n * model.num_classes)

        def interval() -> Estimate:
            rate = (hits + 2) / (size + 4)  # as for the ECE
            low, high = classwise_bound(hits - stated, size * rate * (1 - rate))
            total = float(np.abs(hits - stated).sum())
            return Estimate(total * scale, low * scale, high * scale)

        null = scale * float(_mean_deviation(size, stated, spread).sum())
        top = 2 / model.num_classes
        return {
            "classwise_ece": measured(n, "calibration-bound", interval, null=null, bounds=(0, top))
        }


def _mean_deviation(size: Array, stated: Array, spread: Array) -> Array:
    """E|hits - stated| under perfect calibration, per cell.

    hits is a sum of Bernoulli numbers with the p of the cell. Their number and mean give a
    binomial, whose mean deviation is known (de Moivre 1730); its scale is corrected for the
    unequal p, whose variance is `spread`.
    """
    p = np.clip(stated / np.maximum(size, 1), 0, 1)
    m = np.floor(size * p) + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        log_pmf = (
            special.gammaln(size + 1)
            - special.gammaln(m + 1)
            - special.gammaln(np.maximum(size - m, 0) + 1)
            + special.xlogy(m, p)
            + special.xlog1py(np.maximum(size - m, 0), -p)
        )
        deviation = 2 * m * (1 - p) * np.exp(log_pmf)
        shrink = np.sqrt(spread / (size * p * (1 - p)))
    usable = (size > 0) & (p > 0) & (p < 1)
    return np.where(usable, deviation * np.where(usable, shrink, 0), 0.0)
