"""Order and cuts. Aspects: every position exactly once, whole batches, bounds, order by hash."""

from __future__ import annotations

import hashlib

import pytest

from interplay_runner.layout import Layout, sample_order

CASES = [(n, b) for n in (1, 7, 64, 255, 256, 257, 600, 8193, 50_000) for b in (8, 64, 300, 4096)]


@pytest.mark.parametrize(("n", "batch_size"), CASES)
def test_every_cut_covers_every_position_once_and_nests(n: int, batch_size: int) -> None:
    layout = Layout(n, batch_size)
    shards = layout.shards()
    chunks = [c for s in shards for c in layout.chunks(s)]
    batches = [b for c in chunks for b in layout.batches(c)]
    for cut in (shards, chunks, batches, layout.blocks()):
        assert [p for r in cut for p in r] == list(range(n))
    assert len(shards) <= 32
    assert all(len(b) == batch_size for b in batches[:-1])
    assert all(len(c) >= 256 and len(c) % batch_size == 0 for c in chunks[:-1])
    assert batches == list(layout.batches(range(n))), "no shard border cuts a batch"


@pytest.mark.parametrize(("n", "count"), [(1, 1), (7, 1), (8, 2), (79, 19), (80, 20), (600, 20)])
def test_blocks_are_at_most_20_of_nearly_equal_size(n: int, count: int) -> None:
    sizes = [len(b) for b in Layout(n, 8).blocks()]
    assert len(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_order_is_by_hash_of_seed_and_id() -> None:
    ids = [f"x{i}" for i in range(40)]
    order = sample_order(ids, 7)
    digests = [hashlib.sha256(f"7:{ids[i]}".encode()).hexdigest() for i in order]
    assert digests == sorted(digests)
    assert sample_order(ids, 7, 10) == order[:10]
    assert sample_order(ids, 8) != order
