"""The spectrum of the features: over how many directions a model spreads its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor

from interplay_api.names import metric_key
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

from .values import absent, features_of, jackknifed

__all__ = ["EffectiveRank", "ParticipationRatio", "SpectralDecay"]

MAX_FEATURES = 4096
"""A Gram matrix of this size has 134 MB, and every block of the jackknife keeps one."""
MEMORY = 256 << 20
"""What the Gram matrices of all blocks may take, so 20 blocks up to 1,295 features."""
MIN_BLOCKS = 8
"""Kept whatever they take: the interval of fewer has t quantiles above 2.4."""
TRACE = "an unbiased tr(S^2)"


def _need(model: ModelInfo) -> Need:
    if model.feature_dim > MAX_FEATURES:
        raise UnmeasurableError(
            f"{model.feature_dim} features are more than the {MAX_FEATURES} a Gram matrix may have"
        )
    blocks = max(MIN_BLOCKS, min(20, MEMORY // (8 * model.feature_dim**2)))
    return Need(outputs=frozenset({"features"}), labels=False, blocks=blocks)


class EffectiveRank(StreamMeasurement):
    """RankMe: exp of the entropy of the singular values of the features, not centred.

    sigma_k the singular values of Z [n, d], p_k = sigma_k / sum sigma + 1e-7,
    effective_rank = exp(-sum p_k ln p_k). From 1 (one direction) to min(n, d) (all alike); more
    is neither good nor bad by itself. From the fp64 Gram matrix Z'Z; it grows with n. Block
    jackknife (a bootstrap repeats samples and so lowers the rank). Source: Garrido et al. 2022,
    arXiv 2210.02885. Cost: F.
    """

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        return _need(model)

    def init(self, model: ModelInfo) -> State:
        d = model.feature_dim
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "gram": torch.zeros(d, d, dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        z = features_of(outputs[IDENTITY])
        state["n"] += len(z)
        state["gram"].addmm_(z.T, z)

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del model
        return {"effective_rank": jackknifed(_effective_rank, state, blocks, bounds=(1, math.inf))}


def _effective_rank(state: State) -> float:
    eigenvalues = torch.linalg.eigvalsh(state["gram"]).clamp(min=0)
    # Rounding leaves a floor under the eigenvalues whose square roots would not be small.
    floor = eigenvalues.max() * len(eigenvalues) * torch.finfo(torch.float64).eps
    singular = torch.where(eigenvalues > floor, eigenvalues, 0.0).sqrt()
    total = singular.sum()
    if not total > 0:
        raise UnmeasurableError("all features are zero")
    p = singular / total + 1e-7
    return float(torch.exp(-(p * p.log()).sum()))


class ParticipationRatio(StreamMeasurement):
    """Participation ratio of the covariance of the features: (tr S)^2 / tr(S^2).

    `participation_ratio` from 1, all variance in one direction, to d, the same in all; neither good
    nor bad by itself. Numerator and denominator are unbiased for any distribution (Himeno & Yamada
    2014, J. Multivar. Anal. 130:27), so the value hardly depends on n, and may pass d by chance;
    plugged in, the covariance of n = 600 samples of isotropic d = 128 says 106. Block jackknife.
    Source: Gao et al. 2017. Cost: F.
    """

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        return _need(model)

    def init(self, model: ModelInfo) -> State:
        d = model.feature_dim
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "x": torch.zeros(d, dtype=torch.float64),
            "gram": torch.zeros(d, d, dtype=torch.float64),
            # a_i = |x_i|^2: the sums of a, a^2 and a x give the fourth moment about any point.
            "a": torch.zeros((), dtype=torch.float64),
            "aa": torch.zeros((), dtype=torch.float64),
            "ax": torch.zeros(d, dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        z = features_of(outputs[IDENTITY])
        a = z.square().sum(dim=1)
        state["n"] += len(z)
        state["x"] += z.sum(dim=0)
        state["gram"].addmm_(z.T, z)
        state["a"] += a.sum()
        state["aa"] += a.square().sum()
        state["ax"] += a @ z

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del model
        value = jackknifed(_participation_ratio, state, blocks, bounds=(1, math.inf))
        return {"participation_ratio": value}


def _participation_ratio(state: State) -> float:
    n = int(state["n"])
    if n < 4:
        raise UnmeasurableError(f"{n} samples are too few for {TRACE}")
    mean, gram, a = state["x"] / n, state["gram"], float(state["a"])
    covariance = (gram - n * torch.outer(mean, mean)) / (n - 1)
    trace, square = float(covariance.trace()), float(covariance.square().sum())
    if trace <= 1e-12 * a / n:
        raise UnmeasurableError("the features do not vary")
    c = float(mean @ mean)
    fourth = float(state["aa"] + 4 * mean @ gram @ mean - 4 * mean @ state["ax"])
    fourth += 2 * c * a - 3 * n * c * c  # sum |x - mean|^4
    fourth *= n / (n - 1)
    # Both up to the same factor (n - 1) / (n (n - 2) (n - 3)).
    upper = 2 * square + (n * n - 3 * n + 1) * trace**2 - fourth
    lower = (n - 1) * (n - 2) * square + trace**2 - fourth
    if lower <= 0:
        raise UnmeasurableError(f"{n} samples are too few for {TRACE}")
    return upper / lower


class DecayParams(Parameters):
    """Over which ranks the line is drawn, both ends included; rank 1 is the largest eigenvalue."""

    first: int = Field(4, ge=1, le=MAX_FEATURES)
    last: int = Field(50, ge=1, le=MAX_FEATURES)

    @model_validator(mode="after")
    def _two_ranks(self) -> Self:
        if self.last <= self.first:
            raise ValueError("last: must be above first")
        return self


class SpectralDecay(StreamMeasurement):
    """How fast the variance of the features falls from direction to direction: lambda_k ~ k^-a.

    spectral_decay = -slope of ln lambda_k over ln k, k = first ... last, by least squares with
    weights 1/k, so that every octave of ranks counts the same. lambda_1 >= lambda_2 >= ... are the
    eigenvalues of the covariance of the features, float [n, d]. In [0, inf): 0 if all directions
    have the same variance, higher if few have most of it; neither is good or bad by itself (about
    1 is said to be best). It depends on the ranks, which are part of its name. Sampling spreads
    eigenvalues: `null` is what isotropic features show at this n and d (Marchenko and Pastur's
    law). Block jackknife. Absent with no more features or images than `last`. Sources: Stringer
    et al. 2019, Nature 571:361 (the fit), Agrawal et al. 2022, NeurIPS (alpha-ReQ). Cost: F.
    """

    Params = DecayParams
    category = "property"
    params: DecayParams

    def need(self, model: ModelInfo) -> Need:
        if model.feature_dim <= self.params.last:
            raise UnmeasurableError(
                f"{model.feature_dim} features are too few for ranks up to {self.params.last}"
            )
        return _need(model)

    def init(self, model: ModelInfo) -> State:
        d = model.feature_dim
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "x": torch.zeros(d, dtype=torch.float64),
            "gram": torch.zeros(d, d, dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        z = features_of(outputs[IDENTITY])
        state["n"] += len(z)
        state["x"] += z.sum(dim=0)
        state["gram"].addmm_(z.T, z)

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        first, last = self.params.first, self.params.last
        name = metric_key("spectral_decay", first=first, last=last)
        n = int(state["n"])
        if min(n - int(b["n"]) for b in blocks) <= last + 1:
            return {name: absent(n, f"{n} samples are too few for ranks up to {last}")}
        value = jackknifed(
            partial(_spectral_decay, first=first, last=last), state, blocks, bounds=(0, math.inf)
        )
        null = _decay(_isotropic(n, model.feature_dim)[first - 1 : last], first)
        return {name: value if value.value is None else replace(value, null=null)}


def _spectral_decay(state: State, *, first: int, last: int) -> float:
    n, mean = int(state["n"]), state["x"] / int(state["n"])
    gram = state["gram"] - n * torch.outer(mean, mean)
    eigenvalues = torch.linalg.eigvalsh(gram).flip(0)
    # What is left of nothing by rounding, of the largest or of the mean that was taken off.
    floor = float(state["gram"].trace()) * len(gram) * torch.finfo(torch.float64).eps
    if not float(eigenvalues[last - 1]) > floor:
        raise UnmeasurableError(f"the features vary in fewer than {last} directions")
    return _decay(eigenvalues[first - 1 : last].numpy(), first)


def _decay(eigenvalues: npt.NDArray[np.float64], first: int) -> float:
    """-slope of ln lambda over ln k with weights 1/k; the first of them has rank `first`."""
    rank = np.arange(first, first + len(eigenvalues))
    # polyfit weighs residuals, not their squares.
    slope = np.polyfit(np.log(rank), np.log(eigenvalues), 1, w=rank**-0.5)[0]
    return -float(slope)


def _isotropic(n: int, d: int) -> npt.NDArray[np.float64]:
    """The eigenvalues that n samples of isotropic d features tend to show: float64 [min(n - 1, d)].

    The quantiles (k - 1/2) / d of Marchenko and Pastur's law, which spreads them around 1 by
    a + r cos(angle).
    """
    ratio = d / (n - 1)
    middle, radius = 1 + ratio, 2 * math.sqrt(ratio)
    angle = np.linspace(0, np.pi, 20_001)
    place = np.maximum(middle + radius * np.cos(angle), 1e-12)
    density = (radius * np.sin(angle)) ** 2 / (2 * np.pi * ratio * place)
    steps = (density[1:] + density[:-1]) / 2 * np.diff(angle)
    above = np.concatenate([[0.0], steps.cumsum()])
    quantiles: npt.NDArray[np.float64] = np.interp(
        (np.arange(min(n - 1, d)) + 0.5) / d, above, place
    )
    return quantiles
