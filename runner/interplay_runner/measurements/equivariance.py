"""Equivariance: do the features move in a way that the transform, not the image, decides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from interplay_runner.measurement import (
    ModelInfo,
    Output,
    State,
    UnmeasurableError,
    Value,
    View,
)

from .linear_map import HALVES, Pairs, choose_ridge, gain_over_identity, r2
from .transforms import STILL, TransformMeasurement
from .values import absent, features_of, jackknifed

__all__ = ["Equivariance", "halves"]

MAX_DIRECTIONS = 256
"""The linear map's Gram matrices are kept per magnitude and block: more would fill the memory."""


class Equivariance(TransformMeasurement):
    """How the features of an image and of its transform go together, per magnitude.

    With z_i, z_i' float [d] the features of image i before and after (n images):

    - `<op>_equivariance`: mean_{i != j} cos(d_i, d_j), d_i = z_i' - z_i, from
      (|sum_i u_i|^2 - n) / (n (n - 1)) with u = d / |d|. In [-1/(n-1), 1]; 1 if every image moves
      in the same direction, 0 if each moves in its own. Images that do not move are left out.
    - `<op>_equivariance_r2`: the best linear map. z' ~ z A + b by ridge on the images of one half,
      1 - sum |z' - z A - b|^2 / sum |z' - mean z'|^2 on those of the other. At most 1; 0 if the
      map says no more than the mean. Both halves are fixed by a hash of the id.
    - `<op>_equivariance_gain`: 1 - sum |z' - z A - b|^2 / sum |z' - z|^2 on the same images: what
      the map explains beyond invariance, whose map is the identity. At most 1.

    Block jackknife. Where nothing moves (the identity transform, an invariant model) the first
    and the last are 0 / 0, so absent. Above 256 features the map is fitted between their
    projections on 256 fixed random orthonormal directions. Higher is more equivariant, neither
    good nor bad by itself. Sources: Bouchacourt et al. 2021 (arXiv 2106.05121), Lenc & Vedaldi
    2015 (arXiv 1411.5908). Cost: T.
    """

    def init(self, model: ModelInfo) -> State:
        state: State = {"n": torch.zeros((), dtype=torch.int64)}
        d = min(model.feature_dim, MAX_DIRECTIONS)
        for label in self._labels():
            state[f"{label}.moved"] = torch.zeros((), dtype=torch.int64)
            state[f"{label}.u"] = torch.zeros(model.feature_dim, dtype=torch.float64)
            for half in HALVES:
                state |= Pairs.zeros(half, label, d)
        return state

    def _labels(self) -> dict[str, View]:
        return {f"{m:g}": self.params.view(m) for m in self.params.magnitudes}

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del labels
        x = features_of(outputs[self.params.base])
        parts = dict(zip(HALVES, halves(ids), strict=True))
        state["n"] += len(x)
        for half, rows in parts.items():
            base = _project(x[rows])
            state[f"{half}.n"] += len(base)
            state[f"{half}.x"] += base.sum(dim=0)
            state[f"{half}.xx"].addmm_(base.T, base)
        for label, view in self._labels().items():
            y = features_of(outputs[view])
            _add_directions(state, label, x, y)
            for half, rows in parts.items():
                base, after = _project(x[rows]), _project(y[rows])
                state[f"{half}.{label}.y"] += after.sum(dim=0)
                state[f"{half}.{label}.yy"] += after.square().sum()
                state[f"{half}.{label}.xy"].addmm_(base.T, after)

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del model
        values: dict[str, Value | float] = {}
        for m in self.params.magnitudes:
            label = f"{m:g}"
            values[self.params.metric("equivariance", m)] = jackknifed(
                partial(_same_direction, label=label),
                state,
                blocks,
                rows=f"{label}.moved",
                sums=[f"{label}.u"],
            )
            values |= self._linear(state, blocks, m)
        return values

    def _linear(self, state: State, blocks: Sequence[State], m: float) -> dict[str, Value]:
        label = f"{m:g}"
        sums = [name for half in HALVES for name in Pairs.names(half, label).values()]
        statistics = {"equivariance_r2": r2, "equivariance_gain": gain_over_identity}
        names = {self.params.metric(name, m): f for name, f in statistics.items()}
        try:
            # Chosen once: the jackknife speaks of the map with this penalty.
            ridge = choose_ridge(state, label)
        except UnmeasurableError as error:
            return {name: absent(int(state["n"]), str(error)) for name in names}
        return {
            name: jackknifed(partial(f, label=label, ridge=ridge), state, blocks, sums=sums)
            for name, f in names.items()
        }


def halves(ids: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Rows of the first and of the second half, by a hash of the id."""
    first = torch.tensor([hashlib.sha256(i.encode()).digest()[0] % 2 == 0 for i in ids])
    return first.nonzero()[:, 0], (~first).nonzero()[:, 0]


@lru_cache(maxsize=4)
def _directions(d: int) -> Tensor:
    """Orthonormal columns, float64 [d, MAX_DIRECTIONS]."""
    normal = np.random.Generator(np.random.PCG64(0)).standard_normal((d, MAX_DIRECTIONS))
    return torch.from_numpy(np.linalg.qr(normal)[0])


def _project(features: Tensor) -> Tensor:
    d = features.shape[1]
    return features if d <= MAX_DIRECTIONS else features @ _directions(d)


def _add_directions(state: State, label: str, x: Tensor, y: Tensor) -> None:
    moved = y - x
    norm = moved.norm(dim=1)
    real = norm > STILL * x.norm(dim=1)
    state[f"{label}.moved"] += int(real.sum())
    state[f"{label}.u"] += (moved[real] / norm[real, None]).sum(dim=0)


def _same_direction(state: State, *, label: str) -> float:
    n, u = int(state[f"{label}.moved"]), state[f"{label}.u"]
    if n < 2:
        raise UnmeasurableError("the transform does not move the features")
    return (float(u @ u) - n) / (n * (n - 1))
