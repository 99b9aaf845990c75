"""Colours for images with three channels or one: one is grey, which has a value but no hue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["LUMA", "greyed", "tint"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def greyed(images: Tensor) -> Tensor:
    """Float32 [n, C, H, W] -> [n, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    return (images * tint(LUMA, 3, images)).sum(dim=1, keepdim=True)


def tint(colour: Sequence[float], channels: int, like: Tensor) -> Tensor:
    """A colour as [1, channels, 1, 1] on the device of `like`; its grey for one channel."""
    if channels == 1:
        colour = [sum(w * c for w, c in zip(LUMA, colour, strict=True))]
    return torch.tensor(colour, dtype=like.dtype, device=like.device).reshape(1, -1, 1, 1)
