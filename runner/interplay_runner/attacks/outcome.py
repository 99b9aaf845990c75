"""What attacks take and give: samples, and which of them are fooled by which image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from .ball import Ball

if TYPE_CHECKING:
    from .victim import Victim

__all__ = ["Attack", "Outcome", "Rows", "Samples"]


@dataclass(frozen=True, slots=True)
class Samples:
    """n images in [0, 1] that the model gets right.

    images: float32 [n, C, H, W]. labels: int64 [n]. ids: n sample ids. others: int64 [n, K - 1],
    the classes that are not the label, the one with the highest clean logit first.
    """

    images: Tensor
    labels: Tensor
    ids: Sequence[str]
    others: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Tensor) -> Samples:
        """Those at int64 `rows`."""
        ids = [self.ids[i] for i in rows.tolist()]
        return Samples(self.images[rows], self.labels[rows], ids, self.others[rows])


class Rows:
    """Base of a dataclass whose fields are tensors that share their first axis."""

    def take(self, keep: Tensor) -> Self:
        """The rows where bool [n] `keep` is true."""
        if bool(keep.all()):
            return self
        return type(self)(*(getattr(self, f.name)[keep] for f in fields(self)))  # type: ignore[arg-type]


@dataclass(slots=True)
class Outcome:
    """fooled: bool [n]; images: [n, C, H, W], the first that fools the model, or the original."""

    images: Tensor
    fooled: Tensor

    @classmethod
    def none(cls, samples: Samples) -> Outcome:
        """Nobody is fooled yet."""
        return cls(samples.images.clone(), torch.zeros_like(samples.labels, dtype=torch.bool))

    def left(self) -> Tensor:
        """Indices of the rows that are not fooled, int64."""
        return (~self.fooled).nonzero().squeeze(1)

    def settle(self, rows: Tensor, images: Tensor, fooled: Tensor) -> None:
        """Note for int64 [m] `rows` which are `fooled` by their `images`."""
        self.images[rows[fooled]] = images[fooled]
        self.fooled[rows[fooled]] = True


Attack = Callable[["Victim", Samples, Ball], Outcome]
