"""The nearest image of a plane: what the FAB attack moves towards. Pure, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from .ball import Norm

__all__ = ["onto_plane"]


def onto_plane(x: Tensor, normal: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """The step d, as x, to the image x + d in [0, 1] with value + normal . d = 0 nearest to x.

    x in [0, 1] and normal: float [n, C, H, W]; value: float [n], the plane's equation at x. Where
    no image lies on the plane: to the one that comes closest to it.

    Pixel i may move by its room m_i until it meets 0 or 1. It moves by min(s v_i, m_i), with v_i
    1 for the maximum norm and |normal_i| for l2. What that adds to the equation is concave and
    piecewise linear in s with its corners at m_i / v_i: sorted, the piece is found and solved.
    """
    flat, w, c = x.flatten(1).double(), normal.flatten(1).double(), value.double()
    w = w * -torch.where(c < 0, -1.0, 1.0)[:, None]  # along +w the value now goes to 0
    weight = w.abs()
    room = torch.where(w > 0, 1 - flat, flat)
    speed = (weight > 0).double() if norm == "linf" else weight
    corner, order = (room / speed.clamp(min=1e-300)).sort(dim=1)
    filled = (weight * room).gather(1, order)
    slope = (weight * speed).gather(1, order)
    full = filled.cumsum(dim=1) - filled  # of the pixels that have met their bound before
    moving = slope.flip(1).cumsum(dim=1).flip(1)
    reached = full + corner * moving  # what is added when this pixel meets its bound
    need = c.abs()[:, None]
    piece = (reached < need).sum(dim=1, keepdim=True).clamp(max=flat.shape[1] - 1)
    s = (need - full.gather(1, piece)) / moving.gather(1, piece).clamp(min=1e-300)
    step = torch.minimum(s * speed, room) * w.sign()
    return step.to(x.dtype).view_as(x)
