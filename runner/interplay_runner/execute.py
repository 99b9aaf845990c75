"""Run one pass: each sample is decoded once, each view forwarded once, every member gets its part.

Work is done in chunks of at least 256 rows and merged by shards, whose order and size follow from
the plan alone (layout.py): the same numbers alone or together, killed and resumed or not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interplay_api.plan import RunSettings

from .columns import column_name, record_columns, rows_finite
from .decode import Decoder
from .errors import ModelError, one_line
from .layout import Layout, sample_order
from .measurement import (
    Batch,
    BatchMeasurement,
    Columns,
    Measurement,
    Output,
    RecordMeasurement,
    StreamMeasurement,
    View,
)
from .models import LoadedModel, check_classes
from .passes import Member, Pass
from .reporting import reason_of
from .settings import seeded
from .state import Progress, Sums
from .stop import Stop
from .views import apply_view

if TYPE_CHECKING:
    from .data import Source

__all__ = ["Clock", "PassRun"]

Parts = dict[str, list[npt.NDArray[np.generic]]]
"""The columns of a shard, piece by piece."""


class Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start


@dataclass
class _Chunk:
    """The rows of one chunk, all views, on the CPU and without padding."""

    rows: range
    ids: Sequence[str]
    labels: Tensor
    outputs: dict[View, Output]


class PassRun:
    """One pass under way; what it has finished is in `progress`."""

    def __init__(
        self,
        pass_: Pass,
        model: LoadedModel,
        source: Source,
        run: RunSettings,
        progress: Progress,
        stop: Stop,
        clock: Clock,
    ) -> None:
        self.pass_, self.model, self.run = pass_, model, run
        self.progress, self.stop, self.clock = progress, stop, clock
        self.info = model.network.info
        order = sample_order(source.ids, run.seed, run.limit)
        self.layout = Layout(len(order), run.batch_size)
        self.decoder = Decoder(
            source,
            order,
            model.transform,
            batch_size=run.batch_size,
            workers=run.workers,
            device=model.device,
        )
        self.ids = self.decoder.ids
        self.blocks = self.layout.blocks()
        self.failures = dict(progress.failures)
        self.labels_fit = True
        try:
            check_classes(self.info, pass_.dataset, source.num_classes)
        except ModelError as error:
            self.labels_fit = False
            for member in [*pass_.of(RecordMeasurement), *pass_.of(BatchMeasurement)]:
                self.failures[member.index] = one_line(error)

    def shards(self) -> Iterator[tuple[int, int]]:
        """Run what is left, yielding (done, total) after each shard."""
        if all(not m.shared or m.index in self.failures for m in self.pass_.members):
            return
        shards = self.layout.shards()
        left = shards[self.progress.shards :]
        batches = self.decoder.batches(b for s in left for b in self.layout.batches(s))
        for rows in left:
            self._shard(rows, batches)
            yield self.progress.shards, len(shards)

    def live(self, kind: type[Measurement]) -> list[Member]:
        """The members of one kind that have not failed."""
        return [m for m in self.pass_.of(kind) if m.index not in self.failures]

    def live_views(self) -> list[View]:
        """The views that some member still needs."""
        members = [m for m in self.pass_.members if m.shared and m.index not in self.failures]
        needed = {v for m in members for v in m.need.views}
        return [v for v in self.pass_.views if v in needed]

    @contextmanager
    def _alone(self, member: Member, *where: object) -> Iterator[None]:
        """What a measurement raises fails its cell and nothing else."""
        seeded(self.run.seed, member.cell.key, *where)
        try:
            with self.clock("measure"):
                yield
        except Exception as error:
            self.failures[member.index] = reason_of(error)

    def _shard(self, rows: range, batches: Iterator[Batch]) -> None:
        """Run one shard; only when it is whole does any of it count."""
        parts: Parts = defaultdict(list)
        states: Sums = {}
        forwards = 0
        for part in self.layout.chunks(rows):
            chunk = self._chunk(part, batches, parts)
            forwards += len(chunk.rows) * len(chunk.outputs)
            parts["label"].append(chunk.labels.numpy())
            for view, output in chunk.outputs.items():
                self._describe(view, output, chunk.labels, parts)
            self._stream(chunk, states, parts)
        self.progress.add(self._whole(parts, len(rows)), states, self.failures, forwards)

    def _whole(self, parts: Parts, rows: int) -> Columns:
        """The columns that have every row, without what a failed measurement has left."""
        failed = [m for m in self.pass_.members if m.shared and m.index in self.failures]
        lost = tuple(f"{m.cell.measurement}/" for m in failed)
        columns = {n: np.concatenate(p) for n, p in parts.items() if not n.startswith(lost)}
        return {name: column for name, column in columns.items() if len(column) == rows}

    def _chunk(self, rows: range, batches: Iterator[Batch], parts: Parts) -> _Chunk:
        """Decode and forward one chunk, batch by batch; batch measurements run in between."""
        labels: list[Tensor] = []
        outputs: dict[View, list[Output]] = defaultdict(list)
        for place in self.layout.batches(rows):
            self.stop.check()
            with self.clock("data"):
                batch = next(batches)
            labels.append(batch.labels[: batch.valid].cpu())
            for view in self.live_views():
                output = self._forward(view, batch)
                if output is not None:
                    outputs[view].append(output)
            for member in self.live(BatchMeasurement):
                with self._alone(member, place.start):
                    self._run_batch(member, batch, parts)
        whole = {v: _joined(o) for v, o in outputs.items() if v in self.live_views()}
        return _Chunk(rows, self.ids[rows.start : rows.stop], torch.cat(labels), whole)

    def _forward(self, view: View, batch: Batch) -> Output | None:
        """The valid rows of one view, on the CPU; None where the view cannot be made."""
        with torch.no_grad(), self.clock("forward"):
            try:
                images = apply_view(view, batch.images, batch.ids, self.run.seed)
            except Exception as error:
                for member in self.pass_.members:
                    if member.shared and view in member.need.views:
                        self.failures.setdefault(member.index, reason_of(error))
                return None
            try:
                output = self.model.network.forward(images)
            except (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError):
                # The machine's fault, not the model's: another attempt may do.
                raise
            except Exception as error:
                raise ModelError(f"model {self.info.name}: forward: {one_line(error)}") from error
            rows = slice(batch.valid)
            logits = output.logits[rows].float().cpu()
            wanted = view in self.pass_.featured
            features = output.features[rows].float().cpu() if wanted else logits[:, :0]
        if logits.shape != (batch.valid, self.info.num_classes):
            raise ModelError(
                f"model {self.info.name}: logits of shape {tuple(logits.shape)}, "
                f"not {(batch.valid, self.info.num_classes)}"
            )
        return Output(logits, features)

    def _run_batch(self, member: Member, batch: Batch, parts: Parts) -> None:
        measurement = member.measurement
        assert isinstance(measurement, BatchMeasurement)
        with torch.enable_grad():
            columns = measurement.run_batch(self.model.network, batch)
        _keep(member, columns, len(batch.ids), batch.valid, parts)

    def _describe(self, view: View, output: Output, labels: Tensor, parts: Parts) -> None:
        """The columns of one view: which rows are finite, and the record where one is wanted."""
        parts[column_name("finite", view)].append(rows_finite(output.logits))
        if view in self.pass_.featured:
            parts[column_name("features_finite", view)].append(rows_finite(output.features))
        if self.labels_fit and view in self.pass_.recorded:
            for name, column in record_columns(output.logits, labels).items():
                parts[column_name(name, view)].append(column)

    def _stream(self, chunk: _Chunk, states: Sums, parts: Parts) -> None:
        """Rows cut by block go into the sums of every stream measurement, and its columns."""
        cuts = list(_cut(chunk, self.blocks))
        for member in self.live(StreamMeasurement):
            measurement = member.measurement
            assert isinstance(measurement, StreamMeasurement)
            with self._alone(member, chunk.rows.start), torch.no_grad():
                for block, part in cuts:
                    key = member.index, block
                    if key not in states:
                        states[key] = measurement.init(self.info)
                    outputs = {v: part.outputs[v] for v in member.need.views}
                    measurement.update(states[key], part.ids, part.labels, outputs)
                    columns = measurement.samples(part.ids, part.labels, outputs)
                    _keep(member, columns, len(part.ids), len(part.ids), parts)


def _keep(member: Member, columns: Columns, rows: int, valid: int, parts: Parts) -> None:
    """Take a measurement's own columns, `rows` long, of which `valid` count."""
    for name, given in columns.items():
        column = np.asarray(given)
        if column.ndim != 1 or len(column) != rows or column.dtype.kind not in "bif":
            raise ValueError(
                f"column {name}: {column.dtype} {column.shape}, "
                f"not one number for each of {rows} rows"
            )
        parts[f"{member.cell.measurement}/{name}"].append(column[:valid])


def _joined(outputs: Sequence[Output]) -> Output:
    return Output(torch.cat([o.logits for o in outputs]), torch.cat([o.features for o in outputs]))


def _cut(chunk: _Chunk, blocks: Sequence[range]) -> Iterator[tuple[int, _Chunk]]:
    """The part of a chunk in each block that it touches."""
    for index, block in enumerate(blocks):
        start, stop = max(block.start, chunk.rows.start), min(block.stop, chunk.rows.stop)
        if start < stop:
            rows = slice(start - chunk.rows.start, stop - chunk.rows.start)
            outputs = {
                v: Output(o.logits[rows], o.features[rows]) for v, o in chunk.outputs.items()
            }
            yield index, _Chunk(range(start, stop), chunk.ids[rows], chunk.labels[rows], outputs)
