"""Per-sample columns: from logits to what record measurements read and what is kept on disk. Pure.

Columns are named `<column>` for the images as they are, `<column>@<view>` for a view and
`<measurement>/<column>` for what a batch measurement says of each sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .measurement import IDENTITY, Columns, Record, View
from .passes import view_name

__all__ = [
    "RECORD_COLUMNS",
    "column_name",
    "record_columns",
    "record_of",
    "rows_finite",
    "sort_by_id",
    "table_name",
]

RECORD_COLUMNS = {
    "pred": np.dtype(np.int64),
    "rank": np.dtype(np.int64),
    "logp_label": np.dtype(np.float64),
    "maxprob": np.dtype(np.float64),
    "brier": np.dtype(np.float64),
    "energy": np.dtype(np.float64),
    "maxlogit": np.dtype(np.float64),
    "any_rank": np.dtype(np.int64),
}
"""What is kept of each view's logits, beside `label`, which all views share."""


def column_name(column: str, view: View) -> str:
    """`correct` or `correct@rotate_deg15`."""
    return column if view == IDENTITY else f"{column}@{view_name(view)}"


def table_name(output: str, view: View) -> str:
    """`features` or `features@rotate_deg15`: the rows that are kept of one view's output."""
    return column_name(output, view)


def rows_finite(x: Tensor) -> npt.NDArray[np.bool_]:
    """x: float [n, d]. Whether each row holds finite numbers only."""
    finite: npt.NDArray[np.bool_] = torch.isfinite(x).all(dim=1).numpy()
    return finite


def record_columns(
    logits: Tensor, labels: Tensor | None, sets: Sequence[Sequence[int]] | None = None
) -> Columns:
    """logits: float32 [n, classes]; labels: int64 [n], each below classes, or None where they are
    not classes of the model; sets: all right classes of each row. Computed in float64.
    """
    x = logits.double()
    logp = torch.log_softmax(x, dim=1)
    p = logp.exp()
    known = _unlabelled(len(x)) if labels is None else _labelled(x, logp, p, labels, sets)
    return {
        "pred": x.argmax(dim=1).numpy(),
        "maxprob": p.amax(dim=1).numpy(),
        "energy": -torch.logsumexp(x, dim=1).numpy(),
        "maxlogit": x.amax(dim=1).numpy(),
        **known,
    }


def _unlabelled(n: int) -> Columns:
    none, nan = np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
    return {"rank": none, "any_rank": none, "logp_label": nan, "brier": nan}


def _labelled(
    x: Tensor, logp: Tensor, p: Tensor, labels: Tensor, sets: Sequence[Sequence[int]] | None
) -> Columns:
    label = labels.unsqueeze(1)
    own = x.gather(1, label)
    gap = p.scatter_add(1, label, torch.full_like(own, -1.0))
    rank = _rank(x, labels).numpy()
    return {
        "rank": rank,
        "any_rank": rank if sets is None else _any_rank(x, sets),
        "logp_label": logp.gather(1, label).squeeze(1).numpy(),
        "brier": gap.square().sum(dim=1).numpy(),
    }


def _rank(x: Tensor, labels: Tensor) -> Tensor:
    """How many classes stand before the label, int64 [n]; ties go to the lower index."""
    label = labels.unsqueeze(1)
    own = x.gather(1, label)
    before = (x > own) | ((x == own) & (torch.arange(x.shape[1]) < label))
    return before.sum(dim=1)


def _any_rank(x: Tensor, sets: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """The best rank among the right classes of each row, -1 for an empty set."""
    rows = np.repeat(np.arange(len(sets)), [len(s) for s in sets])
    ranks = np.full(len(sets), x.shape[1], dtype=np.int64)
    if len(rows):
        flat = torch.tensor([c for s in sets for c in s])
        np.minimum.at(ranks, rows, _rank(x[torch.from_numpy(rows)], flat).numpy())
    ranks[[not s for s in sets]] = -1
    return ranks


def record_of(
    columns: Mapping[str, npt.NDArray[np.generic]],
    view: View,
    meta: Mapping[str, npt.NDArray[np.generic]],
) -> Record:
    """The record of one view; rows as they stand in `columns` and in `meta`."""
    mine = {c: columns[column_name(c, view)] for c in RECORD_COLUMNS}
    return Record(ids=columns["id"], label=columns["label"], meta=meta, **mine)  # type: ignore[arg-type]


def sort_by_id(ids: Sequence[str], columns: Columns) -> Columns:
    """All columns in the order of the ids, which become the column `id`."""
    names = np.array(ids, dtype=np.str_)
    order = np.argsort(names, kind="stable")
    return {"id": names[order], **{name: c[order] for name, c in columns.items()}}
