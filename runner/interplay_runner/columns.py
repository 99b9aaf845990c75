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
]

RECORD_COLUMNS = {
    "pred": np.dtype(np.int64),
    "rank": np.dtype(np.int64),
    "logp_label": np.dtype(np.float64),
    "maxprob": np.dtype(np.float64),
    "brier": np.dtype(np.float64),
    "energy": np.dtype(np.float64),
}
"""What is kept of each view's logits, beside `label`, which all views share."""


def column_name(column: str, view: View) -> str:
    """`correct` or `correct@rotate_deg15`."""
    return column if view == IDENTITY else f"{column}@{view_name(view)}"


def rows_finite(x: Tensor) -> npt.NDArray[np.bool_]:
    """x: float [n, d]. Whether each row holds finite numbers only."""
    finite: npt.NDArray[np.bool_] = torch.isfinite(x).all(dim=1).numpy()
    return finite


def record_columns(logits: Tensor, labels: Tensor) -> Columns:
    """logits: float32 [n, classes]; labels: int64 [n], each below classes. Computed in float64."""
    x = logits.double()
    label = labels.unsqueeze(1)
    own = x.gather(1, label)
    classes = torch.arange(x.shape[1])
    before = (x > own) | ((x == own) & (classes < label))
    logp = torch.log_softmax(x, dim=1)
    p = logp.exp()
    gap = p.scatter_add(1, label, torch.full_like(own, -1.0))
    return {
        "pred": x.argmax(dim=1).numpy(),
        "rank": before.sum(dim=1).numpy(),
        "logp_label": logp.gather(1, label).squeeze(1).numpy(),
        "maxprob": p.amax(dim=1).numpy(),
        "brier": gap.square().sum(dim=1).numpy(),
        "energy": -torch.logsumexp(x, dim=1).numpy(),
    }


def record_of(columns: Mapping[str, npt.NDArray[np.generic]], view: View) -> Record:
    """The record of one view; rows as they stand in `columns`."""
    ids, label = columns["id"], columns["label"]
    return Record(ids, label, *(columns[column_name(c, view)] for c in RECORD_COLUMNS))  # type: ignore[arg-type]


def sort_by_id(ids: Sequence[str], columns: Columns) -> Columns:
    """All columns in the order of the ids, which become the column `id`."""
    names = np.array(ids, dtype=np.str_)
    order = np.argsort(names, kind="stable")
    return {"id": names[order], **{name: c[order] for name, c in columns.items()}}
