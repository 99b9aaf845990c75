"""The geometry of class means, in which neural collapse is told: pure functions of features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interplay_runner.measurement import UnmeasurableError

__all__ = ["ClassMeans"]

MIN_ROWS = 2
"""Samples of a class, fewer have no variability."""
RANK = 1e-10
"""Eigenvalues below this share of the largest are rounding of float32 features."""


@dataclass(frozen=True, slots=True)
class ClassMeans:
    """The K classes that have samples enough.

    rows: their samples, float64 [n, d]; index: int64 [n], place of each one's class among the
    `known`, int64 [K]; centre: float64 [d], the mean of the classes' means; means: float64 [K, d],
    those minus the centre; weight: float64 [K, d], their part of the classifier, where there is
    one.
    """

    rows: Tensor
    index: Tensor
    known: Tensor
    centre: Tensor
    means: Tensor
    weight: Tensor | None

    @classmethod
    def of(cls, z: Tensor, y: Tensor, weight: Tensor | None = None) -> ClassMeans:
        """z: float64 [n, d]; y: int64 [n]; weight: float64 [classes, d]. Needs two classes."""
        counts = torch.bincount(y)
        known = (counts >= MIN_ROWS).nonzero()[:, 0]
        if len(known) < 2:
            raise UnmeasurableError(
                f"classes with {MIN_ROWS} or more samples: {len(known)}, 2 are needed"
            )
        kept = (counts >= MIN_ROWS)[y]
        rows, index = z[kept], torch.searchsorted(known, y[kept])
        totals = torch.zeros(len(known), z.shape[1], dtype=z.dtype).index_add_(0, index, rows)
        means = totals / counts[known, None]
        centre = means.mean(dim=0)
        means = means - centre
        if float(means.square().sum()) <= 1e-12 * float(totals.square().sum()) / len(z) ** 2:
            raise UnmeasurableError("all classes have the same mean")
        return cls(rows, index, known, centre, means, None if weight is None else weight[known])

    def variability(self) -> float:
        """NC1: the trace of S_W S_B^+ over K, every class with the same weight.

        With m the means, S_B^+ / K = (m'm)^+ = V L^-1 V', L the eigenvalues of mm' = ULU' above
        rounding and V = m'U L^-1/2: only products of width K are needed, none of width d.
        """
        values, vectors = torch.linalg.eigh(self.means @ self.means.T)
        real = values > RANK * values[-1]
        inverse = self.means.T @ (vectors[:, real] / values[real])  # V L^-1/2
        inside = (self.rows - self.centre) @ inverse - (self.means @ inverse)[self.index]
        squares = torch.zeros(len(self.known), dtype=torch.float64)
        squares.index_add_(0, self.index, inside.square().sum(dim=1))
        return float((squares / torch.bincount(self.index)).mean())

    def norms(self) -> float:
        """NC2: the deviation of the distances from the centre over their mean."""
        lengths = self._lengths()
        return float(lengths.std(correction=0) / lengths.mean())

    def angles(self) -> float:
        """NC2: the mean distance of the cosines from those of a simplex, -1 / (K - 1)."""
        k = len(self.known)
        unit = self.means / self._lengths()[:, None]
        gaps = (unit @ unit.T + 1 / (k - 1)).abs().fill_diagonal_(0)
        return float(gaps.sum() / (k * (k - 1)))

    def duality(self) -> float:
        """NC3: the distance of classifier and means, both of norm 1."""
        if self.weight is None:
            raise UnmeasurableError("the logits are not a linear map of the features")
        if not float(self.weight.norm()) > 0:
            raise UnmeasurableError("the classifier's weights are all zero")
        return float((self.weight / self.weight.norm() - self.means / self.means.norm()).norm())

    def nearest(self, z: Tensor) -> Tensor:
        """The class whose mean is nearest, int64 [n]; of equally near ones the lower."""
        x = z - self.centre
        nearness = x @ self.means.T - self.means.square().sum(dim=1) / 2
        nearest: Tensor = self.known[nearness.argmax(dim=1)]
        return nearest

    def _lengths(self) -> Tensor:
        """Distances of the means from the centre, float64 [K]."""
        if len(self.known) < 3:
            raise UnmeasurableError("two means always lie opposite of each other")
        lengths: Tensor = self.means.norm(dim=1)
        if float(lengths.min()) <= 1e-6 * float(lengths.max()):
            raise UnmeasurableError("the mean of a class is the centre of all")
        return lengths
