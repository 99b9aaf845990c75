"""The checkpoint: finished shards on disk, so that a killed run goes on where it was.

It lies on a volume that others may write to, so it is read as hostile input: no pickle, bounded,
integrity-checked, compared with what this very plan expects; anything else means starting anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from interplay_api.base import ApiModel
from interplay_api.report import CellResult, Short

from .measurement import Columns, State

__all__ = ["Checkpoint", "CheckpointError", "Kept", "Progress", "Sums", "write_atomically"]

Arrays = dict[str, npt.NDArray[np.generic]]
Sums = dict[tuple[int, int], State]
"""The sums of a stream measurement by (cell, block)."""
MAX_BYTES = 16 << 30
MAX_HEADER_BYTES = 4 << 20
HEADER, COLUMN, TABLE, SUM = "header", "column:", "table:", "sum:"


class CheckpointError(ValueError):
    """A checkpoint that is not used; the text says why."""


@dataclass
class Kept:
    """What a pass keeps row by row, in its order: columns [n], tables [rows, width], rows <= n."""

    columns: Columns = field(default_factory=dict)
    tables: Columns = field(default_factory=dict)


@dataclass
class Progress:
    """What is finished: whole cells, passes that others wait for, shards of the one under way."""

    results: dict[int, CellResult] = field(default_factory=dict)
    forwards: int = 0
    dataset: str | None = None
    shards: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    rows: Kept = field(default_factory=Kept)
    sums: Sums = field(default_factory=dict)
    done: dict[str, Kept] = field(default_factory=dict)
    """By dataset, of passes that are over but whose rows some cell still waits to read."""

    def begin(self, dataset: str) -> None:
        """A new pass; what the last one left is dropped, its results stay."""
        self.dataset, self.shards = dataset, 0
        self.failures, self.rows, self.sums = {}, Kept(), {}

    def end(self, keep: bool) -> None:
        """The pass is over."""
        if keep and self.dataset is not None:
            self.done[self.dataset] = self.rows
        self.dataset, self.shards = None, 0
        self.failures, self.rows, self.sums = {}, Kept(), {}

    def add(self, rows: Kept, sums: Sums, failures: Mapping[int, str], forwards: int = 0) -> None:
        """Merge one finished shard: rows are appended, sums added, in the order of shards.

        What has failed meanwhile has no columns in the shard, and loses those it had.
        """
        if self.shards:
            rows = Kept(
                _appended(self.rows.columns, rows.columns), _appended(self.rows.tables, rows.tables)
            )
        self.rows, self.failures = rows, dict(failures)
        for key, state in sums.items():
            old = self.sums.get(key)
            self.sums[key] = state if old is None else {k: old[k] + v for k, v in state.items()}
        self.sums = {key: state for key, state in self.sums.items() if key[0] not in failures}
        self.shards += 1
        self.forwards += forwards


def _appended(old: Columns, new: Columns) -> Columns:
    return {k: np.concatenate([c, new[k]]) for k, c in old.items() if k in new}


CellIndex = Annotated[int, Field(strict=False, ge=0, lt=256)]
"""Lax, since a key of a JSON object is always a string."""


class _Header(ApiModel):
    identity: Annotated[str, Field(max_length=64)]
    results: Annotated[dict[CellIndex, CellResult], Field(max_length=256)]
    forwards: Annotated[int, Field(ge=0)]
    dataset: Annotated[str, Field(max_length=63)] | None = None
    shards: Annotated[int, Field(ge=0)]
    failures: Annotated[dict[CellIndex, Short], Field(max_length=256)]
    done: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)]


class Checkpoint:
    """One file; `identity` is a digest of all that must be equal for going on."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity

    def save(self, progress: Progress) -> None:
        """Write all of it under a temporary name, then rename."""
        header = _Header(
            identity=self.identity,
            results=progress.results,
            forwards=progress.forwards,
            dataset=progress.dataset,
            shards=progress.shards,
            failures=progress.failures,
            done=sorted(progress.done),
        )
        arrays: Arrays = {HEADER: np.frombuffer(json.dumps(header.wire()).encode(), np.uint8)}
        for place, kept in {"": progress.rows, **progress.done}.items():
            arrays |= {f"{COLUMN}{place}:{name}": c for name, c in kept.columns.items()}
            arrays |= {f"{TABLE}{place}:{name}": c for name, c in kept.tables.items()}
        for (cell, block), state in progress.sums.items():
            arrays |= {f"{SUM}{cell}:{block}:{name}": x.numpy() for name, x in state.items()}
        payload = save({name: np.asarray(x, order="C") for name, x in arrays.items()})
        mark = hashlib.sha256(payload).hexdigest().encode()
        write_atomically(self.path, mark + b"\n" + payload)

    def load(self) -> Progress | None:
        """What was saved, or None where there is nothing; raises CheckpointError."""
        data = self._read()
        if data is None:
            return None
        mark, payload = data[:64], data[65:]
        if hashlib.sha256(payload).hexdigest().encode() != mark:
            raise CheckpointError("it is damaged")
        try:
            return self._parse(load(payload))
        except ValidationError as error:
            raise CheckpointError(f"its header is wrong: {error.errors()[0]['msg']}") from None
        except (SafetensorError, ValueError, KeyError, RecursionError) as error:
            text = " ".join(str(error).split())
            raise CheckpointError(f"it cannot be parsed: {text}"[:300]) from None

    def remove(self) -> None:
        """Nothing is left to resume."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> bytes | None:
        try:
            # A link could point anywhere that this process may read; a pipe would block.
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"it cannot be read: {error.strerror}") from None
        with os.fdopen(file, "rb") as stream:
            size = os.fstat(file).st_size
            if size > MAX_BYTES:
                raise CheckpointError(f"it has {size} bytes")
            return stream.read(size)

    def _parse(self, arrays: Arrays) -> Progress:
        raw = arrays.pop(HEADER).tobytes()
        if len(raw) > MAX_HEADER_BYTES:
            raise CheckpointError(f"its header has {len(raw)} bytes")
        header = _Header.model_validate_json(raw)
        if header.identity != self.identity:
            raise CheckpointError("it belongs to another plan, model or version")
        progress = Progress(
            results=header.results,
            forwards=header.forwards,
            dataset=header.dataset,
            shards=header.shards,
            failures=dict(header.failures),
            done={name: Kept() for name in header.done},
        )
        for name, read_only in arrays.items():
            array = read_only.copy()
            kind, _, rest = name.partition(":")
            if f"{kind}:" in (COLUMN, TABLE):
                place, _, column = rest.partition(":")
                kept = progress.done[place] if place else progress.rows
                (kept.columns if f"{kind}:" == COLUMN else kept.tables)[column] = array
            else:
                cell, block, key = name.removeprefix(SUM).split(":", 2)
                progress.sums.setdefault((int(cell), int(block)), {})[key] = torch.from_numpy(array)
        return progress


def write_atomically(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one, whole, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
