"""The engine where a measurement reads several datasets, another model, or the model's stages.

Aspects: kept tables, capped rows, roles; a reference model that works, fails or is missing; labels
that are not classes; competing classes; together = alone; killed in any pass and resumed; forged
checkpoints with tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from interplay_api.library import DatasetSpec, ImageFolder
from interplay_api.report import Report
from interplay_runner import execute, layout, outputs, run
from interplay_runner.layout import sample_order
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Output,
    Table,
    TableMeasurement,
    Value,
    View,
)
from interplay_runner.run import run_plan
from interplay_runner.stop import Stopped
from interplay_runner.views import apply_view
from tests.runner.core.fakes import CLASSES, NOISE, WIDTH, FakeNetwork, values
from tests.runner.core.table_fakes import ALL, BOTH, ROWS, TABLE_KINDS, Worlds, plan
from tests.runner.core.test_checkpoint import Events
from tests.runner.core.test_checkpoint import _forge as forge
from tests.runner.core.test_engine import StopAfter


@cache
def straight(*names: str) -> Report:
    """What comes out where nothing happens on the way."""
    return run_plan(plan(*names))


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> Worlds:
    worlds = Worlds()
    worlds.install(monkeypatch)
    return worlds


def cell(report: Report, index: int = 0) -> dict[str, float | None]:
    assert report.cells[index].state == "Succeeded", report.cells[index].reason
    return {v.metric: v.value for v in report.cells[index].values}


def test_everything_of_a_dataset_costs_one_decode_and_one_forward_per_view(world: Worlds) -> None:
    report = run_plan(plan("near", "everything", "compare", "agree", "stages"))
    assert [c.state for c in report.cells] == ["Succeeded"] * 5
    for source in world.sources.values():
        assert set(source.decoded.values()) == {1}
    mine, other = (len(world.networks[m].calls) for m in ("fake", "other"))
    assert (mine, other) == (2 * 17 + 2 * 33 + 2, 17)
    assert set(world.networks["other"].calls) == {(16, 1, 2, 2)}, "by its own preprocessing"
    assert report.provenance.forwards == 3 * 260 + 2 * 520 + 20


def test_together_equals_alone_bit_for_bit() -> None:
    together = values(straight(*ALL))
    alone = {
        f"{i}:{k[2:]}": v for i, m in enumerate(ALL) for k, v in values(run_plan(plan(m))).items()
    }
    assert together == alone


def test_rows_are_the_first_by_id_hash_and_no_more_than_asked_for(world: Worlds) -> None:
    train = world.sources["train"]
    first = [int(train.ids[i][1:]) for i in sample_order(train.ids, 0)[:ROWS]]
    report = run_plan(plan("near", "everything"))
    assert cell(report)["rows"] == ROWS
    assert cell(report)["ids"] == sum(first)
    assert (cell(report, 1)["own_rows"], cell(report, 1)["train_rows"]) == (40, 520)
    limited = run_plan(plan("near", "everything", limit=60))
    assert cell(limited)["ids"] == sum(first[:60])
    assert (cell(limited, 1)["own_rows"], cell(limited, 1)["train_rows"]) == (40, 60)


def test_one_dataset_in_two_roles_is_read_once(world: Worlds) -> None:
    report = run_plan(plan("everything", references={"train": "fake"}))
    assert (cell(report)["own_rows"], cell(report)["train_rows"]) == (40, 260)
    assert set(world.sources["fake"].decoded.values()) == {1}


@pytest.mark.parametrize(
    ("name", "references", "reason"),
    [
        (
            "near",
            {"train": "train"},
            "references.wild: a dataset is needed: what no class is for",
        ),
        (
            "near",
            {"train": "train", "wild": "wild", "tame": "fake"},
            "references.tame: no such role; there are train, wild",
        ),
        ("top1", {"train": "train"}, "references.train: no such role; there are none"),
    ],
)
def test_roles_that_do_not_fit_fail_the_cell(
    name: str, references: dict[str, str], reason: str
) -> None:
    failed = run_plan(plan(name, references=references)).cells[0]
    assert (failed.state, failed.reason) == ("Failed", reason)


def test_a_comparison_without_a_model_fails_with_the_reason() -> None:
    failed = run_plan(plan("compare", reference_model=None)).cells[0]
    assert failed.reason == "referenceModel: a model to compare with is needed"


def _unloadable(world: Worlds) -> str:
    world.unloadable = "other"
    return "referenceModel: model other: spec.timm: no such model"


def _raising(world: Worlds) -> str:
    world.networks["other"].weight = torch.zeros(5, 3)
    return "model other: forward: RuntimeError: mm: mat1 and mat2 shapes cannot be multiplied"


def _misshapen(world: Worlds) -> str:
    world.networks["other"].head = torch.zeros(3, 2)
    return "model other: logits of shape (16, 2), not (16, 7)"


def _without_stages(world: Worlds) -> str:
    network = world.networks["other"]
    network.info = replace(network.info, layers={})
    return "model other declares no stages"


@pytest.mark.parametrize("breaks", [_unloadable, _raising, _misshapen, _without_stages])
def test_a_failing_reference_model_fails_only_its_own_cells(
    world: Worlds, breaks: Callable[[Worlds], str]
) -> None:
    names = ("near", "compare", "stages", "top1", "moments")
    sound = straight(*names)
    reason = breaks(world)
    report = run_plan(plan(*names))
    mine = (2,) if breaks is _without_stages else (1, 2)
    for index in range(len(names)):
        if index in mine:
            assert (report.cells[index].reason or "").startswith(reason)
        else:
            assert report.cells[index] == sound.cells[index]


def test_rows_of_the_reference_that_are_not_finite_fail_what_reads_them(world: Worlds) -> None:
    world.networks["other"].nan_above = 0.8
    agree, compare, top1 = run_plan(plan("agree", "compare", "top1")).cells
    assert "rows have logits that are not finite under identity_by_other" in (agree.reason or "")
    assert compare.state == top1.state == "Succeeded", "its features are finite"


def test_labels_that_are_not_classes_fail_only_what_wants_them() -> None:
    report = run_plan(plan("near", "top1", references={"train": "train", "wild": "wild"}))
    assert report.cells[0].state == "Succeeded"
    report = run_plan(plan("everything", references={"train": "wild"}))
    assert report.cells[0].reason == (
        f"model fake: spec.numClasses: {CLASSES} logits, but dataset wild has 7 classes"
    )


class Mapped(TableMeasurement):
    """Tells what it is given where only two classes compete in its own dataset."""

    category = "property"
    roles: ClassVar = {"train": "all classes compete there"}

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        assert model.num_classes == 2
        return {OWN: Need(outputs=BOTH), "train": Need()}

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        own, train = tables[OWN], tables["train"]
        assert (model.num_classes, own.logits[IDENTITY].shape[1]) == (2, 2)
        assert train.logits[IDENTITY].shape[1] == CLASSES
        assert own.features[IDENTITY].shape[1] == WIDTH
        record = own.records[IDENTITY]
        assert set(record.label) == set(record.pred) == {0, 1}
        return {"top1": float(record.correct.mean())}


def test_only_mapped_classes_compete_in_a_table(
    world: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLE_KINDS, "mapped", Mapped)
    source, network = world.sources["fake"], world.networks["fake"]
    source.labels = [1 + 2 * (i % 2) for i in range(len(source.ids))]
    own = DatasetSpec(
        image_folder=ImageFolder(path="/data"), label_map={"a": 1, "b": 3}, logits="Mapped"
    )
    report = run_plan(plan("mapped", references={"train": "train"}, own=own))
    pixels = np.stack([np.asarray(i) for i in source.images])
    logits = network.forward(torch.from_numpy(pixels[:, None]).float() / 255).logits
    hits = logits[:, [1, 3]].argmax(1) == torch.arange(len(pixels)) % 2
    assert cell(report)["top1"] == pytest.approx(float(hits.double().mean()))


@pytest.mark.parametrize("looks", [0, 16, 17, 20, 30, 43, 59, 60, 76, 77, 79])
def test_a_run_stopped_in_any_dataset_goes_on_to_bit_equal_numbers(
    world: Worlds, tmp_path: Path, looks: int
) -> None:
    with pytest.raises(Stopped):
        run_plan(plan(*ALL), tmp_path, stop=StopAfter(looks))
    for source in world.sources.values():
        source.decoded.clear()
    resumed = run_plan(plan(*ALL), tmp_path)
    assert resumed.cells == straight(*ALL).cells
    assert resumed.provenance.forwards == straight(*ALL).provenance.forwards
    assert not (tmp_path / outputs.CHECKPOINT).exists()
    # Of the first dataset: its batches, nine members, and the batches that `probe` reads itself.
    assert bool(world.sources["fake"].decoded) == (looks < 17 + 9 + 17)
    assert bool(world.sources["train"].decoded) == (looks < 17 + 9 + 17 + 33)


@pytest.mark.parametrize(
    ("call", "fake", "train"),
    [
        (1, 260, 520),
        (33, 4, 520),  # 16 batches of two views are a shard
        (34, 0, 520),
        (67, 0, 264),
        (99, 0, 8),
        (100, 0, 0),
        (101, 0, 0),
    ],
)
def test_a_run_killed_in_any_dataset_goes_on_from_its_last_checkpoint(
    world: Worlds,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
    fake: int,
    train: int,
) -> None:
    names = ("near", "everything", "top1", "moments")
    expected = straight(*names)
    network = world.networks["fake"]

    class Killed(BaseException):
        pass

    def forward(images: Tensor) -> Output:
        if len(network.calls) >= call:
            raise Killed
        return FakeNetwork.forward(network, images)

    monkeypatch.setattr(run, "SAVE_SECONDS", 0)
    network.calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(network, "forward", forward)
        with pytest.raises(Killed):
            run_plan(plan(*names), tmp_path)
    for source in world.sources.values():
        source.decoded.clear()
    assert run_plan(plan(*names), tmp_path).cells == expected.cells
    assert len(world.sources["fake"].decoded) == fake
    assert len(world.sources["train"].decoded) == train


class Fragile(TableMeasurement):
    """Its view breaks in the middle of a shard."""

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((NOISE,), BOTH)

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        del tables, model
        raise AssertionError("there is nothing to compute from")


def test_a_view_lost_in_the_middle_of_a_shard_leaves_no_table_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAX_SHARDS", 2)  # the second shard has two chunks
    monkeypatch.setitem(TABLE_KINDS, "fragile", Fragile)
    seen: list[View] = []

    def breaking(view: View, images: Tensor, ids: Sequence[str], seed: int) -> Tensor:
        seen.append(view)
        if view == NOISE and len(seen) > 96:
            raise ValueError("no more")
        return apply_view(view, images, ids, seed)

    monkeypatch.setattr(execute, "apply_view", breaking)
    names, events = ("fragile", "probe", "agree"), Events()
    items = plan(*names, dataset="train")
    undisturbed = run_plan(items)
    assert undisturbed.cells[0].reason == "ValueError: no more"
    seen.clear()
    with pytest.raises(Stopped):
        run_plan(items, tmp_path, stop=StopAfter(33))
    assert run_plan(items, tmp_path, log=events).cells == undisturbed.cells
    assert events.actions == ["resumed"]


NAMES = ("near", "everything", "top1")


@pytest.fixture
def stopped(world: Worlds, tmp_path: Path) -> Path:
    """The checkpoint of a run that is done with `fake` and one shard into `train`."""
    del world
    with pytest.raises(Stopped):
        run_plan(plan(*NAMES), tmp_path, stop=StopAfter(17 + 3 + 20))
    return tmp_path / outputs.CHECKPOINT


def _resume(path: Path) -> list[object]:
    events = Events()
    resumed = run_plan(plan(*NAMES), path.parent, log=events)
    assert resumed.cells == straight(*NAMES).cells
    return events.actions


def test_an_untouched_one_with_tables_is_gone_on_with(stopped: Path) -> None:
    assert _resume(stopped) == ["resumed"]


@pytest.mark.parametrize(
    "change",
    [
        {"table:fake:features": None},
        {"table:fake:features": np.zeros((260, WIDTH))},
        {"table:fake:features": np.zeros((259, WIDTH), np.float32)},
        {"table:fake:logits": np.zeros((260, WIDTH), np.float32)},
        {"table:fake:surprise": np.zeros((260, WIDTH), np.float32)},
        {"table::features": None},
        {"table::features": np.zeros((520, WIDTH), np.float32)},
        {"table:wild:logits": np.zeros((20, CLASSES), np.float32)},
        {"column:fake:pred": None},
        {"column:fake:pred": np.zeros(259, np.int64)},
        {"column:fake:label@noise_sigma0.25": np.zeros(260, np.int64)},
        {"column:nowhere:label": np.zeros(260, np.int64)},
        {"table:fake:features": np.zeros((260, WIDTH), np.uint16)},
    ],
    ids=str,
)
def test_a_forged_one_with_tables_is_refused(
    stopped: Path, change: dict[str, np.ndarray | None]
) -> None:
    forge(stopped, change)
    assert _resume(stopped) == ["refused"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("done", []),
        ("done", ["fake", "train"]),
        ("done", ["fake", "wild"]),
        ("done", ["fake", "elsewhere"]),
        ("dataset", "fake"),
        ("dataset", "wild"),
        ("results", {}),
    ],
)
def test_a_forged_header_with_tables_is_refused(stopped: Path, field: str, value: object) -> None:
    header = json.loads(load(stopped.read_bytes()[65:])["header"].tobytes())
    assert header["done"] == ["fake"]
    data = json.dumps({**header, field: value}).encode()
    forge(stopped, {"header": np.frombuffer(data, np.uint8)})
    assert _resume(stopped) == ["refused"]
