"""The engine, with counted fakes.

Aspects: one decode and one forward per view; together = alone; resume at every shard boundary;
batch size; limit; threads; a measurement that raises; logits that are not finite; sizes 0 and 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from interplay_runner import outputs, run
from interplay_runner.errors import DataError
from interplay_runner.measurement import Batch, Columns, Network, Output
from interplay_runner.run import run_plan
from interplay_runner.stop import Stop, Stopped
from tests.runner.core.fakes import CLASSES, FakeNetwork, FakeSource, Shaky, World, plan, values

N = 600
"""At 16 rows a batch 38 batches in three shards, of 256, 256 and 88 rows."""
ALL = ("top1", "moments", "shaky", "probe")


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(N).install(monkeypatch)


class StopAfter(Stop):
    """Asks to stop at the n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def check(self) -> None:
        self.looks -= 1
        if self.looks < 0:
            raise Stopped


def test_any_number_of_measurements_costs_one_decode_and_one_forward_per_view(world: World) -> None:
    report = run_plan(plan("top1", "moments", "broken"))
    assert set(world.source.decoded.values()) == {1}
    assert len(world.network.calls) == 2 * 38
    assert set(world.network.calls) == {(16, 1, 4, 4)}, "one constant batch shape"
    assert report.provenance.forwards == 2 * N


def test_together_equals_alone() -> None:
    together = values(run_plan(plan(*ALL)))
    alone = {
        f"{i}:{k[2:]}": v for i, m in enumerate(ALL) for k, v in values(run_plan(plan(m))).items()
    }
    assert together == alone


def test_decode_threads_change_nothing(world: World) -> None:
    assert values(run_plan(plan(*ALL, workers=3))) == values(run_plan(plan(*ALL)))
    assert set(world.source.decoded.values()) == {4}, "shared pass and probe, twice"


@pytest.mark.parametrize("looks", [0, 1, 15, 16, 17, 31, 32, 37, 38, 40, 41, 42, 79])
def test_a_run_stopped_anywhere_goes_on_to_bit_equal_numbers(
    world: World, tmp_path: Path, looks: int
) -> None:
    straight = run_plan(plan(*ALL))
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        run_plan(plan(*ALL), folder, stop=StopAfter(looks))
    world.source.decoded.clear()
    resumed = run_plan(plan(*ALL), folder)
    assert resumed.cells == straight.cells
    assert resumed.provenance.forwards == straight.provenance.forwards
    assert not (folder / outputs.CHECKPOINT).exists()
    if looks >= 38:
        assert max(world.source.decoded.values(), default=0) <= 1, "the shared pass was not redone"


def test_a_run_stopped_again_and_again_loses_at_most_one_shard_each_time(tmp_path: Path) -> None:
    names = ("top1", "moments", "shaky")
    straight = run_plan(plan(*names))
    for _ in range(2):
        # 20 batches are one shard of 16 and a part of the next, which is lost.
        with pytest.raises(Stopped):
            run_plan(plan(*names), tmp_path, stop=StopAfter(20))
    assert run_plan(plan(*names), tmp_path, stop=StopAfter(20)).cells == straight.cells


@pytest.mark.parametrize("call", [1, 33, 50, 65, 75])
def test_a_run_killed_without_a_word_goes_on_from_its_last_checkpoint(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    names = ("top1", "moments")
    straight = run_plan(plan(*names))

    class Killed(BaseException):
        pass

    def forward(images: Tensor) -> Output:
        if len(world.network.calls) >= call:
            raise Killed
        return FakeNetwork.forward(world.network, images)

    monkeypatch.setattr(run, "SAVE_SECONDS", 0)
    world.network.calls.clear()
    monkeypatch.setattr(world.network, "forward", forward)
    with pytest.raises(Killed):
        run_plan(plan(*names), tmp_path)
    monkeypatch.undo()
    world.install(monkeypatch)
    world.source.decoded.clear()
    assert run_plan(plan(*names), tmp_path).cells == straight.cells
    finished = 256 * (call // 32)  # 16 batches of two views are a shard
    assert len(world.source.decoded) == N - finished


def test_another_batch_size_gives_the_same_numbers_within_rounding() -> None:
    names = ("top1", "moments", "probe")
    small, large = (values(run_plan(plan(*names, batch_size=b))) for b in (8, 300))
    assert small.keys() == large.keys()
    assert small == pytest.approx(large, rel=1e-6)


def test_limit_is_nested_and_blind_to_order(world: World) -> None:
    def decoded(limit: int | None) -> set[str]:
        world.source.decoded.clear()
        run_plan(plan("top1", limit=limit))
        return {world.source.ids[i] for i in world.source.decoded}

    ten, fifty = decoded(10), decoded(50)
    assert len(ten) == 10
    assert ten < fifty
    assert decoded(N) == decoded(None)
    world.source.ids.reverse()
    assert decoded(10) == ten


def test_a_measurement_that_raises_fails_alone() -> None:
    report = run_plan(plan("top1", "broken", "moments"))
    assert [c.state for c in report.cells] == ["Succeeded", "Failed", "Succeeded"]
    assert report.cells[1].reason == "ZeroDivisionError: a line and another"


def test_rows_that_are_not_finite_fail_the_cells_that_use_them(world: World) -> None:
    world.network.nan_above = 0.62
    report = run_plan(plan("top1", "moments", "probe"))
    top1, moments, probe = report.cells
    assert top1.state == "Failed"
    assert top1.reason is not None
    assert top1.reason.endswith(f"of {N} rows have logits that are not finite")
    assert not top1.values
    assert moments.state == probe.state == "Succeeded", "features are finite"


def test_two_values_under_one_key_are_refused() -> None:
    twice = plan("top1", "top1")
    report = run_plan(twice)
    assert [c.state for c in report.cells] == ["Succeeded", "Failed"]
    assert report.cells[1].reason == "fake_test_brier is already given by measurement top1"


def test_labels_beyond_the_logits_fail_what_reads_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeSource, "num_classes", 7)
    report = run_plan(plan(*ALL))
    assert [c.state for c in report.cells] == ["Failed", "Succeeded", "Failed", "Succeeded"]
    assert "7 classes" in (report.cells[0].reason or "")


def test_a_batch_measurement_that_breaks_off_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def half(self: Shaky, network: Network, batch: Batch) -> Columns:
        columns = original(self, network, batch)
        return {**columns, "bad": np.zeros(3)} if batch.valid < 16 else columns

    original = Shaky.run_batch
    alone = values(run_plan(plan("top1", "moments")))
    monkeypatch.setattr(Shaky, "run_batch", half)
    with pytest.raises(Stopped):
        run_plan(plan("top1", "moments", "shaky"), tmp_path, stop=StopAfter(39))
    report = run_plan(plan("top1", "moments", "shaky"), tmp_path)
    assert report.cells[2].reason == (
        "ValueError: column bad: float64 (3,), not one number for each of 16 rows"
    )
    assert values(report) == alone
    with np.load(tmp_path / "records-fake-test.npz") as records:
        assert not [name for name in records.files if name.startswith("shaky/")]


@pytest.mark.parametrize("name", ["top1", "probe"])
def test_a_sample_that_cannot_be_used_is_bad_data(world: World, name: str) -> None:
    world.source.labels[3] = CLASSES
    with pytest.raises(DataError, match="dataset fake: sample s3: label 5 is not below 5 classes"):
        run_plan(plan(name))


def test_one_sample_is_measured_and_none_is_bad_data(monkeypatch: pytest.MonkeyPatch) -> None:
    World(1).install(monkeypatch)
    one = run_plan(plan(*ALL))
    assert {c.state for c in one.cells} == {"Succeeded"}
    assert values(one)["1:blocks"] == 1
    World(0).install(monkeypatch)
    with pytest.raises(DataError, match="dataset fake: it has no samples"):
        run_plan(plan(*ALL))


def test_outputs_hold_report_records_and_predictions(world: World, tmp_path: Path) -> None:
    report = run_plan(plan(*ALL), tmp_path)
    with np.load(tmp_path / "records-fake-test.npz", allow_pickle=False) as records:
        assert list(records["id"]) == sorted(world.source.ids)
        clean = (records["pred"] == records["label"]).mean()
        assert records["shaky/hit"].mean() == values(report)["2:hit"]
        assert "rank@noise_sigma0.25" in records
    assert clean == values(report)["0:top1"]
    lines = (tmp_path / "predictions-fake-test.csv").read_text().splitlines()
    assert len(lines) == N + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "predictions-fake-test.csv",
        "records-fake-test.npz",
        "report.json",
    ]
