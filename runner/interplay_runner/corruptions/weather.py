"""Weather: snow, frost, fog and brightness.

Same arguments and result as the functions of noise.py. What falls or grows in front of the scene
depends on the sample's id alone; it is made on the CPU.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .colour import greyed, tint
from .draws import Draws
from .filters import clipped_zoom, motion

__all__ = ["brightness", "fog", "frost", "plasma", "snow"]

FROST = (0.57, 0.66, 0.70)
"""Mean colour of the five photographs that the published frost is cut from."""
FROST_SPREAD = 0.11
"""Their mean standard deviation inside a photograph."""
FROST_NEEDLES = 6
"""Directions in which the crystals of one texture grow."""


def snow(
    images: Tensor,
    draws: Draws,
    mean: float,
    sigma: float,
    zoom: float,
    threshold: float,
    radius: float,
    fall: float,
    share: float,
) -> Tensor:
    """Flakes, enlarged and smeared by their fall, and the same upside down, on a whitened image."""
    height, width = images.shape[-2:]
    flakes = clipped_zoom(mean + sigma * draws.normal(1, height, width), zoom)
    flakes = flakes.where(flakes >= threshold, 0).clamp(0, 1)
    flakes = motion(flakes, radius, fall, 90 * draws.uniform(1, part="fall")[:, 0] - 135)
    flakes = (flakes + flakes.rot90(2, dims=(2, 3))).to(images.device)
    whitened = images.maximum(greyed(images) * 1.5 + 0.5)
    return share * images + (1 - share) * whitened + flakes


def frost(images: Tensor, draws: Draws, image: float, ice: float) -> Tensor:
    """image x + ice f, f a texture of ice.

    The published f are crops of photographs that we may not ship. Ours is procedural: needles in
    six directions, with the mean colour and spread of those photographs. Errors under it are
    near the published ones, not equal.
    """
    height, width = images.shape[-2:]
    texture = _ice(draws, height, width).to(images.device)
    return image * images + ice * tint(FROST, images.shape[1], images).add(texture)


@lru_cache(maxsize=1)
def _ice(draws: Draws, height: int, width: int) -> Tensor:
    """Brightness of the ice around its mean, float32 [n, 1, H, W]; callers must not write into it.

    Random grains, grown to needles along a few directions each, where the needle of the brightest
    direction lies on top; of them the middle, enlarged; mixed with a cloud for the thickness.
    """
    length = max(2, min(height, width) // 12)
    angles = 360 * draws.uniform(FROST_NEEDLES, part="angle")
    grains = draws.normal(FROST_NEEDLES, height, width, part="grain")
    needles = [
        motion(grains[:, i : i + 1], length, length / 2, angles[:, i]) for i in range(FROST_NEEDLES)
    ]
    crystals = clipped_zoom(torch.stack(needles).amax(dim=0), 2)
    cloud = plasma(draws, height, width, 2)
    return FROST_SPREAD * (0.8 * _standard(crystals) + 0.6 * _standard(cloud))


def _standard(images: Tensor) -> Tensor:
    spread = images.std(dim=(2, 3), keepdim=True, correction=0)
    return (images - images.mean(dim=(2, 3), keepdim=True)) / spread.clamp(min=1e-6)


def fog(images: Tensor, draws: Draws, amount: float, decay: float) -> Tensor:
    """(x + amount p) max(x) / (max(x) + amount), p a plasma fractal in [0, 1]."""
    height, width = images.shape[-2:]
    mist = amount * plasma(draws, height, width, decay).to(images.device)
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    return (images + mist) * (brightest / (brightest + amount))


def plasma(draws: Draws, height: int, width: int, decay: float) -> Tensor:
    """Clouds by the diamond-square algorithm, float32 [n, 1, H, W], on the CPU.

    On the smallest power of two that holds the image, wrapped around, from 0 to 1 over that square,
    then cut. Octave k is `decay`^-2k as rough as the first, since the published code draws from
    w U(-w, w) with w = 100 decay^-k.
    """
    side = 1 << max(1, (max(height, width) - 1).bit_length())
    noise = 100.0**2 * (2 * draws.uniform(side, side, part="plasma").double() - 1)
    field = torch.zeros_like(noise)
    step = side
    while step >= 2:
        _subdivide(field, noise, step)
        step, noise = step // 2, noise / decay**2
    low = field.amin(dim=(1, 2), keepdim=True)
    spread = (field - low).amax(dim=(1, 2), keepdim=True)
    return ((field - low) / spread)[:, None, :height, :width].float()


def _subdivide(field: Tensor, noise: Tensor, step: int) -> None:
    """Fill in the centres and edges of the squares of this side: mean of four, plus noise."""
    half = step // 2
    corners = field[:, ::step, ::step]
    below, right = corners.roll(-1, 1), corners.roll(-1, 2)
    centres, tops, sides = (
        (slice(None), slice(y, None, step), slice(x, None, step))
        for y, x in ((half, half), (0, half), (half, 0))
    )
    field[centres] = (corners + below + right + below.roll(-1, 2)) / 4 + noise[centres]
    middle = field[centres]
    field[tops] = (middle + middle.roll(1, 1) + corners + right) / 4 + noise[tops]
    field[sides] = (middle + middle.roll(1, 2) + corners + below) / 4 + noise[sides]


def brightness(images: Tensor, draws: Draws, added: float) -> Tensor:
    """Add to the value V = max over channels of HSV, keep hue and saturation."""
    del draws
    value = images.amax(dim=1, keepdim=True)
    brighter = (value + added).clamp(max=1)
    # Hue and saturation stay where all channels are scaled alike; black has none and turns grey.
    return (images * (brighter / value)).where(value > 0, brighter)
