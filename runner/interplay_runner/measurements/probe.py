"""Linear probes: what a linear classifier, learnt anew, reads from the frozen features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from interplay_runner.measurement import OWN, ModelInfo, Table, UnmeasurableError, Value

from .frozen import FeatureMeasurement, RowsParams, disjoint, features, hash_order, ids, labels
from .values import Distinct, share

__all__ = ["LinearProbe", "ridge"]

MAX_STEPS = 2000
TOLERANCE = 1e-6
"""Largest element of the gradient of the mean loss where the fit stops."""


class ProbeParams(RowsParams):
    """Which loss, and which penalties to choose from."""

    loss: Literal["logistic", "squared"] = "logistic"
    l2s: Distinct[Annotated[float, Field(ge=1e-6, le=1e6)]] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1, max_length=16
    )
    held_out: float = Field(0.2, ge=0.05, le=0.5)


class Fit(NamedTuple):
    """A linear classifier: scores = x weight + bias; column c stands for class classes[c]."""

    classes: Tensor
    weight: Tensor
    bias: Tensor

    def scores(self, x: Tensor) -> Tensor:
        """x: float64 [n, d]; returns float64 [n, classes]."""
        return x @ self.weight + self.bias


class LinearProbe(FeatureMeasurement):
    """Top-1 of a linear classifier learnt on the frozen features of training images.

    min over W, b of mean_j L(W'x_j + b, y_j) + (l2 / 2) |W|^2 over the training images (role
    `train`, at most `rows` of them); x their features, float [m, d], standardised by the training
    images. `loss` logistic (`linear_probe_top1`): L the cross-entropy of the softmax, or of the
    logistic function where there are two classes, by L-BFGS in float64; squared
    (`ridge_probe_top1`): L half the squared distance to the one-hot label, in closed form, for
    when there are many classes. l2 is the one of `l2s` with the lowest L on a share `held_out` of
    the training images, chosen by a hash of the id and not learnt from then; the fit that is
    scored has all of them. Labels are the dataset's own and need not be classes of the model. In
    [0, 1], higher is better; ties go to the lower class. Absent where the fit does not converge,
    or with one class. Wilson's interval: over test images, for these training images. Sources:
    Alain & Bengio 2016 (arXiv 1610.01644), Kornblith et al. 2019 (arXiv 1805.08974). Cost: D, L.
    """

    Params = ProbeParams
    params: ProbeParams

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        own, train = tables[OWN], tables["train"]
        disjoint(own, train, "train")
        x, y = features(train), labels(train)
        best = self._chosen(x, y, hash_order(ids(train), f"probe:{self.seed}"))
        scale = _standard(x)
        fit = self._fit(scale(x), y, best)
        said = fit.classes[fit.scores(scale(features(own))).argmax(dim=1)]
        name = "linear_probe_top1" if self.params.loss == "logistic" else "ridge_probe_top1"
        return {name: share((said == labels(own)).numpy())}

    def _fit(self, x: Tensor, y: Tensor, l2: float) -> Fit:
        return (logistic if self.params.loss == "logistic" else ridge)(x, y, l2)

    def _chosen(self, x: Tensor, y: Tensor, order: list[int]) -> float:
        """The penalty with the lowest loss on held-out rows; of equal ones the largest."""
        cut = round(len(order) * self.params.held_out)
        held, kept = torch.tensor(order[:cut]), torch.tensor(order[cut:])
        if len(self.params.l2s) == 1:
            return self.params.l2s[0]
        if cut == 0 or len(kept) == 0:
            raise UnmeasurableError(f"train: {len(order)} samples are too few to choose l2 on")
        scale = _standard(x[kept])
        inside, outside = scale(x[kept]), scale(x[held])
        loss = _cross_entropy if self.params.loss == "logistic" else _squared
        found: list[tuple[float, float]] = []
        for l2 in self.params.l2s:
            try:
                fit = self._fit(inside, y[kept], l2)
            except _NoConvergenceError:
                continue
            found.append((loss(fit, outside, y[held]), -l2))
        if not found:
            raise _NoConvergenceError(f"no l2 of l2s converges in {MAX_STEPS} steps")
        return -min(found)[1]


class _NoConvergenceError(UnmeasurableError):
    """A fit that is not one."""


def _standard(x: Tensor) -> Callable[[Tensor], Tensor]:
    """To mean 0 and variance 1 as in x, float64 [n, d]; a constant feature becomes 0 there."""
    mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
    # Rounding leaves a constant feature a deviation of some 1e-16 of its size.
    scale = torch.where(deviation > 1e-12 * mean.abs(), deviation, torch.inf)
    return lambda z: (z - mean) / scale


def _classes(y: Tensor) -> tuple[Tensor, Tensor]:
    """The classes that occur, and each row's place among them."""
    classes, place = torch.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise UnmeasurableError("train: a classifier needs samples of two classes")
    return classes, place


def logistic(x: Tensor, y: Tensor, l2: float) -> Fit:
    """Logistic regression of int64 [n] on float64 [n, d], by scikit-learn."""
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    classes, place = _classes(y)
    model = LogisticRegression(C=1 / (l2 * len(x)), tol=TOLERANCE, max_iter=MAX_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is told below
        model.fit(x.numpy(), place.numpy())
    if int(model.n_iter_.max()) >= MAX_STEPS:
        raise _NoConvergenceError(f"the fit does not converge in {MAX_STEPS} steps")
    weight, bias = torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)
    if len(classes) == 2:
        weight, bias = torch.cat([0 * weight, weight], 1), torch.cat([0 * bias, bias])
    return Fit(classes, weight, bias)


def ridge(x: Tensor, y: Tensor, l2: float) -> Fit:
    """Least squares of one-hot int64 [n] on float64 [n, d], the bias free of the penalty."""
    classes, place = _classes(y)
    target = functional.one_hot(place, len(classes)).double()
    mean, share = x.mean(dim=0), target.mean(dim=0)
    z, t = x - mean, target - share
    n, d = z.shape
    if d <= n:
        gram = z.T @ z + n * l2 * torch.eye(d, dtype=torch.float64)
        weight = torch.linalg.solve(gram, z.T @ t)
    else:
        gram = z @ z.T + n * l2 * torch.eye(n, dtype=torch.float64)
        weight = z.T @ torch.linalg.solve(gram, t)
    return Fit(classes, weight, share - mean @ weight)


def _cross_entropy(fit: Fit, x: Tensor, y: Tensor) -> float:
    """Over the rows whose class the fit knows; the others cost the same under every penalty."""
    known = torch.isin(y, fit.classes)
    if not known.any():
        return 0.0
    place = torch.searchsorted(fit.classes, y[known])
    return float(functional.cross_entropy(fit.scores(x[known]), place))


def _squared(fit: Fit, x: Tensor, y: Tensor) -> float:
    target = (y[:, None] == fit.classes).double()
    return float((fit.scores(x) - target).square().sum(dim=1).mean() / 2)
