"""Views that change the light: brightness, hue and blur, each a pure function of one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .corruptions.filters import gaussian
from .measurement import UnmeasurableError

__all__ = ["blur", "hue", "light"]


def light(images: Tensor, ids: Sequence[str], seed: int, *, factor: float) -> Tensor:
    """Multiply every pixel by `factor`, clip to [0, 1]: above 1 what is bright burns out."""
    del ids, seed
    return (images * factor).clamp(0, 1)


def hue(images: Tensor, ids: Sequence[str], seed: int, *, deg: float) -> Tensor:
    """Turn the hue of HSV by `deg` degrees; value and saturation stay, greys do not change."""
    del ids, seed
    if images.shape[1] != 3:
        raise UnmeasurableError(f"view hue: {images.shape[1]} channels have no hue")
    if deg % 360 == 0:
        return images
    red, green, blue = images.unbind(dim=1)
    value, lead = images.max(dim=1)
    chroma = value - images.amin(dim=1)
    safe = torch.where(chroma > 0, chroma, 1)
    sixths = torch.stack([(green - blue), (blue - red), (red - green)], dim=1) / safe[:, None]
    sixth = sixths.gather(1, lead[:, None])[:, 0] + 2 * lead + deg / 60
    # Alvy Ray Smith's hexagon: each channel lies below the value by a ramp of the hue.
    ramps = [(n + sixth).remainder(6) for n in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in ramps], dim=1)


def blur(images: Tensor, ids: Sequence[str], seed: int, *, sigma: float) -> Tensor:
    """Gaussian blur of `sigma` pixels; past the frame the border is repeated."""
    del ids, seed
    return images if sigma == 0 else gaussian(images, sigma, edge="clamp").clamp(0, 1)
