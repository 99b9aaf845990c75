"""Adversarial accuracy: what is left of top-1 after one step along the sign of the gradient."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    GRADIENT,
    Batch,
    BatchMeasurement,
    Columns,
    ModelInfo,
    Network,
    Parameters,
    UnmeasurableError,
    Value,
)

from .values import Distinct, share

__all__ = ["Fgsm"]

Hits = npt.NDArray[np.bool_]


class FgsmParams(Parameters):
    """How far: in steps of 1/255 of the pixel range."""

    epsilons: Distinct[Annotated[float, Field(ge=0, le=255)]] = Field(
        (1, 2, 4, 8), min_length=1, max_length=16
    )


class Fgsm(BatchMeasurement):
    """Top-1 under the fast gradient sign method, per epsilon.

    x' = clip(x + eps/255 sign(grad_x CE(f(x), y)), 0, 1) in pixel space, so |x' - x| <= eps/255 in
    the maximum norm; `fgsm_top1` is the share still right. In [0, 1], higher is better, at most
    about the clean top-1, which epsilon 0 gives; Wilson's interval. One forward and backward serves
    all epsilons, then one forward each. One step is a weak attack: the value is an upper bound of
    robust accuracy. Source: Goodfellow et al. 2015, arXiv 1412.6572.
    """

    Params = FgsmParams
    category = "benefit"
    params: FgsmParams

    def forwards(self, model: ModelInfo) -> float:
        del model
        return GRADIENT + len(self.params.epsilons)

    def run_batch(self, network: Network, batch: Batch) -> Columns:
        direction = _gradient(network, batch).sign_()
        return {
            metric_key("hit", eps=eps): self._hits(network, batch, direction, eps)
            for eps in self.params.epsilons
        }

    def _hits(self, network: Network, batch: Batch, direction: Tensor, eps: float) -> Hits:
        attacked = (batch.images + (eps / 255) * direction).clamp_(0, 1)
        with torch.no_grad():
            logits = network.forward(attacked).logits
        if not bool(logits.isfinite().all()):
            raise UnmeasurableError("some logits of attacked images are not finite")
        hits: Hits = (logits.argmax(dim=1) == batch.labels).cpu().numpy()
        return hits

    def compute(self, columns: Columns) -> dict[str, Value | float]:
        hits = {eps: columns[metric_key("hit", eps=eps)] for eps in self.params.epsilons}
        return {metric_key("fgsm_top1", eps=e): share(h.astype(np.bool_)) for e, h in hits.items()}


def _gradient(network: Network, batch: Batch) -> Tensor:
    """d CE(f(x), y) / dx for every row, [n, C, H, W]."""
    # The shared pass may run in inference mode, whose tensors refuse gradients: leave it and copy.
    with torch.inference_mode(False), torch.enable_grad():
        images = batch.images.clone().requires_grad_()
        logits = network.forward(images).logits
        # The sum, not the mean: a row's gradient must not depend on the rows beside it.
        loss = functional.cross_entropy(logits.float(), batch.labels.clone(), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
    return gradient
