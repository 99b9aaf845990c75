"""Digital: contrast, elastic transform, pixelation, JPEG and saturation.

Same arguments and result as the functions of noise.py.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from .draws import Draws
from .filters import gaussian, separable

__all__ = ["contrast", "elastic_transform", "jpeg_compression", "pixelate", "saturate"]


def contrast(images: Tensor, draws: Draws, factor: float) -> Tensor:
    """m + factor (x - m), m the mean of the channel over the image."""
    del draws
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * factor + mean


def saturate(images: Tensor, draws: Draws, factor: float, added: float) -> Tensor:
    """S -> factor S + added in HSV, hue and value kept.

    Grey pixels have no hue, and the published code takes red for them. An image with one channel
    has no saturation at all and stays as it is.
    """
    del draws
    if images.shape[1] == 1:
        return images
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    old = chroma / value.where(value > 0, 1)
    new = (old * factor + added).clamp(0, 1)
    coloured = value - (value - images) * (new / old.where(old > 0, 1))
    faded = value * (1 - new)
    reddened = torch.cat([value, faded, faded], dim=1)
    return coloured.where(old > 0, reddened)


def pixelate(images: Tensor, draws: Draws, factor: float) -> Tensor:
    """Shrink the sides to int(factor side) by box means and enlarge again by repetition."""
    del draws
    height, width = images.shape[-2:]
    return separable(images, _blocks(height, factor), _blocks(width, factor))


@lru_cache(maxsize=16)
def _blocks(size: int, factor: float) -> Tensor:
    small = max(1, int(size * factor))
    return torch.from_numpy((_box(size, small) @ _box(small, size)).T.astype(np.float32))


def _box(size: int, result: int) -> np.ndarray:
    """Weights [size, result] of a resize by Pillow's BOX; a pixel counts where its centre lies.

    In the order of Pillow's own operations, so that centres on an edge round to the same side.
    """
    scale = size / result
    reach = max(scale, 1)
    centre = (np.arange(result) + 0.5) * scale
    pixel = np.arange(size)[:, None]
    first, last = ((centre + side * 0.5 * reach + 0.5).astype(int) for side in (-1, 1))
    place = (pixel - centre + 0.5) * (1 / reach)
    weight = (first <= pixel) & (pixel < last) & (place > -0.5) & (place <= 0.5)
    share: np.ndarray = weight / weight.sum(axis=0)
    return share


def jpeg_compression(images: Tensor, draws: Draws, quality: float) -> Tensor:
    """Through a real JPEG file of this quality: Pillow, 8 bits, image by image on the CPU."""
    del draws
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    coded = np.stack([_through_jpeg(item, int(quality)) for item in pixels])
    decoded = torch.from_numpy(coded).reshape(pixels.shape).permute(0, 3, 1, 2)
    return decoded.to(images.device, torch.float32) / 255


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
        file, "JPEG", quality=quality
    )
    return np.asarray(Image.open(file))


def elastic_transform(
    images: Tensor, draws: Draws, amplitude: float, sigma: float, jitter: float
) -> Tensor:
    """A random affine map, then a smooth random displacement; bilinear, reflected at the edges.

    The map moves three points around the centre by up to `jitter` pixels each way; the displacement
    is U(-1, 1) per pixel and axis, blurred by `sigma`, times `amplitude`.
    """
    height, width = images.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    plane = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    shifts = jitter * (2 * draws.uniform(3, 2, part="affine").double() - 1)
    bent = plane @ _affine(shifts, height, width)[:, None]
    images = _sample(images, bent, mirrored=True)
    field = 2 * draws.uniform(2, height, width, part="field") - 1
    field = amplitude * gaussian(field, sigma, reach=3, edge="reflect")
    return _sample(images, plane[..., :2] + field.movedim(1, -1), mirrored=False)


def _affine(shifts: Tensor, height: int, width: int) -> Tensor:
    """Where each pixel of the result comes from: float64 [n, 3, 2], (x, y, 1) times it is (x, y).

    shifts: float64 [n, 3, 2], how far each of the three points moves.
    """
    side = min(height, width) // 3
    corners = torch.tensor([[side, side], [side, -side], [-side, -side]], dtype=torch.float64)
    points = corners + torch.tensor([width // 2, height // 2], dtype=torch.float64)
    moved = functional.pad(points + shifts, (0, 1), value=1.0)
    inverse: Tensor = torch.linalg.solve(moved, points.expand(len(shifts), -1, -1))
    return inverse


def _sample(images: Tensor, places: Tensor, *, mirrored: bool) -> Tensor:
    """Bilinear at float64 [n, H, W, 2], (x, y) in pixels.

    Outside it is mirrored about the centre of the edge pixels, or about their outer sides.
    """
    height, width = images.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float64)
    grid = places * 2 / (size - 1).clamp(min=1) - 1 if mirrored else (2 * places + 1) / size - 1
    return functional.grid_sample(
        images,
        grid.float().to(images.device),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=mirrored,
    )
