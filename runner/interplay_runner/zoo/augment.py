"""What a recipe does to its training images: random versions of what the views measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["AUGMENTATIONS", "fgsm"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]

MAX_DEGREES = 45.0
MAX_SIGMA = 0.5
MAX_SHIFT = 4
FGSM_EPSILON = 8 / 255


def _none(images: Tensor, generator: torch.Generator) -> Tensor:
    del generator
    return images


def _rotation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image by its own angle in +-45 degrees; half of them are cut to the circle."""
    n, _, height, width = images.shape
    angle = (torch.rand(n, generator=generator) * 2 - 1) * math.radians(MAX_DEGREES)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n)
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(n, 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    turned = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    y = torch.linspace(-1, 1, height).view(-1, 1)
    x = torch.linspace(-1, 1, width).view(1, -1)
    keep = (torch.rand(n, generator=generator) < 0.5).view(n, 1, 1, 1)
    return torch.where(keep | (x * x + y * y <= 1), turned, 0.0)


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise, each image with its own standard deviation in [0, 0.5]."""
    sigma = torch.rand((len(images), 1, 1, 1), generator=generator) * MAX_SIGMA
    return (images + sigma * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels in +-4 on both axes; the edge pixels fill the gap."""
    n, channels, height, width = images.shape
    offsets = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) - offsets[0]).clamp(0, height - 1)
    columns = (torch.arange(width) - offsets[1]).clamp(0, width - 1)
    moved = images.gather(2, rows.view(n, 1, height, 1).expand(n, channels, height, width))
    return moved.gather(3, columns.view(n, 1, 1, width).expand(n, channels, height, width))


def fgsm(loss: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """One signed gradient step of 8/255 that raises the loss, clipped to [0, 1]."""
    probe = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(probe), probe)
    return (images + FGSM_EPSILON * gradient.sign()).clamp(0, 1).detach()


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": _none,
    "rotation": _rotation,
    "noise": _noise,
    "shift": _shift,
}
