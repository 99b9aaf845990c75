"""CKA: how alike two representations are, of two models or of the stages of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    IDENTITY,
    REFERENCE,
    ModelInfo,
    Need,
    Output,
    State,
    StreamMeasurement,
    UnmeasurableError,
    Value,
    View,
)

from .hsic import Pair, add_rows, cka, sums_of, zeros
from .values import jackknifed

__all__ = ["Cka", "CkaLayers"]

MAX_SUMS = 1 << 25
"""Numbers in one block of the jackknife: 268 MB."""
MEMORY = 1 << 30
"""What all blocks may take, so 20 blocks of two models of up to 1,495 features each."""
MIN_BLOCKS = 8
"""Kept whatever they take: the interval of fewer has t quantiles above 2.4."""
MAX_LAYERS = 16
FEATURES = "features"


class _CkaMeasurement(StreamMeasurement):
    """The shared half: sums of named features and of the pairs that are compared."""

    category = "property"

    def init(self, model: ModelInfo) -> State:
        widths = self._widths(model)
        return zeros(widths, self._pairs(widths))

    def _widths(self, model: ModelInfo) -> dict[str, int]:
        """Name and width of every feature."""
        raise NotImplementedError

    def _compared(self, names: Sequence[str]) -> dict[str, Pair]:
        """Metric to the pair that it compares."""
        raise NotImplementedError

    def _pairs(self, names: Mapping[str, object]) -> list[Pair]:
        """Each with itself, and those that are compared."""
        return [*((name, name) for name in names), *self._compared([*names]).values()]

    def _blocks(self, widths: Mapping[str, int]) -> int:
        """How many blocks the jackknife may have."""
        size = sum(widths[x] * widths[y] for x, y in self._pairs(widths))
        if size > MAX_SUMS:
            raise UnmeasurableError(
                f"{', '.join(map(str, widths.values()))} features make {size} sums per block, "
                f"more than {MAX_SUMS}"
            )
        return max(MIN_BLOCKS, min(20, MEMORY // (8 * size)))

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        return {
            metric: jackknifed(
                partial(cka, x=x, y=y), state, blocks, sums=sums_of(x, y), bounds=(-1, 1)
            )
            for metric, (x, y) in self._compared([*self._widths(model)]).items()
        }


class Cka(_CkaMeasurement):
    """Linear CKA of the features of a model and of its reference model, centred and debiased.

    With X, float [n, d], and Y, float [n, e], the features of the same n images in both models,
    each image by the model's own preprocessing:

    - `cka` = HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)).

    HSIC_1 is the unbiased estimator for linear kernels. In [-1, 1]: 1 if the features are equal up
    to rotation, reflection, shift and one scale, 0 for unrelated ones; it may be negative by
    chance. Higher is more alike, neither good nor bad by itself. Numerator and denominator are
    unbiased, so it hardly depends on n; the biased form says .30 of independent features at n =
    600, d = 256. Made from sums over images (X'Y, X'X, Y'Y and norms), exact whatever the batches:
    the mean of small batches would depend on how they are cut and be noisier. Every block keeps
    d^2 + e^2 + d e numbers, at most 33,554,432. Block jackknife, 20 blocks, at wide features down
    to 8. Sources: Kornblith et al. 2019, arXiv 1905.00414; Song et al. 2012, JMLR 13:1393; Nguyen
    et al. 2021, arXiv 2010.15327. Cost: F, D: a forward of the reference model.
    """

    cost = "F+D"

    def need(self, model: ModelInfo) -> Need:
        if model.reference is None:
            raise UnmeasurableError("referenceModel: a model to compare with is needed")
        blocks = self._blocks(self._widths(model))
        return Need((IDENTITY, REFERENCE), frozenset({"features"}), labels=False, blocks=blocks)

    def _widths(self, model: ModelInfo) -> dict[str, int]:
        assert model.reference is not None
        return {"model": model.feature_dim, "reference": model.reference.feature_dim}

    def _compared(self, names: Sequence[str]) -> dict[str, Pair]:
        return {"cka": (names[0], names[1])}

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        views = {"model": IDENTITY, "reference": REFERENCE}
        features = {name: outputs[view].features for name, view in views.items()}
        add_rows(state, features, self._pairs(features))


class CkaLayers(_CkaMeasurement):
    """Linear CKA between the stages of a model, and of each stage and the final features.

    With X_k, float [n, d_k], the output of stage k, mean over places, and Z, float [n, d], the
    pooled features of the same n images:

    - `cka_features_layer<k>` = CKA(X_k, Z): how much of the final representation is there already.
    - `cka_next_layer<k>` = CKA(X_k, X_{k+1}): how little the next stage changes.

    CKA is centred and debiased as in `cka`, in [-1, 1], 1 for features that are equal up to
    rotation, shift and one scale. Stages are those that the model's architecture declares, counted
    from 1 in the order of depth; of more than 16, 16 are taken evenly, first and last among them.
    Models of different architectures are compared by relative depth only. Neither good nor bad by
    itself. Block jackknife as there, every block with all products of compared widths. Sources: as
    `cka`. Cost: F.
    """

    def need(self, model: ModelInfo) -> Need:
        blocks = self._blocks(self._widths(model))
        return Need(outputs=frozenset({"features", "layers"}), labels=False, blocks=blocks)

    def _widths(self, model: ModelInfo) -> dict[str, int]:
        chosen = _evenly([*model.layers], MAX_LAYERS)
        widths = {f"layer{k}": model.layers[name] for k, name in enumerate(chosen, start=1)}
        return {**widths, FEATURES: model.feature_dim}

    def _compared(self, names: Sequence[str]) -> dict[str, Pair]:
        layers = [name for name in names if name != FEATURES]
        pairs = {metric_key(f"cka_features_{x}"): (x, FEATURES) for x in layers}
        return pairs | {metric_key(f"cka_next_{x}"): (x, y) for x, y in pairwise(layers)}

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        output = outputs[IDENTITY]
        chosen = _evenly([*output.layers], MAX_LAYERS)
        layers = {f"layer{k}": output.layers[name] for k, name in enumerate(chosen, start=1)}
        features = {**layers, FEATURES: output.features}
        add_rows(state, features, self._pairs(features))


def _evenly(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of the names, first and last among them."""
    if len(names) <= most:
        return [*names]
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]
