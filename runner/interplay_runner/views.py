"""Views: the changes of an image that measurements compare, each a pure function of one batch.

Every operation maps float32 [n, C, H, W] in [0, 1] to the same shape and range, for all rows at
once and each row by itself: what a row becomes depends on its image, its id and the seed alone, so
it is the same in any batch, order and process.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .measurement import UnmeasurableError, View

__all__ = ["OPERATIONS", "apply_view"]

Operation = Callable[..., Tensor]


def _identity(images: Tensor, ids: Sequence[str], seed: int) -> Tensor:
    del ids, seed
    return images


@lru_cache(maxsize=64)
def _disc(height: int, width: int, device: torch.device) -> Tensor:
    """The inscribed circle, [H, W]: 1 where the pixel's centre lies inside, else 0."""
    y = torch.arange(height, device=device) - (height - 1) / 2
    x = torch.arange(width, device=device) - (width - 1) / 2
    radius = min(height, width) / 2
    return (y[:, None] ** 2 + x[None, :] ** 2 <= radius**2).float()


@lru_cache(maxsize=64)
def _rotation(deg: float, height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel comes from, in grid_sample's coordinates: [1, H, W, 2].

    Worked out in pixels and in float64, since the coordinates of grid_sample are stretched where
    an image is not square.
    """
    y = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    cos, sin = math.cos(math.radians(deg)), math.sin(math.radians(deg))
    from_x = cos * x[None, :] - sin * y[:, None]
    from_y = sin * x[None, :] + cos * y[:, None]
    grid = torch.stack([from_x * (2 / width), from_y * (2 / height)], dim=-1)
    return grid.float()[None].to(device)


def _rotate(images: Tensor, ids: Sequence[str], seed: int, *, deg: float) -> Tensor:
    """Turn by `deg` degrees counter-clockwise, bilinear; black outside the inscribed circle.

    A turn by 0 only masks: it is what another turn is to be compared with, so that the corners
    that leave and enter the frame are in neither. Bilinear sampling also smooths a little.
    """
    del ids, seed
    _, _, height, width = images.shape
    if deg % 360 != 0:
        grid = _rotation(deg, height, width, images.device).expand(len(images), -1, -1, -1)
        # Inside the circle only the filter's edge looks past the frame: repeat the border there.
        images = functional.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
    return images * _disc(height, width, images.device)


def _shift(
    images: Tensor, ids: Sequence[str], seed: int, *, dx: float = 0, dy: float = 0
) -> Tensor:
    """Move by whole pixels, `dx` to the right and `dy` down; the edge pixels fill the gap."""
    del ids, seed
    if dx % 1 or dy % 1:
        raise UnmeasurableError(f"view shift: dx={dx:g}, dy={dy:g} are not whole pixels")
    _, _, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - int(dy)).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - int(dx)).clamp(0, width - 1)
    return images[:, :, rows][:, :, :, columns]


@lru_cache(maxsize=1)
def _normal(ids: tuple[str, ...], seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers [n, *shape], a stream for every id.

    By numpy on the CPU: torch's own numbers depend on device and vector width. The last batch is
    kept, because its other noise levels come next.
    """
    out = np.empty((len(ids), *shape), dtype=np.float32)
    for row, sample in zip(out, ids, strict=True):
        digest = hashlib.sha256(f"noise:{seed}:{sample}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
        rng.standard_normal(dtype=np.float32, out=row)
    return torch.from_numpy(out)


def _noise(images: Tensor, ids: Sequence[str], seed: int, *, sigma: float) -> Tensor:
    """Add `sigma` times the sample's normal numbers, clip to [0, 1].

    All levels scale one draw, so the steps of a curve over sigma are not blurred by new draws.
    """
    normal = _normal(tuple(ids), seed, tuple(images.shape[1:])).to(images.device)
    return (images + sigma * normal).clamp_(0, 1)


OPERATIONS: Mapping[str, tuple[Operation, int]] = {
    "identity": (_identity, 1),
    "rotate": (_rotate, 1),
    "shift": (_shift, 1),
    "noise": (_noise, 1),
}
"""Every operation by name, with the version of what it does (`View.version`)."""


def apply_view(view: View, images: Tensor, ids: Sequence[str], seed: int) -> Tensor:
    """The batch as `view` shows it.

    images: float32 [n, C, H, W] in [0, 1]; ids: n sample ids. Returns the same shape and range, or
    raises UnmeasurableError where no such operation, version or parameter exists.
    """
    operation, version = OPERATIONS.get(view.op, (None, 0))
    if operation is None or version != view.version:
        known = ", ".join(f"{name} {v}" for name, (_, v) in OPERATIONS.items())
        raise UnmeasurableError(f"view {view.op} version {view.version} is none of {known}")
    try:
        return operation(images, ids, seed, **dict(view.params))
    except TypeError as error:
        raise UnmeasurableError(f"view {view.op}: {error}") from error
