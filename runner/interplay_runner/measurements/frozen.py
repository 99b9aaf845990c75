"""What fits on frozen features share: unit norm, neighbours, orders by id, and the table's need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    UnmeasurableError,
)

__all__ = [
    "FeatureMeasurement",
    "RowsParams",
    "disjoint",
    "features",
    "hash_order",
    "ids",
    "labels",
    "neighbours",
    "unit",
]

MAX_CELLS = 1 << 24
"""Similarities held at once: 128 MiB of float64."""
GRAIN = 2.0**36
"""Products of equal vectors differ in the last bits by where they stand; this makes them equal."""


class RowsParams(Parameters):
    """How much of the training set is kept."""

    rows: int = Field(50_000, ge=1, le=10_000_000)
    """At most so many training samples, by a hash of the id; 50,000 of width 2,048 are 0.4 GB."""


class FeatureMeasurement(TableMeasurement):
    """Base of what reads the features of its dataset and of `train`, and any labels."""

    roles: ClassVar[Mapping[str, str]] = {
        "train": "samples with labels to learn from, disjoint from the dataset"
    }
    Params: ClassVar[type[Parameters]] = RowsParams
    category = "benefit"
    cost = "D+L"
    params: RowsParams

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        # Labels need not be the model's classes: what is learnt here has classes of its own.
        del model
        whole = Need(outputs=frozenset({"features"}), labels=False)
        kept = replace(whole, rows=self.params.rows)
        return dict.fromkeys((OWN, *self.roles), whole) | {"train": kept}


def features(table: Table) -> Tensor:
    """The features of the plain images, float64 [n, d]."""
    return table.features[IDENTITY].double()


def labels(table: Table) -> Tensor:
    """The dataset's own labels, int64 [n]."""
    return torch.from_numpy(table.records[IDENTITY].label.astype(np.int64))


def ids(table: Table) -> list[str]:
    """The samples' ids, in the order of the rows."""
    return [str(i) for i in table.records[IDENTITY].ids]


def disjoint(
    own: Table, other: Table, role: str, kind: Literal["features", "logits"] = "features"
) -> None:
    """Raises where a sample of `other`, by its id and output, is in the dataset too."""
    rows, others = (getattr(t, kind)[IDENTITY] for t in (own, other))
    if rows.shape[1] != others.shape[1]:
        raise UnmeasurableError(
            f"references.{role}: {others.shape[1]} classes compete there, {rows.shape[1]} here"
        )
    mine, theirs = (t.records[IDENTITY].ids for t in (own, other))
    _, here, there = np.intersect1d(mine, theirs, return_indices=True)
    same = rows[here] == others[there]
    if len(here) and (shared := int(same.all(dim=1).sum())):
        raise UnmeasurableError(f"references.{role}: {shared} of its samples are measured on")


def unit(x: Tensor) -> Tensor:
    """Rows of float64 [n, d] over their norm; a row of zeros stays one."""
    norm = x.norm(dim=1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)


def hash_order(ids: Sequence[str], salt: str) -> list[int]:
    """Indices of the samples by sha256(salt, id): the same for any order they come in."""
    return sorted(
        range(len(ids)), key=lambda i: hashlib.sha256(f"{salt}:{ids[i]}".encode()).digest()
    )


def neighbours(queries: Tensor, bank: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The k rows of `bank` [m, d] nearest to each of `queries` [n, d], unit norm, m >= k.

    Yields, for runs of queries in order, cosine float64 [rows, k] and index int64 [rows, k],
    nearest first; of equally near ones the lower index comes first. Cosines are multiples of 2^-36.
    """
    for rows in torch.split(queries, max(1, MAX_CELLS // len(bank))):
        cosine = ((rows @ bank.T) * GRAIN).round_().div_(GRAIN)
        last = cosine.topk(k, dim=1).values[:, -1:]
        # All that are nearer than the k-th, and the first of those that tie with it.
        nearer, tied = cosine > last, cosine == last
        room = k - nearer.sum(dim=1, keepdim=True)
        chosen = nearer | (tied & (tied.cumsum(dim=1) <= room))
        index = chosen.nonzero()[:, 1].view(len(rows), k)
        near = cosine.gather(1, index)
        order = near.argsort(dim=1, descending=True, stable=True)
        yield near.gather(1, order), index.gather(1, order)
