"""The best linear map, from sums alone: ridge fitted on one half of the pairs, scored on the other.

Pure functions of Gram matrices, so that no feature has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interplay_runner.measurement import State, UnmeasurableError

from .transforms import STILL

__all__ = ["HALVES", "Pairs", "choose_ridge", "gain_over_identity", "r2"]

HALVES = ("fit", "score")
MIN_ROWS = 8
RIDGES = tuple(10.0**k for k in range(-6, 3))
"""Candidates, in units of the mean eigenvalue."""
MAX_FREEDOM = 0.9
"""Maps with more degrees of freedom per row pass through the data; their error says nothing."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sums over n pairs (x, y) of float64 [d]: n, sum x, sum y, X'X, X'Y and sum |y|^2."""

    n: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @staticmethod
    def names(half: str, label: str) -> dict[str, str]:
        """Where a state keeps each sum; n, x and X'X are shared by all labels."""
        shared = {k: f"{half}.{k}" for k in ("n", "x", "xx")}
        return shared | {k: f"{half}.{label}.{k}" for k in ("y", "xy", "yy")}

    @staticmethod
    def zeros(half: str, label: str, d: int) -> State:
        """The empty sums."""
        shapes: dict[str, tuple[int, ...]] = {
            "n": (), "x": (d,), "y": (d,), "xx": (d, d), "xy": (d, d), "yy": (),
        }  # fmt: skip
        return {
            name: torch.zeros(shapes[k], dtype=torch.int64 if k == "n" else torch.float64)
            for k, name in Pairs.names(half, label).items()
        }

    @classmethod
    def of(cls, state: State, half: str, label: str) -> Pairs:
        """The sums of one half and one label."""
        sums = {k: state[name] for k, name in cls.names(half, label).items()}
        return cls(n=int(sums.pop("n")), **sums)

    def __post_init__(self) -> None:
        if self.n < MIN_ROWS:
            raise UnmeasurableError(f"a half has {self.n} images, fewer than {MIN_ROWS}")

    def variation(self) -> float:
        """sum |y - mean y|^2; raises where that is nothing."""
        total = float(self.yy - self.y @ self.y / self.n)
        if total <= STILL**2 * float(self.yy):
            raise UnmeasurableError("the features do not vary")
        return total

    def covariances(self) -> tuple[Tensor, Tensor]:
        """n cov(x, x) and n cov(x, y), [d, d] each."""
        return (
            self.xx - torch.outer(self.x, self.x) / self.n,
            self.xy - torch.outer(self.x, self.y) / self.n,
        )

    def residual(self, slope: Tensor, offset: Tensor) -> float:
        """sum |y - x A - b|^2."""
        square = self.yy - 2 * (slope * self.xy).sum() + (slope * (self.xx @ slope)).sum()
        linear = 2 * offset @ (self.x @ slope - self.y) + self.n * offset @ offset
        return float(square + linear)

    def displacement(self) -> float:
        """sum |y - x|^2; raises where that is nothing."""
        moved = float(self.yy - 2 * self.xy.trace() + self.xx.trace())
        if moved <= STILL**2 * float(self.yy):
            raise UnmeasurableError("the transform does not move the features")
        return moved


def choose_ridge(state: State, label: str) -> float:
    """The penalty with the least generalised cross-validation error on the fitted half.

    n RSS / (n - df)^2 over RIDGES (Golub, Heath & Wahba 1979).
    """
    pairs = Pairs.of(state, "fit", label)
    total = pairs.variation()
    covariance, cross = pairs.covariances()
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues = eigenvalues.clamp(min=0)
    if not eigenvalues.max() > STILL**2 * pairs.xx.trace():
        raise UnmeasurableError("the features do not vary")
    weights = (vectors.T @ cross).square().sum(dim=1)

    def error(ridge: float) -> float:
        shrunk = eigenvalues + ridge
        freedom = 1 + float((eigenvalues / shrunk).sum())
        if freedom > MAX_FREEDOM * pairs.n:
            return float("inf")
        rss = total - float((weights * (eigenvalues + 2 * ridge) / shrunk.square()).sum())
        return max(rss, 0.0) / (pairs.n - freedom) ** 2

    scale = float(eigenvalues.mean())
    return min((scale * r for r in reversed(RIDGES)), key=error)


def _scored(state: State, label: str, ridge: float) -> tuple[Pairs, float]:
    """The scored half, and its residual under the map fitted on the other."""
    pairs, scored = Pairs.of(state, "fit", label), Pairs.of(state, "score", label)
    covariance, cross = pairs.covariances()
    covariance.diagonal().add_(ridge)
    slope = torch.cholesky_solve(cross, torch.linalg.cholesky(covariance))
    return scored, scored.residual(slope, (pairs.y - pairs.x @ slope) / pairs.n)


def r2(state: State, label: str, ridge: float) -> float:
    """1 - sum |y - x A - b|^2 / sum |y - mean y|^2 on the scored half."""
    scored, residual = _scored(state, label, ridge)
    return 1 - residual / scored.variation()


def gain_over_identity(state: State, label: str, ridge: float) -> float:
    """1 - sum |y - x A - b|^2 / sum |y - x|^2 on the scored half."""
    scored, residual = _scored(state, label, ridge)
    return 1 - residual / scored.displacement()
