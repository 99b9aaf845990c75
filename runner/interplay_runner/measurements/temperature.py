"""Temperature scaling: how far one number, fitted on other images, mends the calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy import special
from torch import Tensor

from interplay_runner.columns import record_columns
from interplay_runner.intervals import Estimate, IntervalError
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Record,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
)

from .calibration import Brier, Nll
from .calibration_bins import Ece
from .frozen import disjoint, labels
from .values import absent, measured

__all__ = ["Temperature", "fitted"]

Array = npt.NDArray[np.float64]
LOWEST, HIGHEST = 1e-3, 1e3


class TemperatureParams(Parameters):
    """How much of the fit set is kept."""

    rows: int = Field(20_000, ge=1, le=1_000_000)
    """At most so many samples, by a hash of the id; 20,000 of 1,000 classes are 80 MB."""


class Temperature(TableMeasurement):
    """The temperature that the logits need, fitted on other images, and the calibration it leaves.

    - `temperature`: the T > 0 with the lowest negative log-likelihood of p = softmax(f / T), f the
      logits, float [m, classes], of the images in the role `fit` (at most `rows`). It solves
      mean_i g_i = 0, g_i = sum_c p_ic f_ic - f_iy, which falls in T: by Brent's method on ln T in
      float64, between .001 and 1,000. Above 1 the model is too sure, below 1 not sure enough;
      null 1. Absent where no T is best: every label is the first choice (T to 0), or the logits
      say nothing of the labels (T to infinity). Interval `score`: all T
      with mean g within Student's t standard errors of 0, where either of two standard errors will
      do: that of the g_i, with Hall's (1992) transformation for their skewness, or the one that the
      softmax states. The lower end is 0 where too few labels are missed to bound T. Coverage by
      simulation from 100 images on is .93 to .99, with 5 % of wrong labels too.
    - `ece_temperature`, `nll_temperature`, `brier_temperature`: those of `ece` (with its null),
      `nll` and `brier` on the dataset itself with f / T. Lower is better; their intervals are over
      images, for this T.

    The labels must be classes of the model, and `fit` must not have been trained on. Source: Guo et
    al. 2017 (arXiv 1706.04599). Cost: D, L.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "fit": "labelled samples that the model was not trained on, disjoint from the dataset"
    }
    Params = TemperatureParams
    category = "property"
    cost = "D+L"
    params: TemperatureParams

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        del model
        whole = Need(outputs=frozenset({"logits"}))
        return {OWN: whole, "fit": replace(whole, rows=self.params.rows)}

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        own, fit = tables[OWN], tables["fit"]
        disjoint(own, fit, "fit", "logits")
        y, scored = labels(fit), ("ece", "nll", "brier")
        try:
            best = fitted(fit.logits[IDENTITY].double(), y)
        except UnmeasurableError as error:
            n = len(own.records[IDENTITY].label)
            values = {f"{name}_temperature": absent(n, str(error)) for name in scored}
            return {"temperature": absent(len(y), str(error)), **values}
        at_best = {IDENTITY: _scaled(own, best)}
        values = {}
        for kind in (Ece, Nll, Brier):
            values |= kind(Parameters(), self.seed).compute(at_best)

        def interval() -> Estimate:
            return _ends(fit.logits[IDENTITY].double(), y, best)

        return {
            "temperature": measured(len(y), "score", interval, null=1.0),
            **{f"{name}_temperature": values[name] for name in scored},
        }


def _scaled(table: Table, temperature: float) -> Record:
    """The record of the logits over the temperature; no order of classes changes."""
    record = table.records[IDENTITY]
    logits = table.logits[IDENTITY].double() / temperature
    columns = record_columns(logits, torch.from_numpy(record.label))
    maxprob, logp, brier = (
        np.asarray(columns[name], dtype=np.float64) for name in ("maxprob", "logp_label", "brier")
    )
    return replace(record, maxprob=maxprob, logp_label=logp, brier=brier)


def _slopes(logits: Tensor, y: Tensor, log_t: float) -> tuple[Array, Array]:
    """d NLL_i / d (1 / T), what the softmax expects of the logit less the label's, float64 [n].

    And the variance that it has by the softmax, float64 [n].
    """
    p = torch.softmax(logits / math.exp(log_t), dim=1)
    mean = (p * logits).sum(dim=1)
    own = logits.gather(1, y[:, None]).squeeze(1)
    variance = (p * (logits - mean[:, None]).square()).sum(dim=1)
    return (mean - own).numpy(), variance.numpy()


def fitted(logits: Tensor, y: Tensor) -> float:
    """The best temperature for float64 [n, classes] and int64 [n]."""
    from scipy.optimize import brentq  # takes a moment to import

    if len(y) == 0:
        raise UnmeasurableError("fit: no samples")

    def slope(log_t: float) -> float:
        return float(_slopes(logits, y, log_t)[0].mean())

    coldest, hottest = math.log(LOWEST), math.log(HIGHEST)
    if slope(coldest) <= 0:
        raise UnmeasurableError(f"fit: no T is best: the {len(y)} labels ask for one below .001")
    if slope(hottest) >= 0:
        raise UnmeasurableError(f"fit: no T is best: the {len(y)} labels ask for one above 1000")
    return math.exp(brentq(slope, coldest, hottest, xtol=1e-12))


def _distance(slopes: Array, variance: Array) -> float:
    """How many standard errors the mean slope is from 0: the nearer of two judges.

    One takes variance and skewness from the slopes (Hall 1992), the other the softmax at its word.
    """
    n, mean, deviation = len(slopes), float(slopes.mean()), float(slopes.std(ddof=1))
    expected = math.sqrt(float(variance.sum())) / n
    stated = abs(mean) / expected if expected else math.inf
    if deviation == 0:
        return math.copysign(stated, mean) if mean else 0.0
    t = math.sqrt(n) * mean / deviation
    skew = float(((slopes - mean) ** 3).mean()) / float(slopes.std()) ** 3 / math.sqrt(n)
    hall = t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6
    return math.copysign(min(abs(hall), stated), mean) if hall * mean > 0 else 0.0


def _ends(logits: Tensor, y: Tensor, best: float) -> Estimate:
    """The temperature with the interval of the score."""
    from scipy.optimize import brentq

    n = len(y)
    if n == 1:
        raise IntervalError("fit: one sample has no interval")
    quantile = float(special.stdtrit(n - 1, 0.975))

    def beyond(log_t: float, sign: int) -> float:
        """By how much the mean slope, on one side, is farther from 0 than it may be."""
        return max(min(sign * _distance(*_slopes(logits, y, log_t)), 1e6), -1e6) - quantile

    at, coldest, hottest = math.log(best), math.log(LOWEST), math.log(HIGHEST)
    low = 0.0
    if beyond(coldest, 1) > 0:
        low = math.exp(brentq(beyond, coldest, at, args=(1,), xtol=1e-9))
    if beyond(hottest, -1) <= 0:
        raise IntervalError(f"fit: nothing bounds T = {best:.4g} from above")
    return Estimate(best, low, math.exp(brentq(beyond, at, hottest, args=(-1,), xtol=1e-9)))
