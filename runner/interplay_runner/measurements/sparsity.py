"""Sparsity of the features: how few units answer to an image, and how few images a unit answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.intervals import mean_t_sums
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Output,
    Parameters,
    State,
    StreamMeasurement,
    UnmeasurableError,
    Value,
    View,
)

from .values import Distinct, absent, features_of, jackknifed, measured

__all__ = ["Sparsity"]


class SparsityParams(Parameters):
    """Above which absolute values a unit counts as active."""

    thetas: Distinct[Annotated[float, Field(ge=0, le=1e6)]] = Field(
        (0, 0.01, 0.1, 1), min_length=1, max_length=16
    )


class Sparsity(StreamMeasurement):
    """How few of the features are active, per image (population) and per unit (lifetime).

    With z_ik the pooled features, float [n, d], of image i and unit k:

    - `active_share_theta<t>`: mean_ik [|z_ik| > t]. In [0, 1], lower is sparser. Its mean over the
      units of an image and its mean over the images of a unit are one number, so it is there
      once. t = 0 is exact after a ReLU; other t are in the features' own unit, which differs from
      model to model. Student's t over images.
    - `population_sparsity`: mean_i (1 - a_i) / (1 - 1/d), a_i = (mean_k |z_ik|)^2 / mean_k z_ik^2,
      Treves and Rolls' ratio. In [0, 1]: 0 if all units are equally active, 1 if a single one is.
      Student's t over images.
    - `hoyer_sparsity`: mean_i (sqrt d - |z_i|_1 / |z_i|_2) / (sqrt d - 1). The same ends, the
      square root of the same ratio in between. Student's t over images.
    - `lifetime_sparsity`: mean_k (1 - b_k) / (1 - 1/n), b_k = (mean_i |z_ik|)^2 / mean_i z_ik^2.
      In [0, 1]: 0 if a unit answers all images alike, 1 if a single one. Block jackknife.

    The last three do not change when the features are scaled. Images, and units, whose features
    are all zero have no ratio and are left out; n counts the images that are in. Higher is
    sparser, neither good nor bad by itself. Sources: Treves & Rolls 1991, Network 2:371; Vinje &
    Gallant 2000, Science 287:1273 (the normalisation); Hoyer 2004, JMLR 5:1457. Cost: F.
    """

    Params = SparsityParams
    category = "property"
    params: SparsityParams

    def need(self, model: ModelInfo) -> Need:
        if model.feature_dim < 2:
            raise UnmeasurableError("one feature has no sparsity")
        return Need(outputs=frozenset({"features"}), labels=False)

    def init(self, model: ModelInfo) -> State:
        d = model.feature_dim
        state: State = {"n": torch.zeros((), dtype=torch.int64)}
        state |= {k: torch.zeros((), dtype=torch.float64) for k in ("tr", "tr2", "hoyer", "hoyer2")}
        state |= {k: torch.zeros(d, dtype=torch.float64) for k in ("abs", "square")}
        # Counted, since what remains of a sum after a subtraction may not be exactly zero.
        state |= {"answers": torch.zeros(d, dtype=torch.int64), "alive": state["n"].clone()}
        for t in self.params.thetas:
            state |= {f"{t:g}.{k}": state["n"].clone() for k in ("active", "active2")}
        return state

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        z = features_of(outputs[IDENTITY]).abs()
        state["n"] += len(z)
        for t in self.params.thetas:
            active = (z > t).sum(dim=1)
            state[f"{t:g}.active"] += active.sum()
            state[f"{t:g}.active2"] += active.square().sum()
        state["abs"] += z.sum(dim=0)
        state["square"] += z.square().sum(dim=0)
        state["answers"] += (z > 0).sum(dim=0)
        alive = z[(z > 0).any(dim=1)]
        state["alive"] += len(alive)
        for name, own in (("tr", _treves_rolls(alive)), ("hoyer", _hoyer(alive))):
            state[name] += own.sum()
            state[f"{name}2"] += own.square().sum()

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        d = model.feature_dim
        values: dict[str, Value | float] = {}
        for t in self.params.thetas:
            # Integers up to here: equal shares must not differ by rounding.
            active, active2 = (int(state[f"{t:g}.{k}"]) for k in ("active", "active2"))
            values[metric_key("active_share", theta=t)] = _mean(
                active / d, active2 / d**2, int(state["n"])
            )
        for metric, name in (("population_sparsity", "tr"), ("hoyer_sparsity", "hoyer")):
            total, squares = float(state[name]), float(state[f"{name}2"])
            values[metric] = _alive_mean(total, squares, int(state["alive"]))
        values["lifetime_sparsity"] = jackknifed(
            _lifetime, state, blocks, sums=["abs", "square", "answers"], bounds=(0, 1)
        )
        return values


def _treves_rolls(z: Tensor) -> Tensor:
    """(1 - a_i) / (1 - 1/d) of each row; z float64 [rows, d], no row of zeros."""
    ratio: Tensor = z.mean(dim=1).square() / z.square().mean(dim=1)
    return (1 - ratio).div(1 - 1 / z.shape[1]).clamp(0, 1)


def _hoyer(z: Tensor) -> Tensor:
    """Hoyer's measure of each row; z float64 [rows, d], no row of zeros."""
    root = math.sqrt(z.shape[1])
    ratio: Tensor = z.sum(dim=1) / z.norm(dim=1)
    return (root - ratio).div(root - 1).clamp(0, 1)


def _mean(total: float, squares: float, n: int) -> Value:
    return measured(n, "t", lambda: mean_t_sums(total, squares, n), bounds=(0, 1))


def _alive_mean(total: float, squares: float, n: int) -> Value:
    return _mean(total, squares, n) if n else absent(0, "all features are zero")


def _lifetime(state: State) -> float:
    n, alive = int(state["n"]), state["answers"] > 0
    if n < 2:
        raise UnmeasurableError(f"{n} samples are too few for a unit's lifetime")
    if not bool(alive.any()):
        raise UnmeasurableError("all features are zero")
    ratio = state["abs"][alive].square() / (n * state["square"][alive])
    return float(((1 - ratio) / (1 - 1 / n)).mean())
