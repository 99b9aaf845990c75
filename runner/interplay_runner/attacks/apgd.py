"""APGD: gradient ascent with momentum that halves its own steps; on cross-entropy, or targeted.

Croce and Hein 2020, arXiv 2003.01690: step 2 radius at first, momentum 0.75; at checkpoints that
come closer and closer, a row whose loss rose in fewer than 75 % of the steps, or whose best loss
and step have not changed since the last checkpoint, goes back to its best point at half the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .ball import Ball, rows_like
from .draws import generators
from .losses import cross_entropy, fooled, targeted
from .outcome import Outcome, Rows, Samples
from .victim import Point, Victim

__all__ = ["ApgdCe", "ApgdT", "checkpoints"]

MOMENTUM = 0.75
RISING = 0.75
"""Share of the steps since the last checkpoint that must raise the loss."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits, label, target) -> [n]."""


def checkpoints(steps: int) -> dict[int, int]:
    """The steps after which step sizes are looked at, each with the steps since the one before."""
    out: dict[int, int] = {}
    percent, gap, last = 22, 22, 0
    while percent <= 100:
        step = max(last + 1, -(-percent * steps // 100))
        out[step] = step - last
        last, gap = step, max(gap - 3, 6)
        percent += gap
    return out


@dataclass
class _State(Rows):
    row: Tensor
    origin: Tensor
    label: Tensor
    target: Tensor
    x: Tensor
    previous: Tensor
    loss: Tensor
    gradient: Tensor
    lost: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    step: Tensor
    rises: Tensor
    checked_loss: Tensor
    halved: Tensor


@dataclass(frozen=True, slots=True)
class ApgdCe:
    """APGD on the cross-entropy, from `restarts` random starts."""

    steps: int = 100
    restarts: int = 1
    seed: int = 0

    def __call__(self, victim: Victim, samples: Samples, ball: Ball) -> Outcome:
        outcome = Outcome.none(samples)
        for restart in range(self.restarts):
            if len(rows := outcome.left()):
                left = samples.take(rows)
                x = ball.start(left.images, generators(left.ids, "apgd-ce", restart, self.seed))
                climb = _Climb(victim, ball, self.steps, _untargeted)
                climb(rows, left, left.labels, x, outcome)
        return outcome


@dataclass(frozen=True, slots=True)
class ApgdT:
    """APGD on the targeted DLR loss, towards each of the `targets` likeliest other classes."""

    steps: int = 100
    targets: int = 9
    seed: int = 0

    def __call__(self, victim: Victim, samples: Samples, ball: Ball) -> Outcome:
        outcome = Outcome.none(samples)
        for place in range(min(self.targets, samples.others.shape[1])):
            if len(rows := outcome.left()):
                left = samples.take(rows)
                x = ball.start(left.images, generators(left.ids, "apgd-t", place, self.seed))
                climb = _Climb(victim, ball, self.steps, targeted)
                climb(rows, left, left.others[:, place], x, outcome)
        return outcome


def _untargeted(logits: Tensor, label: Tensor, target: Tensor) -> Tensor:
    del target
    return cross_entropy(logits, label)


@dataclass(frozen=True, slots=True)
class _Climb:
    """One run of APGD from one start."""

    victim: Victim
    ball: Ball
    steps: int
    loss: Loss

    def __call__(
        self, rows: Tensor, samples: Samples, target: Tensor, x: Tensor, outcome: Outcome
    ) -> None:
        windows = checkpoints(self.steps)
        state = _left(self._begin(rows, samples, target, x), outcome)
        for k in range(1, self.steps + 1):
            if not len(state.row):
                return
            x = self._move(state, MOMENTUM if k > 1 else 1.0)
            state = _left(self._arrive(state, x), outcome)
            if k in windows:
                state = _check(state, windows[k])

    def _look(self, x: Tensor, label: Tensor, target: Tensor) -> Point:
        return self.victim.gradient(x, lambda z: self.loss(z, label, target))

    def _begin(self, rows: Tensor, samples: Samples, target: Tensor, x: Tensor) -> _State:
        label = samples.labels
        point = self._look(x, label, target)
        return _State(
            row=rows,
            origin=samples.images,
            label=label,
            target=target,
            x=x,
            previous=x,
            loss=point.loss,
            gradient=point.gradient,
            lost=fooled(point.logits, label),
            best=x,
            best_loss=point.loss,
            best_gradient=point.gradient,
            step=torch.full_like(point.loss, 2 * self.ball.radius),
            rises=torch.zeros_like(label),
            checked_loss=torch.full_like(point.loss, -torch.inf),
            halved=torch.zeros_like(label, dtype=torch.bool),
        )

    def _move(self, state: _State, momentum: float) -> Tensor:
        step = rows_like(state.step, state.x) * self.ball.steepest(state.gradient)
        ahead = self.ball.project(state.x + step, state.origin)
        drift = momentum * (ahead - state.x) + (1 - momentum) * (state.x - state.previous)
        return self.ball.project(state.x + drift, state.origin)

    def _arrive(self, state: _State, x: Tensor) -> _State:
        point = self._look(x, state.label, state.target)
        better = point.loss > state.best_loss
        here = rows_like(better, x)
        return replace(
            state,
            x=x,
            previous=state.x,
            loss=point.loss,
            gradient=point.gradient,
            lost=fooled(point.logits, state.label),
            best=torch.where(here, x, state.best),
            best_loss=torch.where(better, point.loss, state.best_loss),
            best_gradient=torch.where(here, point.gradient, state.best_gradient),
            rises=state.rises + (point.loss > state.loss),
        )


def _left(state: _State, outcome: Outcome) -> _State:
    """The rows that are not fooled, after the others have been noted."""
    outcome.settle(state.row, state.x, state.lost)
    return state.take(~state.lost)


def _check(state: _State, window: int) -> _State:
    """Halve the steps of the rows that do not get on, and send these back to their best point."""
    stuck = ~state.halved & (state.best_loss <= state.checked_loss)
    halve = (state.rises < RISING * window) | stuck
    back = rows_like(halve, state.x)
    return replace(
        state,
        x=torch.where(back, state.best, state.x),
        previous=torch.where(back, state.best, state.previous),
        loss=torch.where(halve, state.best_loss, state.loss),
        gradient=torch.where(back, state.best_gradient, state.gradient),
        step=torch.where(halve, state.step / 2, state.step),
        rises=torch.zeros_like(state.rises),
        checked_loss=state.best_loss,
        halved=halve,
    )
