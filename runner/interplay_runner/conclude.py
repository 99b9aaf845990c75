"""From what a pass has gathered to the results of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from interplay_api.report import CellResult

from .columns import column_name, record_of, sort_by_id
from .errors import DataError
from .execute import PassRun
from .measurement import (
    IDENTITY,
    Batch,
    BatchMeasurement,
    Columns,
    FreeMeasurement,
    Network,
    RecordMeasurement,
    State,
    StreamMeasurement,
    UnmeasurableError,
    Value,
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


def conclude(run: PassRun) -> Iterator[tuple[Member, CellResult]]:
    """The result of every member that has none yet, free measurements last."""
    columns = sort_by_id(run.ids, run.progress.columns) if run.pass_.decodes else {}
    members = [m for m in run.pass_.members if m.index not in run.progress.results]
    for member in sorted(members, key=lambda m: not m.shared):
        run.stop.check()
        reason = _unusable(run, member) or run.failures.get(member.index)
        yield member, failed(reason) if reason else _measured(run, member, columns)


def _unusable(run: PassRun, member: Member) -> str | None:
    """Why its views cannot be used: rows whose outputs are not finite."""
    if not member.shared:
        return None
    kinds = [("logits", "finite"), ("features", "features_finite")]
    for view in member.need.views:
        for kind, column in kinds:
            finite = run.progress.columns.get(column_name(column, view))
            if kind in member.need.outputs and finite is not None and not finite.all():
                under = "" if view == IDENTITY else f" under {view_name(view)}"
                bad = int((~finite.astype(bool)).sum())
                return f"{bad} of {len(finite)} rows have {kind} that are not finite{under}"
    return None


def _measured(run: PassRun, member: Member, columns: Columns) -> CellResult:
    seeded(run.run.seed, member.cell.key, "compute")
    try:
        with run.clock("compute"):
            return cell_of(_values(run, member, columns), run.layout.n)
    except DataError:
        # Met by a free measurement, which reads the data itself; it would meet anybody.
        raise
    except Exception as error:
        return failed(reason_of(error))


def _values(run: PassRun, member: Member, columns: Columns) -> Mapping[str, Value | float]:
    measurement = member.measurement
    if isinstance(measurement, RecordMeasurement):
        return measurement.compute({v: record_of(columns, v) for v in member.need.views})
    if isinstance(measurement, StreamMeasurement):
        blocks = _blocks(run, member)
        return measurement.compute(_total(blocks), blocks, run.info)
    if isinstance(measurement, BatchMeasurement):
        own = f"{member.cell.measurement}/"
        mine = {k.removeprefix(own): c for k, c in columns.items() if k.startswith(own)}
        return measurement.compute({"id": columns["id"], **mine})
    if isinstance(measurement, FreeMeasurement):
        return measurement.measure(_Context(run, run.model.network, run.run.seed))
    raise UnmeasurableError(f"{type(measurement).__name__} is none of the four kinds")


def _blocks(run: PassRun, member: Member) -> list[State]:
    return [run.progress.sums[member.index, b] for b in range(len(run.blocks))]


def _total(blocks: Sequence[State]) -> State:
    total = {name: x.clone() for name, x in blocks[0].items()}
    for block in blocks[1:]:
        for name, x in block.items():
            total[name] += x
    return total
