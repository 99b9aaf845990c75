"""Square: random search over squares of the image, which needs no gradient and so cannot be misled.

Andriushchenko et al. 2020, arXiv 1912.00049: a proposal changes one square, placed at random, by
the most that the ball allows, and is kept if it brings another class nearer. Squares cover 80 % of
the image at first; their area is halved on the paper's schedule, stretched to the queries given.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .ball import Ball, rows_like
from .draws import generators
from .losses import fooled, margin
from .outcome import Outcome, Rows, Samples
from .proposals import PLACES, first_pattern, propose, window_side
from .victim import Victim

__all__ = ["Square"]

AREA = 0.8
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries: after which the area is halved."""


@dataclass
class _State(Rows):
    row: Tensor
    origin: Tensor
    label: Tensor
    x: Tensor
    margin: Tensor


@dataclass(frozen=True, slots=True)
class Square:
    """`queries` forwards of each row, the first of a random pattern."""

    queries: int = 5000
    seed: int = 0

    def __call__(self, victim: Victim, samples: Samples, ball: Ball) -> Outcome:
        outcome = Outcome.none(samples)
        if not len(samples):
            return outcome
        origin = samples.images
        pattern, draws = self._draw(samples, ball)
        nowhere = torch.full(samples.labels.shape, -torch.inf, dtype=torch.float64)
        state = _State(outcome.left(), origin, samples.labels, origin, nowhere.to(origin.device))
        new = ball.project(origin + pattern, origin)
        for query in range(1, self.queries + 1):
            state = _accept(victim, state, new, outcome)
            if not len(state.row) or query == self.queries:
                break
            side = window_side(ball, self._area(query), *origin.shape[2:])
            new = propose(ball, state.x, state.origin, side, draws[state.row, query])
        return outcome

    def _area(self, query: int) -> float:
        halvings = bisect_left(HALVINGS, query * 10_000 / self.queries)
        return AREA * 0.5**halvings

    def _draw(self, samples: Samples, ball: Ball) -> tuple[Tensor, Tensor]:
        """The first changes [n, C, H, W] and the draws of all proposals [n, queries, 5 + C]."""
        channels, height, width = samples.images.shape[1:]
        patterns, draws = [], []
        for rng in generators(samples.ids, "square", self.seed):
            patterns.append(first_pattern(ball, rng, (channels, height, width)))
            draws.append(rng.random((self.queries, PLACES + channels), dtype=np.float32))
        where = samples.images.device
        return (
            torch.from_numpy(np.stack(patterns)).to(where),
            torch.from_numpy(np.stack(draws)).to(where),
        )


def _accept(victim: Victim, state: _State, new: Tensor, outcome: Outcome) -> _State:
    """Keep what is better; the rows that are not fooled go on."""
    logits = victim.logits(new)
    gained = margin(logits, state.label)
    lost = fooled(logits, state.label)
    outcome.settle(state.row, new, lost)
    better = gained > state.margin
    state.x = torch.where(rows_like(better, new), new, state.x)
    state.margin = torch.where(better, gained, state.margin)
    return state.take(~lost)
