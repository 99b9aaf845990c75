"""Run one pass: each sample is decoded once, each view forwarded once, every member gets its part.

Work is done in chunks of at least 256 rows and merged by shards, whose order and size follow from
the plan alone (layout.py): the same numbers alone or together, killed and resumed or not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interplay_api.plan import RunSettings

from .chunk import Chunk, Parts, concatenated, cut, joined, keep
from .columns import column_name, record_columns, rows_finite, table_name
from .decode import Decoder
from .errors import DataError, ModelError, one_line
from .layout import Layout, sample_order
from .measurement import (
    Batch,
    BatchMeasurement,
    Columns,
    Measurement,
    ModelInfo,
    Network,
    Output,
    StreamMeasurement,
    View,
)
from .models import LoadedModel, check_classes
from .passes import Member, Pass
from .reporting import reason_of
from .restrict import RestrictedNetwork
from .settings import seeded
from .state import Kept, Progress, Sums
from .stop import Stop
from .views import apply_view

if TYPE_CHECKING:
    from .data import Source

__all__ = ["Clock", "PassRun"]


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


class PassRun:
    """One pass under way; what it has finished is in `progress`."""

    def __init__(
        self,
        pass_: Pass,
        model: LoadedModel,
        references: Mapping[str, LoadedModel],
        source: Source,
        run: RunSettings,
        progress: Progress,
        stop: Stop,
        clock: Clock,
    ) -> None:
        self.pass_, self.run, self.source = pass_, run, source
        self.progress, self.stop, self.clock = progress, stop, clock
        models = {"": model, **{n: m for n, m in references.items() if _sees(pass_, n)}}
        classes = pass_.dataset.spec.competing
        self.networks = {name: _network(m, classes) for name, m in models.items()}
        self.network = self.networks[""]
        self.info = self.network.info
        self.order = sample_order(source.ids, run.seed, run.limit)
        self.layout = Layout(len(self.order), run.batch_size)
        exact = pass_.dataset.spec.resize == "Never"
        transforms = {name: m.exact if exact else m.transform for name, m in models.items()}
        self.relabel = {c: i for i, c in enumerate(classes)} if classes else None
        self.decoder = Decoder(
            source,
            self.order,
            transforms.pop(""),
            batch_size=run.batch_size,
            workers=run.workers,
            device=model.device,
            others=transforms,
            relabel=self.relabel,
        )
        self.ids = self.decoder.ids
        self.blocks = {
            m.index: self.layout.blocks(m.need.blocks) for m in pass_.of(StreamMeasurement)
        }
        under_way = progress.dataset == pass_.dataset.name
        self.failures = dict(progress.failures) if under_way else {}
        self.misfits = {name: self._misfit(n.info) for name, n in self.networks.items()}
        if misfit := self.misfits[""]:
            for member in pass_.members:
                if member.shared and member.need.labels:
                    self.failures.setdefault(member.index, misfit)

    def _misfit(self, info: ModelInfo) -> str | None:
        """Why the labels are not classes of the model; None where they are."""
        try:
            check_classes(info, self.pass_.dataset, self.source.num_classes)
        except ModelError as error:
            return one_line(error)
        return None

    def shards(self) -> Iterator[tuple[int, int]]:
        """Run what is left, yielding (done, total) after each shard."""
        if not any(self.alive(m) for m in self.pass_.members):
            return
        shards = self.layout.shards()
        left = shards[self.progress.shards :]
        batches = self.decoder.batches(b for s in left for b in self.layout.batches(s))
        for rows in left:
            self._shard(rows, batches)
            yield self.progress.shards, len(shards)

    def alive(self, member: Member) -> bool:
        """Whether the shared pass still has work for it."""
        done = member.index in self.failures or member.index in self.progress.results
        return member.shared and not done

    def live(self, kind: type[Measurement]) -> list[Member]:
        """The members of one kind that have not failed."""
        return [m for m in self.pass_.of(kind) if self.alive(m)]

    def live_views(self) -> list[View]:
        """The views that some member still needs."""
        needed = {v for m in self.pass_.members if self.alive(m) for v in m.views}
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
        tables: Parts = defaultdict(list)
        states: Sums = {}
        forwards = 0
        for part in self.layout.chunks(rows):
            chunk = self._chunk(part, batches, parts)
            forwards += len(chunk.rows) * len(chunk.outputs)
            parts["label"].append(chunk.labels.numpy())
            for view, output in chunk.outputs.items():
                self._describe(view, output, chunk, parts)
            self._tabulate(chunk, tables)
            self._stream(chunk, states, parts)
        lost = self.failures.keys() & {m.index for m in self.pass_.members}
        kept = Kept(self._whole(parts, lost, len(rows)), self._read(tables))
        self.progress.add(kept, states, self.failures, forwards)

    def _whole(self, parts: Parts, failed: Collection[int], rows: int) -> Columns:
        """The columns that have every row, without what a failed measurement has left."""
        members = [m for m in self.pass_.members if m.shared and m.index in failed]
        lost = tuple(f"{m.cell.measurement}/" for m in members)
        columns = concatenated({n: p for n, p in parts.items() if not n.startswith(lost)})
        return {name: column for name, column in columns.items() if len(column) == rows}

    def _read(self, tables: Parts) -> Columns:
        """The tables of which somebody is left to read; those of a lost view are not whole."""
        live = self.live_views()
        names = {table_name(output, v) for output, v in self.pass_.tables() if v in live}
        return concatenated({name: pieces for name, pieces in tables.items() if name in names})

    def _chunk(self, rows: range, batches: Iterator[Batch], parts: Parts) -> Chunk:
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
        whole = {v: joined(o) for v, o in outputs.items() if v in self.live_views()}
        return Chunk(rows, self.ids[rows.start : rows.stop], torch.cat(labels), whole)

    def _forward(self, view: View, batch: Batch) -> Output | None:
        """The valid rows of one view, on the CPU; None where the view cannot be had."""
        with torch.no_grad(), self.clock("forward"):
            images = batch.others[view.model] if view.model else batch.images
            try:
                images = apply_view(view, images, batch.ids, self.run.seed)
            except Exception as error:
                self._unseen(view, reason_of(error))
                return None
            layered = view in self.pass_.giving("layers")
            network = self.networks[view.model]
            try:
                output = network.forward_layers(images) if layered else network.forward(images)
            except (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError):
                # The machine's fault, not the model's: another attempt may do.
                raise
            except Exception as error:
                self._broken(view, f"forward: {one_line(error)}", error)
                return None
            output = self._taken(view, output, batch.valid)
        shape, expected = tuple(output.logits.shape), (batch.valid, network.info.num_classes)
        if shape != expected:
            self._broken(view, f"logits of shape {shape}, not {expected}")
            return None
        return output

    def _broken(self, view: View, problem: str, cause: Exception | None = None) -> None:
        """A broken model ends the run; a broken reference fails only the members that see it."""
        problem = f"model {self.networks[view.model].info.name}: {problem}"
        if not view.model:
            raise ModelError(problem) from cause
        self._unseen(view, problem)

    def _taken(self, view: View, output: Output, valid: int) -> Output:
        """What somebody reads of a forward."""
        logits = output.logits[:valid].float().cpu()
        wanted = view in self.pass_.giving("features")
        features = output.features[:valid].float().cpu() if wanted else logits[:, :0]
        return Output(
            logits, features, {n: x[:valid].float().cpu() for n, x in output.layers.items()}
        )

    def _unseen(self, view: View, reason: str) -> None:
        """A view that cannot be had fails the members that need it."""
        for member in self.pass_.members:
            if member.shared and view in member.views:
                self.failures.setdefault(member.index, reason)

    def _run_batch(self, member: Member, batch: Batch, parts: Parts) -> None:
        measurement = member.measurement
        assert isinstance(measurement, BatchMeasurement)
        with torch.enable_grad():
            columns = measurement.run_batch(self.network, batch)
        keep(member, columns, len(batch.ids), batch.valid, parts)

    def _describe(self, view: View, output: Output, chunk: Chunk, parts: Parts) -> None:
        """The columns of one view: which rows are finite, and the record where one is wanted."""
        parts[column_name("finite", view)].append(rows_finite(output.logits))
        if view in self.pass_.giving("features"):
            parts[column_name("features_finite", view)].append(rows_finite(output.features))
        if view in self.pass_.giving("layers"):
            rows = torch.cat([*output.layers.values()], dim=1)
            parts[column_name("layers_finite", view)].append(rows_finite(rows))
        if view in self.pass_.recorded:
            misfit = self.misfits[view.model]
            labels, sets = (None, None) if misfit else (chunk.labels, self._sets(chunk.rows))
            for name, column in record_columns(output.logits, labels, sets).items():
                parts[column_name(name, view)].append(column)

    def _sets(self, rows: range) -> list[list[int]] | None:
        """All right classes of each row, where the dataset has several."""
        if self.source.label_sets is None:
            return None
        found = [self.source.label_sets[self.order[p]] for p in rows]
        top = self.info.num_classes
        if self.relabel:
            return [[self.relabel[c] for c in s if c in self.relabel] for s in found]
        for labels in found:
            if labels and max(labels) >= top:
                raise DataError(f"class {max(labels)} is not below the model's {top}")
        return [list(s) for s in found]

    def _tabulate(self, chunk: Chunk, tables: Parts) -> None:
        """Keep rows of logits and features for the measurements that ask for tables."""
        for (output, view), limit in self.pass_.tables().items():
            if view in chunk.outputs:
                end = len(chunk.rows) if limit is None else max(0, limit - chunk.rows.start)
                rows = getattr(chunk.outputs[view], output)[:end]
                tables[table_name(output, view)].append(rows.numpy())

    def _stream(self, chunk: Chunk, states: Sums, parts: Parts) -> None:
        """Rows cut by block go into the sums of every stream measurement, and its columns."""
        for member in self.live(StreamMeasurement):
            measurement = member.measurement
            assert isinstance(measurement, StreamMeasurement)
            with self._alone(member, chunk.rows.start), torch.no_grad():
                for block, part in cut(chunk, self.blocks[member.index]):
                    key = member.index, block
                    if key not in states:
                        states[key] = measurement.init(member.info)
                    outputs = member.own(part.outputs)
                    measurement.update(states[key], part.ids, part.labels, outputs)
                    columns = measurement.samples(part.ids, part.labels, outputs)
                    keep(member, columns, len(part.ids), len(part.ids), parts)


def _sees(pass_: Pass, model: str) -> bool:
    return any(view.model == model for view in pass_.views)


def _network(model: LoadedModel, classes: Sequence[int] | None) -> Network:
    """The model, or its part that knows the classes of the dataset alone."""
    network = model.network
    if classes and classes[-1] < network.info.num_classes:
        return RestrictedNetwork(network, classes)
    return network
