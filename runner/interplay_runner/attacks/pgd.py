"""Projected gradient descent, the fixed protocol: random start, constant step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from .ball import Ball
from .draws import generators
from .losses import cross_entropy, fooled
from .outcome import Outcome, Rows, Samples
from .victim import Victim

__all__ = ["Pgd"]


@dataclass
class _State(Rows):
    row: Tensor
    origin: Tensor
    label: Tensor
    x: Tensor


@dataclass(frozen=True, slots=True)
class Pgd:
    """`steps` steps of 2.5 radius / steps up the cross-entropy, from a random point of the ball.

    The start and all steps count, not the last alone. Source: Madry et al. 2018, arXiv 1706.06083.
    """

    steps: int = 20
    restarts: int = 1
    seed: int = 0

    def __call__(self, victim: Victim, samples: Samples, ball: Ball) -> Outcome:
        outcome = Outcome.none(samples)
        for restart in range(self.restarts):
            if len(rows := outcome.left()):
                left = samples.take(rows)
                x = ball.start(left.images, generators(left.ids, "pgd", restart, self.seed))
                self._climb(victim, ball, _State(rows, left.images, left.labels, x), outcome)
        return outcome

    def _climb(self, victim: Victim, ball: Ball, state: _State, outcome: Outcome) -> None:
        step = 2.5 * ball.radius / self.steps
        for _ in range(self.steps):
            point = victim.gradient(state.x, partial(cross_entropy, labels=state.label))
            lost = fooled(point.logits, state.label)
            outcome.settle(state.row, state.x, lost)
            gradient, state = point.gradient[~lost], state.take(~lost)
            if not len(state.row):
                return
            state.x = ball.project(state.x + step * ball.steepest(gradient), state.origin)
        lost = fooled(victim.logits(state.x), state.label)
        outcome.settle(state.row, state.x, lost)
