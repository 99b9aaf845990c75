"""Blur: defocus, glass, motion, zoom and Gaussian.

Same arguments and result as the functions of noise.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .draws import Draws
from .filters import clipped_zoom, convolve, disk, gaussian, motion

__all__ = ["defocus_blur", "gaussian_blur", "glass_blur", "motion_blur", "zoom_blur"]


def defocus_blur(images: Tensor, draws: Draws, radius: float, sigma: float) -> Tensor:
    """A disk of this radius around every pixel."""
    del draws
    return convolve(images, disk(radius, sigma))


def gaussian_blur(images: Tensor, draws: Draws, sigma: float) -> Tensor:
    """Gaussian, edge pixels repeated."""
    del draws
    return gaussian(images, sigma)


def motion_blur(images: Tensor, draws: Draws, radius: float, sigma: float) -> Tensor:
    """Smeared along one direction within 45 degrees of the horizontal."""
    return motion(images, radius, sigma, 90 * draws.uniform(1)[:, 0] - 45)


def zoom_blur(images: Tensor, draws: Draws, end: float, step: float) -> Tensor:
    """Mean of the image and of its zooms by 1, 1 + step, ... below `end`."""
    del draws
    # The published list is this very arange, with the rounding that once lets `end` itself in.
    factors = np.arange(1, end, step).tolist()
    total = images.clone()
    for factor in factors:
        total += clipped_zoom(images, factor)
    return total / (len(factors) + 1)


def glass_blur(images: Tensor, draws: Draws, sigma: float, reach: float, rounds: float) -> Tensor:
    """Gaussian blur, pixels displaced by up to `reach`, Gaussian blur.

    The paper shuffles neighbours. Its code meant to swap two pixels but, its rows being views of
    one array, overwrites the first by the second: the published images are made so, and so are
    these.
    """
    n, channels, height, width = images.shape
    pixels = gaussian(images, sigma).flatten(2)
    for turn in range(int(rounds)):
        moves = draws.uniform(2, height, width, part=f"round {turn}")
        source = _displaced(moves, int(reach)).to(images.device)
        pixels = pixels.gather(2, source[:, None].expand(-1, channels, -1))
    return gaussian(pixels.reshape(n, channels, height, width), sigma)


def _displaced(moves: Tensor, reach: int) -> Tensor:
    """Which pixel each one ends up a copy of: int64 [n, H W], of uniform numbers [n, 2, H, W].

    From the bottom right to the top left, every pixel is overwritten by its neighbour at
    (y + dy, x + dx), -reach <= dy, dx < reach. A neighbour whose turn came before is by then a copy
    itself, so chains arise; they are followed to their ends by doubling.
    """
    height, width = moves.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    dy, dx = ((2 * reach * moves).floor().long() - reach).unbind(1)
    moved = (y > reach) & (y <= height - reach) & (x > reach) & (x <= width - reach)
    here = (y * width + x).flatten()
    target = torch.where(moved, (y + dy) * width + (x + dx), y * width + x).flatten(1)
    # A chain goes on where the neighbour was overwritten earlier, which is later in the raster.
    link = torch.where(moved.flatten()[target] & (target > here), target, here)
    while not torch.equal(further := link.gather(1, link), link):
        link = further
    return target.gather(1, link)
