"""The checkpoint as hostile input.

Aspects: every single damaged byte, links, pickles, other plans, arrays that do not fit the pass;
each time the run starts anew and gives the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from interplay_runner import outputs
from interplay_runner.measurement import Columns
from interplay_runner.run import run_plan
from interplay_runner.state import Checkpoint, CheckpointError, Kept, Progress, write_atomically
from interplay_runner.stop import Stopped
from tests.runner.core.fakes import World, plan
from tests.runner.core.test_engine import StopAfter

NAMES = ("top1", "moments", "shaky")


class Events:
    """Keeps what a run says about its checkpoint."""

    def __init__(self) -> None:
        self.actions: list[object] = []

    def event(self, event: str, **fields: object) -> None:
        if event == "checkpoint":
            self.actions.append(fields["action"])


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The checkpoint of a run that finished one shard of three."""
    World(600).install(monkeypatch)
    with pytest.raises(Stopped):
        run_plan(plan(*NAMES), tmp_path, stop=StopAfter(20))
    return tmp_path / outputs.CHECKPOINT


def _resume(path: Path) -> list[object]:
    events = Events()
    resumed = run_plan(plan(*NAMES), path.parent, log=events)
    assert resumed.cells == run_plan(plan(*NAMES)).cells
    return events.actions


def _forge(path: Path, change: dict[str, np.ndarray | None]) -> None:
    """Change arrays and set the digest right, as somebody with access to the volume could."""
    arrays = load(path.read_bytes()[65:])
    for name, array in change.items():
        if array is None:
            del arrays[name]
        else:
            arrays[name] = array
    payload = save(arrays)
    path.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def test_an_untouched_one_is_gone_on_with(stopped: Path) -> None:
    assert _resume(stopped) == ["resumed"]


@pytest.mark.parametrize(
    "change",
    [
        {"column::label": None},
        {"column::label": np.zeros(3, np.int64)},
        {"column::rank": np.zeros(256)},
        {"column::finite": np.zeros((256, 2), np.bool_)},
        {"column::surprise": np.zeros(256)},
        {"column:fake:label": np.zeros(256, np.int64)},
        {"table::features": np.zeros((256, 8), np.float32)},
        {"sum:1:0:cross": np.zeros((9, 9))},
        {"sum:1:0:n": np.zeros(())},
        {"sum:1:0:more": np.zeros(())},
        {"sum:9:0:n": np.zeros((), np.int64)},
        {"nonsense": np.zeros(1)},
        {"header": None},
        {"header": np.frombuffer(b"[" * 9999, np.uint8)},
        {"header": np.frombuffer(b"{}", np.uint8)},
    ],
    ids=str,
)
def test_a_forged_one_is_refused(stopped: Path, change: dict[str, np.ndarray | None]) -> None:
    _forge(stopped, change)
    assert _resume(stopped) == ["refused"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shards", 4),
        ("shards", -1),
        ("failures", {"7": "made up"}),
        ("done", ["fake"]),
        ("results", {"9": {"state": "Failed", "reason": "made up"}}),
        ("identity", "0" * 64),
    ],
)
def test_a_forged_header_is_refused(stopped: Path, field: str, value: object) -> None:
    header = json.loads(load(stopped.read_bytes()[65:])["header"].tobytes())
    data = json.dumps({**header, field: value}).encode()
    _forge(stopped, {"header": np.frombuffer(data, np.uint8)})
    assert _resume(stopped) == ["refused"]


def test_damaged_bytes_are_noticed(stopped: Path) -> None:
    data, seed = stopped.read_bytes(), 11
    print("seed", seed)
    rng = random.Random(seed)
    identity = json.loads(load(data[65:])["header"].tobytes())["identity"]
    checkpoint = Checkpoint(stopped, identity)
    assert checkpoint.load() is not None
    for _ in range(60):
        place = rng.choice([p for p in (rng.randrange(len(data)), rng.randrange(64)) if p != 64])
        stopped.write_bytes(
            data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        )
        with pytest.raises(CheckpointError):
            checkpoint.load()
        stopped.write_bytes(data[: rng.randrange(len(data))])
        with pytest.raises(CheckpointError):
            checkpoint.load()


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "checkpoint.bin"
    secret.write_bytes(b"x")
    path.symlink_to(secret)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Checkpoint(path, "").load()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint(path, "").load()


def test_a_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    import torch

    progress = Progress(dataset="d", forwards=3)
    columns: Columns = {"a": np.array([0.1, np.nan]), "m/b": np.array([True, False])}
    tables: Columns = {"features@noise": np.ones((1, 4), np.float32)}
    progress.done["other"] = Kept({"label": np.array([3])}, tables)
    progress.add(
        Kept(columns, tables),
        {(0, 2): {"n": torch.tensor(3), "x": torch.rand(2, 2).double()}},
        {1: "no"},
    )
    checkpoint = Checkpoint(tmp_path / "c", "id")
    checkpoint.save(progress)
    found = checkpoint.load()
    assert found is not None
    assert (found.shards, found.failures, found.forwards) == (1, {1: "no"}, 3)
    np.testing.assert_array_equal(found.rows.columns["a"], columns["a"])
    assert found.rows.columns["m/b"].dtype == np.bool_
    for kept in (found.rows, found.done["other"]):
        np.testing.assert_array_equal(kept.tables["features@noise"], np.ones((1, 4)))
    np.testing.assert_array_equal(found.done["other"].columns["label"], [3])
    for name, tensor in progress.sums[0, 2].items():
        assert torch.equal(found.sums[0, 2][name], tensor)
        assert found.sums[0, 2][name].shape == tensor.shape


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, b"old")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
