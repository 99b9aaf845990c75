"""DCI: importance of each feature for each factor, and what its entropies say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .lasso import Lasso, Scaled

__all__ = ["completeness", "disentanglement", "fit_importance"]

Array = npt.NDArray[np.float64]


def fit_importance(
    z: Array, targets: Sequence[Array], fit: npt.NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Importance [d, K], and R^2 of each factor [K] on the rows that are not fitted.

    z: float64 [n, d]; targets: float64 [n, c] of each factor; fit: the rows of one half. R^2 is
    NaN where the other half of a factor does not vary.
    """
    scaled = Scaled.of(z[fit])
    lasso, unseen = Lasso(scaled.x), scaled.apply(z[~fit])
    importance, r2 = np.empty((z.shape[1], len(targets))), np.empty(len(targets))
    for j, y in enumerate(targets):
        mean = y[fit].mean(axis=0)
        weights = lasso.fit(y[fit] - mean)
        importance[:, j] = np.linalg.norm(weights, axis=1)
        gap = y[~fit] - mean - unseen @ weights
        total = np.square(y[~fit] - y[~fit].mean(axis=0)).sum()
        r2[j] = 1 - np.square(gap).sum() / total if total > 0 else np.nan
    return importance, r2


def disentanglement(importance: Array) -> float:
    """sum_i w_i (1 - H_K of row i) for importance [d, K]; NaN where all of it is zero."""
    return _concentration(importance)


def completeness(importance: Array) -> float:
    """sum_j w_j (1 - H_d of column j) for importance [d, K]; NaN where all of it is zero."""
    return _concentration(importance.T)


def _concentration(x: Array) -> float:
    """How far each row lies in one column, 1 - entropy to the base of their number, by weight."""
    rows = x.sum(axis=1)
    if not rows.sum() > 0:
        return float("nan")
    p = x[rows > 0] / rows[rows > 0, None]
    entropies = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / np.log(x.shape[1])
    return float(np.clip(1 - (rows[rows > 0] * entropies).sum() / rows.sum(), 0, 1))
