"""Spatter: drops of water, or mud, in front of the lens.

Where they are depends on the sample's id alone; it is worked out on the CPU, image by image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from .colour import tint
from .draws import Draws
from .filters import gaussian

__all__ = ["spatter"]

Array = npt.NDArray[np.float32]
WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.float32)
"""Lights the drops from one corner."""
EIGHT = np.ones((3, 3), dtype=bool)
"""All eight neighbours."""


def spatter(
    images: Tensor,
    draws: Draws,
    mean: float,
    sigma: float,
    smooth: float,
    threshold: float,
    strength: float,
    mud: float,
) -> Tensor:
    """Where smoothed noise exceeds a threshold there is liquid.

    Water adds its pale turquoise, as strong as the drop is lit; mud covers, with edges smoothed by
    `strength`.
    """
    height, width = images.shape[-2:]
    liquid = gaussian(mean + sigma * draws.normal(1, height, width), smooth)
    liquid = liquid.where(liquid >= threshold, 0)
    colour = tint(MUD if mud else WATER, images.shape[1], images)
    if mud:
        cover = gaussian((liquid > threshold).float(), strength)
        cover = cover.where(cover >= 0.8, 0).to(images.device)
        return images * (1 - cover) + colour * cover
    light = np.stack([_lit(layer) for layer in liquid[:, 0].numpy()])
    return images + strength * torch.from_numpy(light)[:, None].to(images.device) * colour


def _lit(liquid: Array) -> Array:
    """How strongly the water of float32 [H, W] shows, 0 to 1: thick, and lit where its rim slopes.

    A relief of the distance from the drops' edges (Canny) is lit by an emboss filter.
    """
    thick = (liquid.clip(0, 1) * 255).astype(np.uint8).astype(np.float32)
    edges = _canny(thick, 50, 150)
    away = ndimage.distance_transform_edt(~edges) if edges.any() else np.full(thick.shape, 20.0)
    relief = _box(np.minimum(away, 20).astype(np.float32)).astype(np.uint8)
    lit = ndimage.correlate(_equalised(relief), EMBOSS, mode="mirror").clip(0, 255)
    light = thick * _box(lit)
    return light / np.float32(max(float(light.max()), 1e-6))


def _box(image: Array) -> Array:
    """Mean of 3 x 3."""
    mean: Array = ndimage.uniform_filter(image, 3, mode="mirror")
    return mean


def _equalised(image: npt.NDArray[np.uint8]) -> Array:
    """Histogram equalisation: the lowest level becomes 0, the highest 255."""
    counts = np.bincount(image.ravel(), minlength=256)
    lowest = int(np.flatnonzero(counts)[0])
    rest = image.size - int(counts[lowest])
    if not rest:
        return image.astype(np.float32)
    table = np.rint((counts.cumsum() - counts[lowest]).clip(0) * (255 / rest)).astype(np.float32)
    level: Array = table[image]
    return level


def _canny(image: Array, low: float, high: float) -> npt.NDArray[np.bool_]:
    """Canny's edges (1986): ridges of the Sobel gradient above `low`, joined to one above `high`.

    image: float32 [H, W] of 0 to 255; the gradient's length is |gx| + |gy|.
    """
    gx, gy = (ndimage.sobel(image, axis=a, mode="nearest") for a in (1, 0))
    length = np.abs(gx) + np.abs(gy)
    rim = np.pad(length, 1)
    height, width = image.shape

    def beside(dy: int, dx: int) -> Array:
        side: Array = rim[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        return side

    steep = np.abs(gy) > np.tan(3 * np.pi / 8) * np.abs(gx)
    flat = np.abs(gy) < np.tan(np.pi / 8) * np.abs(gx)
    falling = gx * gy >= 0
    before = np.select(
        [flat, steep, falling], [beside(0, -1), beside(-1, 0), beside(-1, -1)], beside(-1, 1)
    )
    after = np.select(
        [flat, steep, falling], [beside(0, 1), beside(1, 0), beside(1, 1)], beside(1, -1)
    )
    ridge = (length > low) & (length > before) & (length >= after)
    names, count = ndimage.label(ridge, structure=EIGHT)
    strong = np.zeros(count + 1, dtype=bool)
    strong[names[ridge & (length > high)]] = True
    edges: npt.NDArray[np.bool_] = strong[names]
    return edges
