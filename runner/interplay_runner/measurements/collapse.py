"""Neural collapse: how close features and classifier are to one point per class, evenly spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from interplay_runner.intervals import Estimate, block_jackknife
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
)

from .class_means import ClassMeans
from .frozen import features, hash_order, ids, labels
from .values import absent, measured, share

__all__ = ["NeuralCollapse"]

BLOCKS = 20
MIN_BLOCK_ROWS = 4
SHUFFLES = 5
GEOMETRY: Mapping[str, tuple[Callable[[ClassMeans], float], float]] = {
    "nc1_variability": (ClassMeans.variability, math.inf),
    "nc2_norms": (ClassMeans.norms, math.inf),
    "nc2_angles": (ClassMeans.angles, 2.0),
    "nc3_duality": (ClassMeans.duality, 2.0),
}
"""Metric to what it says of the class means, and the most that it can be."""
NEAREST = "nc4_nearest_mean"

Told = float | UnmeasurableError
"""A number, or why there is none."""


class CollapseParams(Parameters):
    """How much of the dataset is read."""

    rows: int = Field(10_000, ge=2, le=1_000_000)
    """At most so many samples, by a hash of the id."""


class NeuralCollapse(TableMeasurement):
    """Neural collapse NC1 to NC4 of the features, the classifier and their class means.

    With z_i the features, float [n, d], of image i of class y_i, mu_c the mean of class c, C
    classes, mu the mean of the mu_c, m_c = mu_c - mu, S_W = mean_c mean_{i in c} (z_i - mu_c)(z_i -
    mu_c)', S_B = mean_c m_c m_c', and W, float [C, d], the weight of the linear classifier:

    - `nc1_variability`: tr(S_W S_B^+) / C, ^+ the pseudoinverse. From 0; 0 if the images of a class
      share one point.
    - `nc2_norms`: deviation over mean of the |m_c|. From 0; 0 if all are equally far out.
    - `nc2_angles`: mean_{c != c'} |cos(m_c, m_c') + 1 / (C - 1)|. In [0, 2]; 0 if all angles are
      equal and as wide as they can be, as in a simplex.
    - `nc3_duality`: |W / |W| - M / |M||, M the matrix of the m_c, Frobenius norms. In [0, 2]; 0 if
      the classifier points where the means do.
    - `nc4_nearest_mean`: share of images for which the model's choice is the class with the nearest
      mean. In [0, 1]; 1 if both decide alike. Wilson's interval, for these means.

    The first four are lower, the last is higher, the further the collapse; neither good nor bad by
    itself. All classes count alike. Meant for the images that the model was trained on. Plugged-in
    means: with few images per class NC1 is low and NC2 is high, as `null`, the mean over 5 shuffles
    of the labels, shows for the same n (NC1 about (n / C)(C - 1) / (d - C) of unrelated features
    where d is large). Classes with fewer than 2 of the (at most `rows`) images are left out; NC2
    needs 3 classes. NC3 is absent where the logits are not a linear map of the features. Block
    jackknife, 20 blocks by a hash of the id. Source: Papyan et al. 2020, PNAS 117:24652 (arXiv
    2008.08186). Cost: D, L.
    """

    Params = CollapseParams
    category = "property"
    cost = "D+L"
    params: CollapseParams

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need(outputs=frozenset({"logits", "features"}), rows=self.params.rows)

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        table = tables[OWN]
        z, y = features(table), labels(table)
        said = torch.from_numpy(table.records[IDENTITY].pred)
        weight = None if model.head is None else model.head.weight.double()
        try:
            nearest = _nearest(z, y, said)
        except UnmeasurableError as error:
            return dict.fromkeys([*GEOMETRY, NEAREST], absent(len(z), str(error)))
        rng = np.random.Generator(np.random.PCG64(self.seed))
        shuffles = [y[torch.from_numpy(rng.permutation(len(y)))] for _ in range(SHUFFLES)]
        blocks = _blocks(ids(table), self.seed)
        without = [_told(z[keep], y[keep], weight) for keep in _others(blocks, len(z))]
        full, shuffled = _told(z, y, weight), [_told(z, s, weight) for s in shuffles]
        values: dict[str, Value | float] = {}
        for name, (_, most) in GEOMETRY.items():
            values[name] = measured(
                len(z),
                "jackknife",
                partial(_interval, full[name], [w[name] for w in without], list(map(len, blocks))),
                null=_mean([s[name] for s in shuffled]),
                bounds=(0, most),
            )
        null = _mean([float(_nearest(z, s, said).double().mean()) for s in shuffles])
        return {**values, NEAREST: replace(share(nearest.numpy()), null=null)}


def _told(z: Tensor, y: Tensor, weight: Tensor | None) -> dict[str, Told]:
    """All that the class means of some samples say, or why they do not."""
    told: dict[str, Told] = {}
    try:
        means = ClassMeans.of(z, y, weight)
    except UnmeasurableError as error:
        return dict.fromkeys(GEOMETRY, error)
    for name, (statistic, _) in GEOMETRY.items():
        try:
            told[name] = statistic(means)
        except UnmeasurableError as error:
            told[name] = error
    return told


def _nearest(z: Tensor, y: Tensor, said: Tensor) -> Tensor:
    """Whether the class that the model chooses is the one of the nearest mean, bool [n]."""
    return ClassMeans.of(z, y).nearest(z) == said


def _blocks(names: Sequence[str], seed: int) -> list[list[int]]:
    """Rows by block: at most 20, of at least 4 rows unless there is one."""
    order = hash_order(names, f"collapse:{seed}")
    count = max(1, min(BLOCKS, len(order) // MIN_BLOCK_ROWS))
    return [order[i::count] for i in range(count)]


def _others(blocks: Sequence[Sequence[int]], n: int) -> Iterator[Tensor]:
    """For each block all rows but its own, bool [n]."""
    for block in blocks:
        keep = torch.ones(n, dtype=torch.bool)
        keep[list(block)] = False
        yield keep


def _interval(full: Told, without: Sequence[Told], sizes: Sequence[int]) -> Estimate:
    for told in (full, *without):
        if isinstance(told, UnmeasurableError):
            raise told
    return block_jackknife(full, without, sizes)  # type: ignore[arg-type]


def _mean(told: Sequence[Told]) -> float | None:
    numbers = [t for t in told if not isinstance(t, UnmeasurableError)]
    return float(np.mean(numbers)) if len(numbers) == len(told) else None
