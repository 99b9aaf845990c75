"""Measurements of one's own: the simplest kind, and one with an interval on the shared pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    IDENTITY,
    Context,
    FreeMeasurement,
    ModelInfo,
    Need,
    Output,
    Parameters,
    State,
    StreamMeasurement,
    UnmeasurableError,
    Value,
    View,
)
from interplay_runner.measurements.values import features_of, jackknifed

__all__ = ["Occlusion", "Separation"]


class OcclusionParams(Parameters):
    """How much of the image is hidden."""

    share: float = Field(0.5, ge=0, lt=1, description="Hidden share of the image, from the right.")


class Occlusion(FreeMeasurement):
    """Top-1 where only the left part of each image can be seen, the rest being grey.

    `occluded_top1` in [0, 1], higher is better. Source: this example.
    """

    category = "benefit"
    Params = OcclusionParams
    params: OcclusionParams

    def forwards(self, model: ModelInfo) -> float:
        """One of its own for each image."""
        del model
        return 1.0

    def measure(self, context: Context) -> dict[str, float]:
        """A plain number by its name: all that a measurement has to give."""
        hits = n = 0
        for batch in context.batches():
            images = batch.images.clone()
            width = images.shape[3]
            images[..., width - round(self.params.share * width) :] = 0.5
            with torch.no_grad():
                right = context.network.forward(images).logits.argmax(dim=1) == batch.labels
            hits += int(right[: batch.valid].sum())
            n += batch.valid
        return {metric_key("occluded_top1", share=self.params.share): hits / n}


class Separation(StreamMeasurement):
    """How much of the variance of the features lies between the classes.

    `separation` = 1 - sum_i |z_i - m(y_i)|^2 / sum_i |z_i - m|^2, z_i float [d] the features of
    image i, m(y) their mean over class y and m over all. In [0, 1], 1 if the images of a class have
    one place; neither good nor bad by itself. Block jackknife. Source: the correlation ratio of
    Pearson 1905.
    """

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        """The features of the plain images: no forward that is not made anyway."""
        del model
        return Need(outputs=frozenset({"features"}))

    def init(self, model: ModelInfo) -> State:
        """Sums: they add up over batches and processes."""
        classes, d = model.num_classes, model.feature_dim
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "sizes": torch.zeros(classes, dtype=torch.int64),
            "sums": torch.zeros(classes, d, dtype=torch.float64),
            "squares": torch.zeros((), dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        """One batch."""
        z = features_of(outputs[IDENTITY])
        state["n"] += len(ids)
        state["sizes"] += torch.bincount(labels, minlength=len(state["sizes"]))
        state["sums"].index_add_(0, labels, z)
        state["squares"] += z.square().sum()

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        """The number with n and a 95 % interval."""
        del model
        return {"separation": jackknifed(_separation, state, blocks, bounds=(0, 1))}


def _separation(state: State) -> float:
    filled = state["sizes"] > 0
    sizes, sums = state["sizes"][filled], state["sums"][filled]
    squares, total = float(state["squares"]), sums.sum(dim=0)
    if not len(sizes):
        raise UnmeasurableError("no samples")
    variation = squares - float(total @ total) / int(sizes.sum())
    if variation <= 1e-12 * squares:
        raise UnmeasurableError("the features do not vary")
    within = squares - float((sums.square().sum(dim=1) / sizes).sum())
    return 1 - within / variation
