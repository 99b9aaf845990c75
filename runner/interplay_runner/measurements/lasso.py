"""Lasso by coordinate descent on the Gram matrix, its penalty by cross-validation. Pure."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Lasso", "Scaled"]

Array = npt.NDArray[np.float64]

RATIOS = np.geomspace(1, 1e-3, 16)
"""Penalties that are tried, in units of the least one that makes every weight zero."""
PATIENCE = 3
"""So many penalties in a row without a better error end the search: the small ones are slow."""
MAX_FREEDOM = 0.5
"""Weights per row above which the error says little."""
FLAT = 1e-6
"""A column whose deviation is below this share of its size varies by rounding alone."""
TOLERANCE = 1e-4
MAX_SWEEPS = 2000


@dataclass(frozen=True, slots=True)
class Scaled:
    """Rows with mean 0 and variance 1 in every column, and how other rows are brought there.

    x: float64 [n, d]; columns that do not vary are zero.
    """

    x: Array
    mean: Array
    scale: Array

    @classmethod
    def of(cls, z: Array) -> Scaled:
        """z: float64 [n, d]."""
        mean, deviation = z.mean(axis=0), z.std(axis=0)
        varies = deviation > FLAT * np.sqrt(np.square(z).mean(axis=0))
        scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
        return cls(np.asfortranarray((z - mean) * scale), mean, scale)

    def apply(self, z: Array) -> Array:
        """Other rows on the same scale."""
        return (z - self.mean) * self.scale


class Lasso:
    """min_w |y - x w|^2 / 2n + penalty |w|_1 for any columns y, x given once."""

    def __init__(self, x: Array) -> None:
        """x: float64 [n, d] of mean 0, finite."""
        self.x = np.asfortranarray(x)
        self.gram = self.x.T @ self.x

    def weights(self, y: Array, penalty: float, start: Array) -> Array:
        """Weights [d, c] for y [n, c] of mean 0; start: weights to begin with."""
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import enet_path

        found = np.empty_like(start)
        # Small fits would spend most of their time on the checks of their arguments.
        with warnings.catch_warnings(), config_context(skip_parameter_validation=True):
            # Collinear codes share one weight in many ways; after so many sweeps any will do.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for c, column in enumerate(np.asfortranarray(y).T):
                _, path, _ = enet_path(
                    self.x,
                    column,
                    l1_ratio=1.0,
                    alphas=[penalty],
                    precompute=self.gram,
                    Xy=self.x.T @ column,
                    coef_init=start[:, c].copy(),
                    check_input=False,
                    tol=TOLERANCE,
                    max_iter=MAX_SWEEPS,
                )
                found[:, c] = path[:, 0]
        return found

    def fit(self, y: Array) -> Array:
        """Weights [d, c] with the penalty, one for all columns of y, of the least error.

        The error is that of generalised cross-validation, RSS / (1 - df / n)^2, df the weights
        that are not zero per column of y (Zou, Hastie & Tibshirani 2007).
        """
        n, columns = y.shape
        weights = best = np.zeros((self.x.shape[1], columns))
        least, waited = float(np.square(y).sum()) / (1 - 1 / n) ** 2, 0
        strongest = float(abs(self.x.T @ y).max() / n)
        for ratio in RATIOS[1:]:
            if waited == PATIENCE or strongest == 0:
                break
            weights = self.weights(y, strongest * ratio, weights)
            freedom = 1 + np.count_nonzero(weights) / columns
            if freedom > MAX_FREEDOM * n:
                break
            error = float(np.square(y - self.x @ weights).sum()) / (1 - freedom / n) ** 2
            waited += 1
            if error < least:
                best, least, waited = weights, error, 0
        return best
