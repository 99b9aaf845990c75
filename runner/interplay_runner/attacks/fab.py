"""FAB-T: the smallest change of an image that makes it another class, found along linear models.

Croce and Hein 2020, arXiv 1907.02044, targeted as in arXiv 2003.01690. The margin z_t - z_y towards
a class t is made linear at the current image x; both x and the original go to the nearest image of
the plane where it is 0 (planes.py), 5 % beyond, and the next x lies between, the more towards the
original's the nearer that is. A fooling image outside the ball is drawn back by 10 % towards the
original and work goes on; one inside ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .ball import Ball, rows_like
from .losses import difference, fooled
from .outcome import Outcome, Rows, Samples
from .planes import onto_plane
from .victim import Victim

__all__ = ["FabT"]

BIAS = 0.1
"""The most that the original's side counts."""
BEYOND = 1.05
BACK = 0.9


@dataclass
class _State(Rows):
    row: Tensor
    origin: Tensor
    label: Tensor
    target: Tensor
    x: Tensor


@dataclass(frozen=True, slots=True)
class FabT:
    """FAB towards each of the `targets` likeliest other classes, from the original; no chance."""

    steps: int = 100
    targets: int = 9

    def __call__(self, victim: Victim, samples: Samples, ball: Ball) -> Outcome:
        outcome = Outcome.none(samples)
        for place in range(min(self.targets, samples.others.shape[1])):
            if len(rows := outcome.left()):
                left = samples.take(rows)
                target = left.others[:, place]
                state = _State(rows, left.images, left.labels, target, left.images)
                self._approach(victim, ball, state, outcome)
        return outcome

    def _approach(self, victim: Victim, ball: Ball, state: _State, outcome: Outcome) -> None:
        for _ in range(self.steps):
            if not len(state.row):
                return
            state.x = _step(victim, ball, state)
            crossed = fooled(victim.logits(state.x), state.label)
            inside = ball.size(state.x - state.origin) <= ball.radius
            outcome.settle(state.row, state.x, crossed & inside)
            back = state.origin + BACK * (state.x - state.origin)
            state.x = torch.where(rows_like(crossed, back), back, state.x)
            state = state.take(~(crossed & inside))


def _step(victim: Victim, ball: Ball, state: _State) -> Tensor:
    x, origin = state.x, state.origin
    point = victim.gradient(x, partial(difference, labels=state.label, targets=state.target))
    slope = point.gradient
    at_origin = point.loss + (slope * (origin - x)).flatten(1).sum(dim=1, dtype=torch.float64)
    here = onto_plane(x, slope, point.loss, ball.norm)
    there = onto_plane(origin, slope, at_origin, ball.norm)
    near, far = ball.size(here), ball.size(there)
    share = rows_like((near / (near + far).clamp(min=1e-12)).clamp(max=BIAS), x)
    return ((1 - share) * (x + BEYOND * here) + share * (origin + BEYOND * there)).clamp_(0, 1)
