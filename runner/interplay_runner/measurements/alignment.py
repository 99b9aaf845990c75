"""Alignment: how far apart the features of an image and of its transform lie on the sphere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor

from interplay_runner.intervals import mean_t_sums
from interplay_runner.measurement import Columns, ModelInfo, Output, State, Value, View

from .transforms import TransformMeasurement, TransformParams, unit_rows
from .values import absent, features_of, measured

__all__ = ["Alignment"]


class AlignmentParams(TransformParams):
    """Which transforms, and the exponent."""

    alpha: float = Field(2, gt=0, le=8)


class Alignment(TransformMeasurement):
    """Distance of the features of an image and of its transform on the unit sphere.

    `<op>_alignment_alpha<a>`: mean_i |u_i - u_i'|^a with u = z / |z| and z_i, z_i' float [d] the
    features of image i before and after. In [0, 2^a], lower is more aligned, 0 if features keep
    their direction; neither good nor bad by itself. `null`, at a = 2 alone, is that of an image
    and another one's transform, which sums tell exactly. At a = 2 it is 2 (1 - cos), so 2 minus
    twice the invariance of the same transform: the two must never count as two findings. Images
    whose features are all zero before or after are left out. Student's t over images. Source: Wang
    & Isola 2020 (arXiv 2005.10242), for positive pairs made by one known transform. Cost: T.
    """

    Params = AlignmentParams
    params: AlignmentParams

    def init(self, model: ModelInfo) -> State:
        state: State = {}
        for m in self.params.magnitudes:
            state[f"{m:g}.n"] = torch.zeros((), dtype=torch.int64)
            for name in ("apart", "apart2", "cos"):
                state[f"{m:g}.{name}"] = torch.zeros((), dtype=torch.float64)
            for name in ("u", "v"):
                state[f"{m:g}.{name}"] = torch.zeros(model.feature_dim, dtype=torch.float64)
        return state

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        x = features_of(outputs[self.params.base])
        for m in self.params.magnitudes:
            real, u, v = unit_rows(x, features_of(outputs[self.params.view(m)]))
            u, v = u[real], v[real]
            apart = self._apart(u, v)
            state[f"{m:g}.n"] += len(u)
            for name, term in (
                ("apart", apart.sum()),
                ("apart2", apart.square().sum()),
                ("cos", (u * v).sum()),
                ("u", u.sum(dim=0)),
                ("v", v.sum(dim=0)),
            ):
                state[f"{m:g}.{name}"] += term

    def samples(
        self, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> Columns:
        """`<op>_alignment_<magnitude>`: the distance of each image, NaN where it has none."""
        del ids, labels
        x = features_of(outputs[self.params.base])
        columns: Columns = {}
        for m in self.params.magnitudes:
            _, u, v = unit_rows(x, features_of(outputs[self.params.view(m)]))
            columns[self._metric(m)] = self._apart(u, v).numpy()
        return columns

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del blocks, model
        return {self._metric(m): self._value(state, f"{m:g}") for m in self.params.magnitudes}

    def _metric(self, magnitude: float) -> str:
        return self.params.metric("alignment", magnitude, alpha=self.params.alpha)

    def _apart(self, u: Tensor, v: Tensor) -> Tensor:
        """|u - v|^alpha of each row."""
        apart: Tensor = (u - v).norm(dim=1).pow(self.params.alpha)
        return apart

    def _value(self, state: State, label: str) -> Value:
        n, total, squares = (float(state[f"{label}.{k}"]) for k in ("n", "apart", "apart2"))
        if n == 0:
            return absent(0, "all features are zero")
        null = None
        if self.params.alpha == 2 and n > 1:
            others = state[f"{label}.u"] @ state[f"{label}.v"] - state[f"{label}.cos"]
            null = 2 - 2 * float(others) / (n * (n - 1))
        bounds = (0, 2**self.params.alpha)
        return measured(
            int(n), "t", lambda: mean_t_sums(total, squares, int(n)), null=null, bounds=bounds
        )
