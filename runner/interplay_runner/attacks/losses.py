"""What attacks raise: losses of logits float64 [n, K] by label [n], one number per row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["cross_entropy", "difference", "fooled", "margin", "targeted"]


def fooled(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the first choice is not the label, bool [n]."""
    return logits.argmax(dim=1) != labels


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax at the label."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max_{k != y} z_k - z_y."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(dim=1) - _at(logits, labels)


def difference(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """z_t - z_y."""
    return _at(logits, targets) - _at(logits, labels)


def targeted(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The targeted difference of logits ratio, (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2).

    It does not change when the logits are scaled or shifted (Croce and Hein 2020). With fewer than
    4 classes there is no fourth logit, and the margin z_t - z_y alone serves.
    """
    gap = difference(logits, labels, targets)
    if logits.shape[1] < 4:
        return gap
    first, _, third, fourth = logits.topk(4, dim=1).values.unbind(dim=1)
    return gap / (first - (third + fourth) / 2 + 1e-12)


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)
