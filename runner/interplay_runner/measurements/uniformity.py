"""Uniformity: how evenly the features of all images lie on the sphere."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from scipy import special

from interplay_runner.intervals import Estimate, IntervalError, block_jackknife
from interplay_runner.measurement import (
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
)

from .frozen import features, unit
from .values import measured

__all__ = ["Uniformity"]

SCALE = 2.0
"""t of the kernel exp(-t |u - v|^2), as in the paper."""


class UniformityParams(Parameters):
    """How many images are paired."""

    rows: int = Field(2048, ge=2, le=8192)


class Uniformity(TableMeasurement):
    """How evenly features lie on the unit sphere: log of the mean Gaussian potential of all pairs.

    uniformity = ln mean_{i < j} exp(-2 |u_i - u_j|^2), u_i = z_i / |z_i| the features, float
    [n, d], of at most `rows` images chosen by a hash of the id; all n (n - 1) / 2 pairs, none with
    itself. At most 0, when all directions are the same, about -4 when they are spread evenly over
    many dimensions; lower is more even, which is neither good nor bad by itself. `null` is the
    uniform distribution on the sphere, -4 + ln 0F1(; d / 2; 4) (-4 + 8 / d for large d), which
    nothing lies below but by chance; non-negative features cannot reach it. Interval: jackknife
    that leaves out one image with all of its pairs (leaving out pairs would treat them as
    independent). Source: Wang & Isola 2020 (arXiv 2005.10242), t = 2. Cost: F.
    """

    Params = UniformityParams
    category = "property"
    cost = "F"
    params: UniformityParams

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        del model
        need = Need(outputs=frozenset({"features"}), labels=False, rows=self.params.rows)
        return {OWN: need}

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        del model
        z = features(tables[OWN])
        n, d = z.shape

        def interval() -> Estimate:
            if n < 4:
                raise IntervalError(f"{n} samples are too few for a jackknife")
            zero = int((z == 0).all(dim=1).sum())
            if zero:
                raise UnmeasurableError(f"{zero} of {n} samples have features that are all zero")
            u = unit(z)
            kernel = (2 * SCALE * (u @ u.T - 1)).exp_().fill_diagonal_(0)
            of_row = kernel.sum(dim=1)
            total = float(of_row.sum())
            without = torch.log((total - 2 * of_row) / ((n - 1) * (n - 2)))
            full = math.log(total / (n * (n - 1)))
            return block_jackknife(full, without.tolist(), [1] * n)

        null = -2 * SCALE + math.log(special.hyp0f1(d / 2, SCALE**2))
        bounds = (-4 * SCALE, 0.0)
        return {"uniformity": measured(n, "jackknife", interval, null=null, bounds=bounds)}
