"""What the Square attack tries: its first pattern and its squares, in the maximum and l2 norm.

Random numbers come in as uniform draws in [0, 1), so that everything here is a pure function.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .ball import Ball, rows_like

__all__ = ["PLACES", "first_pattern", "propose", "window_side"]

Array = npt.NDArray[np.float32]

PLACES = 5
"""Draws of a proposal for two corners and an orientation; one for each channel's sign follows."""
TILES = 5
"""Tiles of the first l2 pattern along the shorter side."""


def window_side(ball: Ball, share: float, height: int, width: int) -> int:
    """The side of a square that covers this share of the image; odd and at least 3 for l2."""
    side = round(math.sqrt(share * height * width))
    side = max(side, 1) if ball.norm == "linf" else max(side, 3) // 2 * 2 + 1
    return min(side, height, width)


def first_pattern(ball: Ball, rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """A change of norm `radius`: vertical stripes for linf, tiles of bumps for l2; [C, H, W]."""
    channels, height, width = shape
    if ball.norm == "linf":
        stripes = _signs(rng.random((channels, 1, width), dtype=np.float32))
        return np.broadcast_to(ball.radius * stripes, shape).astype(np.float32)
    side = max(min(height, width) // TILES, 1)
    down, across = height // side, width // side
    bump = _bumps(side)
    turned = rng.random((down, across, 1, 1)) < 0.5
    signs = _signs(rng.random((channels, down, across, 1, 1), dtype=np.float32))
    tiles = signs * np.where(turned, bump.T, bump)
    out = np.zeros(shape, dtype=np.float32)
    top, left = (height - down * side) // 2, (width - across * side) // 2
    out[:, top : top + down * side, left : left + across * side] = tiles.transpose(
        0, 1, 3, 2, 4
    ).reshape(channels, down * side, across * side)
    return out * np.float32(ball.radius / np.linalg.norm(out))


def propose(ball: Ball, x: Tensor, origin: Tensor, side: int, draws: Tensor) -> Tensor:
    """The next images to try: x [n, C, H, W] with one square changed; draws [n, 5 + C]."""
    change = _change_linf if ball.norm == "linf" else _change_l2
    return ball.project(origin + change(ball, x - origin, side, draws), origin)


def _change_linf(ball: Ball, delta: Tensor, side: int, draws: Tensor) -> Tensor:
    """The whole square is as far away as the ball allows, one sign per channel."""
    delta = delta.clone()
    sign = torch.where(draws[:, PLACES:] < 0.5, -1.0, 1.0)[:, :, None, None].to(delta)
    delta[_square(delta, side, draws[:, 0], draws[:, 1])] = ball.radius * sign
    return delta


def _change_l2(ball: Ball, delta: Tensor, side: int, draws: Tensor) -> Tensor:
    """A bump is added in the first square; its norm is what both squares had and what was unused.

    The second square goes back to the original. Norms are per channel.
    """
    here = _square(delta, side, draws[:, 0], draws[:, 1])
    there = _square(delta, side, draws[:, 2], draws[:, 3])
    bump = torch.from_numpy(_bumps(side)).to(delta)
    bump = torch.where((draws[:, 4] < 0.5)[:, None, None], bump, bump.T)[:, None]
    sign = torch.where(draws[:, PLACES:] < 0.5, -1.0, 1.0)[:, :, None, None].to(delta)
    old = delta[here]
    new = sign * bump + old / _norm(old).clamp(min=1e-12)
    emptied = delta.clone()
    emptied[here] = 0
    emptied[there] = 0
    taken = _norm(delta).square() - _norm(emptied).square()
    unused = (ball.radius**2 - rows_like(ball.size(delta), delta).square()).clamp(min=0)
    budget = (taken + unused / delta.shape[1]).clamp(min=0).sqrt()
    emptied[here] = new * (budget / _norm(new).clamp(min=1e-12))
    whole = rows_like(ball.size(emptied), emptied).clamp(min=1e-12)
    return emptied * (ball.radius / whole)


def _square(images: Tensor, side: int, down: Tensor, across: Tensor) -> tuple[Tensor, ...]:
    """The index of one square of each row, all channels, placed by two draws in [0, 1)."""
    n, channels, height, width = images.shape
    run = torch.arange(side, device=images.device)
    rows = (down.double() * (height - side + 1)).long()[:, None] + run
    columns = (across.double() * (width - side + 1)).long()[:, None] + run
    return (
        torch.arange(n, device=images.device)[:, None, None, None],
        torch.arange(channels, device=images.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )


def _norm(images: Tensor) -> Tensor:
    """Of each channel, [n, C, 1, 1]."""
    return images.square().sum(dim=(2, 3), keepdim=True).sqrt()


def _signs(draws: Array) -> Array:
    return np.where(draws < 0.5, np.float32(-1), np.float32(1))


@lru_cache(maxsize=256)
def _bumps(side: int) -> Array:
    """[side, side] of norm 1: a bump in the upper half, one of the other sign in the lower."""
    upper = side // 2
    whole = np.concatenate([_bump(upper, side), -_bump(side - upper, side)])
    bumps: Array = (whole / np.linalg.norm(whole)).astype(np.float32)
    return bumps


def _bump(height: int, width: int) -> Array:
    """[height, width] of norm 1 that falls from the middle in square rings: sum of 1 / k^2."""
    middle = height // 2, width // 2
    ring = np.maximum(
        np.abs(np.arange(height) - middle[0])[:, None], np.abs(np.arange(width) - middle[1])[None]
    )
    last = max(middle) + 1
    tail = np.cumsum(1 / np.arange(last, 0, -1.0) ** 2)[::-1]
    bump = tail[ring]
    return (bump / max(float(np.linalg.norm(bump)), 1e-12)).astype(np.float32)
