"""Invariance: do the features stay where they are when the image is transformed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from interplay_runner.intervals import mean_t_sums
from interplay_runner.measurement import (
    Columns,
    ModelInfo,
    Output,
    State,
    UnmeasurableError,
    Value,
    View,
)

from .transforms import TransformMeasurement, unit_rows
from .values import absent, features_of, jackknifed, measured

__all__ = ["Invariance"]

CENTRED = ("x", "y", "xy", "xx", "yy")


class Invariance(TransformMeasurement):
    """Cosine of the features of an image and of its transform, per magnitude.

    With z_i, z_i' float [d] the features of image i before and after (n images):

    - `<op>_invariance`: mean_i cos(z_i, z_i'). In [-1, 1]; 1 if features keep their direction.
      `null` is the other-image baseline mean_{i != j} cos(z_i, z_j'): features that are all
      positive are alike without any invariance. Student's t interval.
    - `<op>_invariance_gain`: mean_i [cos(z_i, z_i') - E_pi cos(z_i, pi z_i')], pi a random
      permutation of the dimensions, its expectation d mean(z_i) mean(z_i') / (|z_i| |z_i'|) exact.
      In [-1, 2]; 0 if only the distribution over dimensions is kept. Student's t interval.
    - `<op>_invariance_centred`: sum_i c_i . c_i' / sqrt(sum_i |c_i|^2 sum_i |c_i'|^2), with c, c'
      the features minus their own mean over images. In [-1, 1]; 1 if all that tells images apart
      is kept, 0 for pairs of unrelated images. Block jackknife.

    Images whose features are all zero before or after have no direction: the first two leave
    them out, and n says so. Higher is more invariant, neither good nor bad by itself.
    Source: Bouchacourt et al. 2021 (arXiv 2106.05121); centring and baselines are ours. Cost: T.
    """

    def init(self, model: ModelInfo) -> State:
        d = model.feature_dim
        state: State = {"n": torch.zeros((), dtype=torch.int64)}
        for m in self.params.magnitudes:
            state[f"{m:g}.n"] = torch.zeros((), dtype=torch.int64)
            for name in ("u", "v", "x", "y"):
                state[f"{m:g}.{name}"] = torch.zeros(d, dtype=torch.float64)
            for name in ("cos", "cos2", "gain", "gain2", "xy", "xx", "yy"):
                state[f"{m:g}.{name}"] = torch.zeros((), dtype=torch.float64)
        return state

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        x = features_of(outputs[self.params.base])
        state["n"] += len(x)
        for m in self.params.magnitudes:
            for name, term in _sums(x, features_of(outputs[self.params.view(m)])).items():
                state[f"{m:g}.{name}"] += term

    def samples(
        self, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> Columns:
        """`<op>_cos_<magnitude>`: the cosine of each image, NaN where it has no direction."""
        del ids, labels
        x = features_of(outputs[self.params.base])
        columns: Columns = {}
        for m in self.params.magnitudes:
            _, u, v = unit_rows(x, features_of(outputs[self.params.view(m)]))
            columns[self.params.metric("cos", m)] = (u * v).sum(dim=1).numpy()
        return columns

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del model
        values: dict[str, Value | float] = {}
        for m in self.params.magnitudes:
            own = {k: state[f"{m:g}.{k}"] for k in ("n", "u", "v", "cos", "cos2", "gain", "gain2")}
            values[self.params.metric("invariance", m)] = _cosine(own)
            values[self.params.metric("invariance_gain", m)] = _mean(own, "gain", (-1, 2))
            values[self.params.metric("invariance_centred", m)] = jackknifed(
                partial(_centred, label=f"{m:g}"),
                state,
                blocks,
                sums=[f"{m:g}.{k}" for k in CENTRED],
                bounds=(-1, 1),
            )
        return values


def _sums(x: Tensor, y: Tensor) -> dict[str, Tensor | int]:
    """The terms that these rows add, x and y float64 [rows, d]."""
    real, u, v = unit_rows(x, y)
    u, v = u[real], v[real]
    cos = (u * v).sum(dim=1)
    gain = cos - u.mean(dim=1) * v.sum(dim=1)
    return {
        "n": int(real.sum()),
        "u": u.sum(dim=0),
        "v": v.sum(dim=0),
        "cos": cos.sum(),
        "cos2": cos.square().sum(),
        "gain": gain.sum(),
        "gain2": gain.square().sum(),
        "x": x.sum(dim=0),
        "y": y.sum(dim=0),
        "xy": (x * y).sum(),
        "xx": x.square().sum(),
        "yy": y.square().sum(),
    }


def _mean(own: State, name: str, bounds: tuple[float, float], null: float | None = None) -> Value:
    n, total, squares = int(own["n"]), float(own[name]), float(own[f"{name}2"])
    if n == 0:
        return absent(0, "all features are zero")
    return measured(n, "t", lambda: mean_t_sums(total, squares, n), null=null, bounds=bounds)


def _cosine(own: State) -> Value:
    n = int(own["n"])
    others = float(own["u"] @ own["v"] - own["cos"]) / (n * (n - 1)) if n > 1 else None
    return _mean(own, "cos", (-1, 1), others)


def _centred(state: State, *, label: str) -> float:
    n = int(state["n"])
    x, y, xy, xx, yy = (state[f"{label}.{k}"] for k in CENTRED)
    if n == 0:
        raise UnmeasurableError("no samples")
    spread_x, spread_y = float(xx - x @ x / n), float(yy - y @ y / n)
    if spread_x <= 1e-12 * float(xx) or spread_y <= 1e-12 * float(yy):
        raise UnmeasurableError("the features do not vary")
    return float(xy - x @ y / n) / math.sqrt(spread_x * spread_y)
