"""The model as attacks see it: logits and gradients of any number of rows.

The bits of a row depend a little on the shape of its batch (cuDNN and BLAS choose their kernels by
it). So the rows that are left are padded to the next of a few fixed sizes, the batch and its
halvings down to 8: cost falls as rows leave, each run of the same plan takes the same sizes and
gives the same bits, and a smaller batch changes a logit by rounding only (below 1e-4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interplay_runner.measurement import UnmeasurableError

__all__ = ["Point", "Victim", "batch_sizes"]

MIN_ROWS = 8
"""Below it the bits of a row depend on how many rows there are."""


def batch_sizes(n: int) -> list[int]:
    """n and its halvings, as long as they have at least 8 rows, the smallest first."""
    sizes = [n]
    while sizes[0] // 2 >= MIN_ROWS:
        sizes.insert(0, sizes[0] // 2)
    return sizes


@dataclass(frozen=True, slots=True)
class Point:
    """What is known at some images: logits float64 [n, K], loss float64 [n], gradient as images."""

    logits: Tensor
    loss: Tensor
    gradient: Tensor


class Victim:
    """forward: float32 [n, C, H, W] -> logits [n, K]; sizes: of the batches it is given, rising."""

    def __init__(self, forward: Callable[[Tensor], Tensor], sizes: Sequence[int]) -> None:
        self._forward, self._sizes = forward, sizes

    def logits(self, images: Tensor) -> Tensor:
        """float64 [n, K], for n up to the largest size."""
        with torch.no_grad():
            return self._run(images)

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Point:
        """The loss, float64 [n, K] -> [n], of each row and its gradient by the row's own pixels."""
        with torch.enable_grad():
            x = images.detach().clone().requires_grad_()
            logits = self._run(x)
            losses = loss(logits)
            # The sum, not the mean: a row's gradient must not depend on the rows beside it.
            (gradient,) = torch.autograd.grad(losses.sum(), x)
        return Point(logits.detach(), losses.detach(), gradient)

    def _run(self, images: Tensor) -> Tensor:
        n = len(images)
        size = next(size for size in self._sizes if size >= n)
        padding = images[-1:].detach().expand(size - n, *images.shape[1:])
        # In float64, since float32 has no number between a probability of 1 - 6e-8 and of 1.
        logits = self._forward(torch.cat([images, padding]))[:n].double()
        if not bool(logits.isfinite().all()):
            raise UnmeasurableError("some logits of attacked images are not finite")
        return logits
