"""Where an attack may go: the images within a radius of the original, in the maximum or l2 norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Ball", "Norm", "rows_like"]

Norm = Literal["linf", "l2"]


def rows_like(values: Tensor, images: Tensor) -> Tensor:
    """values [n], of numbers or truths, in a shape that goes with images [n, C, H, W]."""
    shaped = values.view(-1, *[1] * (images.ndim - 1))
    return shaped if shaped.dtype == torch.bool else shaped.to(images.dtype)


@dataclass(frozen=True, slots=True)
class Ball:
    """All images within `radius` of an original; pixels lie in [0, 1]."""

    norm: Norm
    radius: float

    @classmethod
    def of(cls, norm: Norm, epsilon: float) -> Ball:
        """epsilon as it is published: for linf in 1/255 of the pixel range, for l2 in the range."""
        return cls(norm, epsilon / 255 if norm == "linf" else epsilon)

    @classmethod
    def grey(cls, norm: Norm, pixels: int) -> Ball:
        """The smallest ball that holds one and the same image, all grey, for every original."""
        return cls(norm, 0.5 if norm == "linf" else 0.5 * math.sqrt(pixels))

    def size(self, delta: Tensor) -> Tensor:
        """The norm of each row, [n]."""
        flat = delta.flatten(1)
        return flat.abs().amax(dim=1) if self.norm == "linf" else flat.norm(dim=1)

    def project(self, x: Tensor, origin: Tensor) -> Tensor:
        """Back into [0, 1], then towards `origin` into the ball.

        In this order: cut to [0, 1] afterwards, a change of the l2 norm would not use its radius.
        """
        delta = x.clamp(0, 1) - origin
        if self.norm == "linf":
            delta = delta.clamp(-self.radius, self.radius)
        else:
            scale = (self.radius / self.size(delta).clamp(min=1e-30)).clamp(max=1)
            delta = delta * rows_like(scale, delta)
        return (origin + delta).clamp_(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The step of norm 1 along which a loss rises fastest; 0 where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        # By the largest entry first: the square of a small number is 0.
        largest = gradient.flatten(1).abs().amax(dim=1)
        scaled = gradient / rows_like(torch.where(largest > 0, largest, 1), gradient)
        return scaled / rows_like(self.size(scaled).clamp(min=1e-30), scaled)

    def start(self, origin: Tensor, streams: Sequence[np.random.Generator]) -> Tensor:
        """A point drawn uniformly from the ball around each row, cut to [0, 1]."""
        delta = np.stack([self._draw(rng, tuple(origin.shape[1:])) for rng in streams])
        return (origin + self.radius * torch.from_numpy(delta).to(origin)).clamp_(0, 1)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Uniform in the ball of radius 1."""
        if self.norm == "linf":
            return rng.uniform(-1, 1, shape)
        normal = rng.standard_normal(shape)
        distance = math.pow(rng.random(), 1 / normal.size)
        return normal * (distance / float(np.linalg.norm(normal)))
