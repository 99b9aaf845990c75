"""Linear maps of images: blurs and zooms, with the edges treated as the published code does.

Along one axis each is a small matrix, worked out once in float64 and kept. Images are float32
[n, C, H, W] of any size, also smaller than the kernel.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Edge", "clipped_zoom", "convolve", "disk", "gaussian", "motion", "separable"]

Edge = Literal["clamp", "mirror", "reflect"]
"""Past the edge: the edge pixel again; mirrored about its centre; mirrored about its outer side."""


def _fold(places: npt.NDArray[np.int64], size: int, edge: Edge) -> npt.NDArray[np.int64]:
    """Which pixel stands at these places, inside or outside of 0 ... size - 1."""
    if edge == "clamp" or size == 1:
        return places.clip(0, size - 1)
    period, turn = (2 * size - 2, 0) if edge == "mirror" else (2 * size, 1)
    inside = places % period
    return np.where(inside < size, inside, period - turn - inside)


@lru_cache(maxsize=64)
def _gaussian_matrix(size: int, sigma: float, reach: float, edge: Edge) -> Tensor:
    radius = int(reach * sigma + 0.5)
    taps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (taps / sigma) ** 2) if radius else np.ones(1)
    matrix = np.zeros((size, size))
    places = _fold(np.arange(size)[:, None] + taps, size, edge)
    np.add.at(matrix, (np.arange(size)[:, None], places), weights / weights.sum())
    return torch.from_numpy(matrix.astype(np.float32))


def separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows [H', H] along the height, columns [W', W] along the width."""
    return rows.to(images.device) @ images @ columns.to(images.device).T


def gaussian(images: Tensor, sigma: float, *, reach: float = 4, edge: Edge = "clamp") -> Tensor:
    """Gaussian blur, the kernel cut off after `reach` sigma; sigma 0 changes nothing."""
    height, width = images.shape[-2:]
    rows = _gaussian_matrix(height, sigma, reach, edge)
    return separable(images, rows, _gaussian_matrix(width, sigma, reach, edge))


@lru_cache(maxsize=16)
def disk(radius: float, sigma: float) -> Tensor:
    """A disk whose edge is smoothed by a Gaussian of 3 (5 above radius 8) pixels; sums to 1.

    The published kernels of radius 8 and 10 touch the border of their array and so sum to 1.01;
    this one has room.
    """
    reach, smooth = math.ceil(radius), 1 if radius <= 8 else 2
    y, x = np.mgrid[-reach - smooth : reach + smooth + 1, -reach - smooth : reach + smooth + 1]
    inside = (x**2 + y**2 <= radius**2).astype(np.float64)
    taps = np.exp(-0.5 * (np.arange(-smooth, smooth + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        inside = np.apply_along_axis(np.convolve, axis, inside, taps, mode="same")
    return torch.from_numpy((inside / inside.sum()).astype(np.float32))


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Every channel with one symmetric kernel [K, K], K odd; mirrored at the edges."""
    (height, width), radius = images.shape[-2:], len(kernel) // 2
    rows, columns = (
        torch.from_numpy(_fold(np.arange(-radius, size + radius), size, "mirror"))
        for size in (height, width)
    )
    padded = images[:, :, rows.to(images.device)][..., columns.to(images.device)]
    weight = kernel.to(images.device).expand(images.shape[1], 1, -1, -1)
    return functional.conv2d(padded, weight.contiguous(), groups=images.shape[1])


def motion(images: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Smear every image [n, C, H, W] along its own direction `degrees` [n], clockwise from right.

    As ImageMagick's motion blur: half a Gaussian, from the pixel itself over 2 radius pixels to one
    side, at whole pixels; the edge pixels go on outside.
    """
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-0.5 * (taps / sigma) ** 2)
    weights /= weights.sum()
    height, width = images.shape[-2:]
    pad = len(taps) - 1
    padded = functional.pad(images, (pad, pad, pad, pad), mode="replicate")
    out = torch.zeros_like(images)
    for row, source, angle in zip(out, padded, np.radians(degrees.double().numpy()), strict=True):
        right = pad + np.ceil(taps * math.cos(angle) - 0.5).astype(int)
        down = pad + np.ceil(taps * math.sin(angle) - 0.5).astype(int)
        for weight, x, y in zip(weights.tolist(), right.tolist(), down.tolist(), strict=True):
            row.add_(source[:, y : y + height, x : x + width], alpha=weight)
    return out


def clipped_zoom(images: Tensor, factor: float) -> Tensor:
    """The middle of the image, `factor` times larger, bilinear; same size."""
    height, width = images.shape[-2:]
    crop = [math.ceil(size / factor) for size in (height, width)]
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    middle = images[..., top : top + crop[0], left : left + crop[1]]
    large = [round(side * factor) for side in crop]
    zoomed = functional.interpolate(middle, size=large, mode="bilinear", align_corners=True)
    top, left = (large[0] - height) // 2, (large[1] - width) // 2
    return zoomed[..., top : top + height, left : left + width]
