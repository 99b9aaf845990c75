"""Is a checkpoint what this very pass would have saved? Anything else is not gone on with."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from .columns import RECORD_COLUMNS, column_name, table_name
from .execute import PassRun
from .measurement import StreamMeasurement, View
from .state import CheckpointError, Kept

__all__ = ["check_resumed"]

DTypes = dict[str, np.dtype[np.generic]]


def check_resumed(run: PassRun) -> None:
    """Raise CheckpointError unless what is there of the pass fits it.

    Of the pass under way: shards, failures, rows and sums. Of one that is over: the rows.
    """
    progress, shards = run.progress, run.layout.shards()
    over = progress.done.get(run.pass_.dataset.name)
    if over is not None:
        _check_over(run)
        _check_rows(run, over, run.layout.n)
    if progress.dataset != run.pass_.dataset.name:
        return
    if progress.shards > len(shards):
        raise CheckpointError(f"it has {progress.shards} shards of {len(shards)}")
    if not set(progress.failures) <= {m.index for m in run.pass_.members}:
        raise CheckpointError("it has failures of cells that are not in the pass")
    rows = shards[progress.shards - 1].stop if progress.shards else 0
    _check_rows(run, progress.rows, rows)
    _check_sums(run, rows)


def _check_over(run: PassRun) -> None:
    """A pass that is over has concluded all that it could."""
    concluded = {m.index for m in run.pass_.members} - run.pass_.waiting
    if run.progress.dataset == run.pass_.dataset.name:
        raise CheckpointError("a pass is both over and under way")
    if not concluded <= run.progress.results.keys():
        raise CheckpointError("it lacks results of a pass that is over")


def _view_columns(run: PassRun, view: View) -> DTypes:
    names: DTypes = {"finite": np.dtype(np.bool_)}
    for output in ("features", "layers"):
        if view in run.pass_.giving(output):
            names[f"{output}_finite"] = np.dtype(np.bool_)
    if view in run.pass_.recorded:
        names |= RECORD_COLUMNS
    return {column_name(name, view): dtype for name, dtype in names.items()}


def _check_rows(run: PassRun, kept: Kept, rows: int) -> None:
    required: DTypes = {"label": np.dtype(np.int64)} if rows else {}
    known = dict(required)
    live = set(run.live_views())
    for view in run.pass_.views:
        columns = _view_columns(run, view)
        known |= columns
        if rows and view in live:
            required |= columns
    missing = set(required) - set(kept.columns)
    if missing:
        raise CheckpointError(f"column {min(missing)} is missing")
    own = tuple(f"{m.cell.measurement}/" for m in run.pass_.members if m.index not in run.failures)
    for name, column in kept.columns.items():
        fits = column.dtype == known[name] if name in known else name.startswith(own)
        if not fits or column.shape != (rows,) or column.dtype.kind not in "bif":
            raise CheckpointError(f"column {name}: {column.dtype} {column.shape} is unexpected")
    _check_tables(run, kept, rows, live)


def _check_tables(run: PassRun, kept: Kept, rows: int, live: Collection[View]) -> None:
    expected = {}
    for (output, view), limit in run.pass_.tables().items():
        info = run.networks[view.model].info
        width = info.num_classes if output == "logits" else info.feature_dim
        shape = (rows if limit is None else min(rows, limit), width)
        expected[table_name(output, view)] = shape
        if rows and view in live and table_name(output, view) not in kept.tables:
            raise CheckpointError(f"table {table_name(output, view)} is missing")
    for name, table in kept.tables.items():
        if table.shape != expected.get(name) or table.dtype != np.float32:
            raise CheckpointError(f"table {name}: {table.dtype} {table.shape} is unexpected")


def _check_sums(run: PassRun, rows: int) -> None:
    # Those that have their result already are no longer live, but their sums are still there.
    members = [m for m in run.pass_.of(StreamMeasurement) if m.index not in run.failures]
    touched = {
        m.index: [b for b, block in enumerate(run.blocks[m.index]) if block.start < rows]
        for m in members
    }
    if set(run.progress.sums) != {(i, b) for i, blocks in touched.items() for b in blocks}:
        raise CheckpointError("its sums are of other cells or blocks")
    for member in members:
        measurement = member.measurement
        assert isinstance(measurement, StreamMeasurement)
        zeros = {k: _kind(x) for k, x in measurement.init(member.info).items()}
        for block in touched[member.index]:
            found = {k: _kind(x) for k, x in run.progress.sums[member.index, block].items()}
            if found != zeros:
                raise CheckpointError(f"the sums of {member.cell.measurement} have another shape")


def _kind(x: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return x.dtype, tuple(x.shape)
