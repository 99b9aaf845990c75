"""Views that move the image: rotation, zoom and shifts, each a pure function of one batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .measurement import UnmeasurableError

__all__ = ["jitter", "rotate", "shift", "zoom"]

Matrix = tuple[float, float, float, float]


@lru_cache(maxsize=64)
def _disc(height: int, width: int, device: torch.device) -> Tensor:
    """The inscribed circle, [H, W]: 1 where the pixel's centre lies inside, else 0."""
    y = torch.arange(height, device=device) - (height - 1) / 2
    x = torch.arange(width, device=device) - (width - 1) / 2
    radius = min(height, width) / 2
    return (y[:, None] ** 2 + x[None, :] ** 2 <= radius**2).float()


@lru_cache(maxsize=64)
def _grid(matrix: Matrix, height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel comes from under (x, y) -> (a x + b y, c x + d y): [1, H, W, 2].

    Worked out in pixels and in float64, since the coordinates of grid_sample are stretched where
    an image is not square.
    """
    a, b, c, d = matrix
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64)[None, :] - (width - 1) / 2
    grid = torch.stack([(a * x + b * y) * (2 / width), (c * x + d * y) * (2 / height)], dim=-1)
    return grid.float()[None].to(device)


def _sampled(images: Tensor, matrix: Matrix) -> Tensor:
    """Bilinear, about the centre; past the frame the border is repeated."""
    grid = _grid(matrix, *images.shape[2:], images.device).expand(len(images), -1, -1, -1)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def rotate(images: Tensor, ids: Sequence[str], seed: int, *, deg: float) -> Tensor:
    """Turn by `deg` degrees counter-clockwise, bilinear; black outside the inscribed circle.

    A turn by 0 only masks: it is what another turn is to be compared with, so that the corners
    that leave and enter the frame are in neither. Bilinear sampling also smooths a little.
    """
    del ids, seed
    if deg % 360 != 0:
        cos, sin = math.cos(math.radians(deg)), math.sin(math.radians(deg))
        # Inside the circle only the filter's edge looks past the frame.
        images = _sampled(images, (cos, -sin, sin, cos))
    return images * _disc(*images.shape[2:], images.device)


def zoom(images: Tensor, ids: Sequence[str], seed: int, *, factor: float) -> Tensor:
    """Enlarge about the centre by `factor` >= 1, bilinear, and cut to the old size.

    Inwards only: outwards the image would need pixels that it has not, and the invented border
    would be what is measured.
    """
    del ids, seed
    if factor < 1:
        raise UnmeasurableError(f"view zoom: factor={factor:g} is below 1")
    return images if factor == 1 else _sampled(images, (1 / factor, 0, 0, 1 / factor))


def shift(images: Tensor, ids: Sequence[str], seed: int, *, dx: float = 0, dy: float = 0) -> Tensor:
    """Move by whole pixels, `dx` to the right and `dy` down; the edge pixels fill the gap."""
    del ids, seed
    if dx % 1 or dy % 1:
        raise UnmeasurableError(f"view shift: dx={dx:g}, dy={dy:g} are not whole pixels")
    _, _, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - int(dy)).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - int(dx)).clamp(0, width - 1)
    return images[:, :, rows][:, :, :, columns]


def jitter(images: Tensor, ids: Sequence[str], seed: int, *, px: float, draw: float = 0) -> Tensor:
    """Move each image by whole pixels of its own, uniform in -px..px per axis, edges repeated.

    Another `draw` moves by other numbers; all `px` stretch the numbers of one draw.
    """
    if px % 1:
        raise UnmeasurableError(f"view jitter: px={px:g} are not whole pixels")
    _, _, height, width = images.shape
    uniform = np.array([_uniform(f"jitter:{draw:g}:{seed}:{i}") for i in ids]).reshape(-1, 2)
    moves = torch.from_numpy(np.floor(uniform * (2 * px + 1)) - px).long()
    rows = (torch.arange(height) - moves[:, :1]).clamp(0, height - 1).to(images.device)
    columns = (torch.arange(width) - moves[:, 1:]).clamp(0, width - 1).to(images.device)
    moved = images.gather(2, rows[:, None, :, None].expand_as(images))
    return moved.gather(3, columns[:, None, None, :].expand_as(images))


def _uniform(text: str) -> tuple[float, float]:
    """Two numbers in [0, 1) that follow from a text."""
    first, second = np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], dtype="<u4")
    return float(first) / 2**32, float(second) / 2**32
