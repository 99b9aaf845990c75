"""The rows in flight: one chunk with all its views, cut by block, and what is kept of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .measurement import Columns, Output, View
from .passes import Member

__all__ = ["Chunk", "Parts", "concatenated", "cut", "joined", "keep"]

Parts = dict[str, list[npt.NDArray[np.generic]]]
"""The columns of a shard, piece by piece."""


@dataclass
class Chunk:
    """The rows of one chunk, all views, on the CPU and without padding."""

    rows: range
    ids: Sequence[str]
    labels: Tensor
    outputs: dict[View, Output]


def keep(member: Member, columns: Columns, rows: int, valid: int, parts: Parts) -> None:
    """Take a measurement's own columns, `rows` long, of which `valid` count."""
    for name, given in columns.items():
        column = np.asarray(given)
        if column.ndim != 1 or len(column) != rows or column.dtype.kind not in "bif":
            raise ValueError(
                f"column {name}: {column.dtype} {column.shape}, "
                f"not one number for each of {rows} rows"
            )
        parts[f"{member.cell.measurement}/{name}"].append(column[:valid])


def concatenated(parts: Parts) -> Columns:
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}


def joined(outputs: Sequence[Output]) -> Output:
    return Output(
        torch.cat([o.logits for o in outputs]),
        torch.cat([o.features for o in outputs]),
        {name: torch.cat([o.layers[name] for o in outputs]) for name in outputs[0].layers},
    )


def _part(output: Output, rows: slice) -> Output:
    layers = {name: x[rows] for name, x in output.layers.items()}
    return Output(output.logits[rows], output.features[rows], layers)


def cut(chunk: Chunk, blocks: Sequence[range]) -> Iterator[tuple[int, Chunk]]:
    """The part of a chunk in each block that it touches."""
    for index, block in enumerate(blocks):
        start, stop = max(block.start, chunk.rows.start), min(block.stop, chunk.rows.stop)
        if start < stop:
            rows = slice(start - chunk.rows.start, stop - chunk.rows.start)
            outputs = {v: _part(o, rows) for v, o in chunk.outputs.items()}
            yield index, Chunk(range(start, stop), chunk.ids[rows], chunk.labels[rows], outputs)
