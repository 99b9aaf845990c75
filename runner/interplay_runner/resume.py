"""Is a checkpoint what this very pass would have saved? Anything else is not gone on with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .columns import RECORD_COLUMNS, column_name
from .execute import PassRun
from .measurement import StreamMeasurement, View
from .state import CheckpointError

__all__ = ["check_resumed"]

DTypes = dict[str, np.dtype[np.generic]]


def check_resumed(run: PassRun) -> None:
    """Raise CheckpointError unless shards, failures, columns and sums fit the pass."""
    progress, shards = run.progress, run.layout.shards()
    if progress.shards > len(shards):
        raise CheckpointError(f"it has {progress.shards} shards of {len(shards)}")
    if not set(progress.failures) <= {m.index for m in run.pass_.members}:
        raise CheckpointError("it has failures of cells that are not in the pass")
    rows = shards[progress.shards - 1].stop if progress.shards else 0
    _check_columns(run, rows)
    _check_sums(run, rows)


def _view_columns(run: PassRun, view: View) -> DTypes:
    names: DTypes = {"finite": np.dtype(np.bool_)}
    if view in run.pass_.featured:
        names["features_finite"] = np.dtype(np.bool_)
    if run.labels_fit and view in run.pass_.recorded:
        names |= RECORD_COLUMNS
    return {column_name(name, view): dtype for name, dtype in names.items()}


def _check_columns(run: PassRun, rows: int) -> None:
    required: DTypes = {"label": np.dtype(np.int64)} if rows else {}
    known = dict(required)
    live = set(run.live_views())
    for view in run.pass_.views:
        columns = _view_columns(run, view)
        known |= columns
        if rows and view in live:
            required |= columns
    missing = set(required) - set(run.progress.columns)
    if missing:
        raise CheckpointError(f"column {min(missing)} is missing")
    own = tuple(f"{m.cell.measurement}/" for m in run.pass_.members if m.index not in run.failures)
    for name, column in run.progress.columns.items():
        fits = column.dtype == known[name] if name in known else name.startswith(own)
        if not fits or column.shape != (rows,) or column.dtype.kind not in "bif":
            raise CheckpointError(f"column {name}: {column.dtype} {column.shape} is unexpected")


def _check_sums(run: PassRun, rows: int) -> None:
    touched = [b for b, block in enumerate(run.blocks) if block.start < rows]
    members = run.live(StreamMeasurement)
    if set(run.progress.sums) != {(m.index, b) for m in members for b in touched}:
        raise CheckpointError("its sums are of other cells or blocks")
    for member in members:
        measurement = member.measurement
        assert isinstance(measurement, StreamMeasurement)
        zeros = {k: _kind(x) for k, x in measurement.init(run.info).items()}
        for block in touched:
            found = {k: _kind(x) for k, x in run.progress.sums[member.index, block].items()}
            if found != zeros:
                raise CheckpointError(f"the sums of {member.cell.measurement} have another shape")


def _kind(x: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return x.dtype, tuple(x.shape)
