"""Which sample stands where: order, limit, batches, chunks, shards and blocks of one pass. Pure.

All of it follows from the plan and the sample ids alone, so that a resumed run, or one with other
measurements beside it, does the same arithmetic in the same order.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Layout", "sample_order"]

MIN_ROWS = 256
"""Sums are updated with at least this many rows at once, where there are as many."""
MAX_SHARDS = 32


def sample_order(ids: Sequence[str], seed: int, limit: int | None = None) -> list[int]:
    """Indices of the samples by sha256(seed, id), the first `limit` of them.

    Nested in the limit and blind to the order of the source, whose first samples may all be of
    one class.
    """
    keyed = sorted(
        range(len(ids)), key=lambda i: hashlib.sha256(f"{seed}:{ids[i]}".encode()).digest()
    )
    return keyed if limit is None else keyed[:limit]


@dataclass(frozen=True, slots=True)
class Layout:
    """n positions cut four ways, each a range of positions.

    A batch is one forward; a chunk is whole batches, held in memory with all views; a shard is
    whole chunks, the unit of resume; a block is a run of rows that the jackknife leaves out.
    """

    n: int
    batch_size: int

    @property
    def chunk_rows(self) -> int:
        """Rows of a full chunk."""
        return -(-MIN_ROWS // self.batch_size) * self.batch_size

    def batches(self, rows: range) -> Iterator[range]:
        """The batches of a chunk or shard; the last one of all may be short."""
        yield from _cut(rows, self.batch_size)

    def chunks(self, rows: range) -> Iterator[range]:
        """The chunks of a shard."""
        yield from _cut(rows, self.chunk_rows)

    def shards(self) -> list[range]:
        """At most 32, of nearly as many chunks each."""
        chunks = -(-self.n // self.chunk_rows)
        edges = [e * self.chunk_rows for e in _edges(chunks, min(MAX_SHARDS, chunks))]
        return _between([min(e, self.n) for e in edges])

    def blocks(self, most: int = 20) -> list[range]:
        """At most so many, of at least 4 rows unless there is one; sizes differ by at most 1."""
        return _between(_edges(self.n, max(1, min(most, self.n // 4))))


def _cut(rows: range, size: int) -> Iterator[range]:
    return (range(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size))


def _edges(n: int, parts: int) -> list[int]:
    return [i * n // parts for i in range(parts + 1)] if parts else [0]


def _between(edges: Sequence[int]) -> list[range]:
    return [range(a, b) for a, b in itertools.pairwise(edges)]
