"""From a batch of the shared pass to the samples that attacks take: the model's clean hits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interplay_runner.measurement import Batch, Network

from .outcome import Samples
from .victim import Victim, batch_sizes

__all__ = ["Examined", "examine"]


@dataclass(frozen=True, slots=True)
class Examined:
    """hits: bool [n], whether the model is right on each row of the batch as it is.

    rows: int64 [m], where `samples` stand in the batch: the hits, without padding.
    """

    victim: Victim
    hits: Tensor
    rows: Tensor
    samples: Samples


def examine(network: Network, batch: Batch) -> Examined:
    """Forward the images as they are; only what is right can be attacked.

    To be called outside inference mode, whose tensors refuse gradients.
    """
    victim = Victim(lambda images: network.forward(images).logits, batch_sizes(len(batch.ids)))
    images, labels = batch.images.clone(), batch.labels.clone()
    logits = victim.logits(images)
    hits = logits.argmax(dim=1) == labels
    rows = hits[: batch.valid].nonzero().squeeze(1)
    likely = logits.scatter(1, labels[:, None], -torch.inf).argsort(
        dim=1, descending=True, stable=True
    )
    everything = Samples(images, labels, batch.ids, likely[:, :-1])
    return Examined(victim, hits, rows, everything.take(rows))
