"""From what a pass has gathered to the results of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interplay_api.report import CellResult

from .columns import column_name, record_of, sort_by_id, table_name
from .errors import DataError
from .execute import PassRun
from .measurement import (
    IDENTITY,
    Batch,
    BatchMeasurement,
    Columns,
    FreeMeasurement,
    Need,
    Network,
    RecordMeasurement,
    State,
    StreamMeasurement,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
    View,
)
from .passes import Member, view_name
from .reporting import cell_of, failed, reason_of
from .settings import seeded

__all__ = ["conclude"]


@dataclass
class _Context:
    """What a free measurement sees."""

    run: PassRun
    network: Network
    seed: int

    def batches(self) -> Iterator[Batch]:
        """The samples in the pass's order, decoded anew for each call."""
        layout = self.run.layout
        for batch in self.run.decoder.batches(layout.batches(range(layout.n))):
            self.run.stop.check()
            yield batch


def conclude(run: PassRun, runs: Mapping[str, PassRun]) -> Iterator[tuple[Member, CellResult]]:
    """The result of every member that can have one now, free measurements last.

    runs: all passes by dataset, for what reads several.
    """
    columns = sort_by_id(run.ids, run.progress.rows.columns) if run.pass_.decodes else {}
    members = [m for m in run.pass_.members if m.index not in run.progress.results]
    for member in sorted(members, key=lambda m: not m.shared):
        run.stop.check()
        reason = _unusable(run, member) or run.failures.get(member.index)
        if reason:
            yield member, failed(reason)
        elif member.index not in run.pass_.waiting:
            yield member, _measured(run, member, columns, runs)


def _unusable(run: PassRun, member: Member) -> str | None:
    """Why its views cannot be used: rows whose outputs are not finite."""
    if not member.shared:
        return None
    kinds = [("logits", "finite"), ("features", "features_finite"), ("layers", "layers_finite")]
    for view in member.views:
        for kind, column in kinds:
            finite = run.progress.rows.columns.get(column_name(column, view))
            if kind in member.need.outputs and finite is not None and not finite.all():
                under = "" if view == IDENTITY else f" under {view_name(view)}"
                bad = int((~finite.astype(bool)).sum())
                return f"{bad} of {len(finite)} rows have {kind} that are not finite{under}"
    return None


def _measured(
    run: PassRun, member: Member, columns: Columns, runs: Mapping[str, PassRun]
) -> CellResult:
    seeded(run.run.seed, member.cell.key, "compute")
    try:
        with run.clock("compute"):
            return cell_of(_values(run, member, columns, runs), run.layout.n)
    except DataError:
        # Met by a free measurement, which reads the data itself; it would meet anybody.
        raise
    except Exception as error:
        return failed(reason_of(error))


def _values(
    run: PassRun, member: Member, columns: Columns, runs: Mapping[str, PassRun]
) -> Mapping[str, Value | float]:
    measurement = member.measurement
    if isinstance(measurement, RecordMeasurement):
        meta = _meta(run, slice(None))
        return measurement.compute(
            {v: record_of(columns, member.seen(v), meta) for v in member.need.views}
        )
    if isinstance(measurement, StreamMeasurement):
        blocks = _blocks(run, member)
        return measurement.compute(_total(blocks), blocks, member.info)
    if isinstance(measurement, BatchMeasurement):
        own = f"{member.cell.measurement}/"
        mine = {k.removeprefix(own): c for k, c in columns.items() if k.startswith(own)}
        return measurement.compute({"id": columns["id"], **mine})
    if isinstance(measurement, TableMeasurement):
        datasets = member.cell.datasets
        tables = {r: _table(runs[datasets[r]], member, n) for r, n in member.needs.items()}
        info = next(
            m.info for m in runs[member.cell.dataset].pass_.members if m.index == member.index
        )
        return measurement.compute(tables, info)
    if isinstance(measurement, FreeMeasurement):
        return measurement.measure(_Context(run, run.network, run.run.seed))
    raise UnmeasurableError(f"{type(measurement).__name__} is none of the five kinds")


def _meta(run: PassRun, rows: slice) -> Columns:
    """The dataset's own columns of the first `rows` samples, sorted by id."""
    order, ids = run.order[rows], np.array(run.ids[rows], dtype=np.str_)
    sort = np.argsort(ids, kind="stable")
    return {name: np.asarray(c)[order][sort] for name, c in run.source.columns.items()}


def _table(run: PassRun, member: Member, need: Need) -> Table:
    """What a role's dataset has kept for a member: the first rows, sorted by id."""
    progress = run.progress
    kept = progress.done.get(run.pass_.dataset.name) or progress.rows
    rows = slice(need.rows)
    columns = sort_by_id(run.ids[rows], {name: c[rows] for name, c in kept.columns.items()})
    sort = np.argsort(np.array(run.ids[rows], dtype=np.str_), kind="stable")
    meta = _meta(run, rows)

    def rows_of(output: str) -> dict[View, Tensor]:
        wanted = need.views if output in need.outputs else ()
        names = {v: table_name(output, member.seen(v)) for v in wanted}
        return {v: torch.from_numpy(kept.tables[n][rows][sort]) for v, n in names.items()}

    return Table(
        records={v: record_of(columns, member.seen(v), meta) for v in need.views},
        logits=rows_of("logits"),
        features=rows_of("features"),
    )


def _blocks(run: PassRun, member: Member) -> list[State]:
    return [run.progress.sums[member.index, b] for b in range(len(run.blocks[member.index]))]


def _total(blocks: Sequence[State]) -> State:
    total = {name: x.clone() for name, x in blocks[0].items()}
    for block in blocks[1:]:
        for name, x in block.items():
            total[name] += x
    return total
