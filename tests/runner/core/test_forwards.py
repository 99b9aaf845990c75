"""What each measurement of the library adds to the shared pass, counted on a real model.

Aspects: class F adds no forward and no decode; T one forward per new view; what reads several
datasets or two models, each once; own work is at most what is declared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from interplay_api.catalog import Catalog, Entry, Layer, builtin_layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.library import MeasurementSpec, ModelSpec
from interplay_api.plan import Plan, PlanDataset, PlanModel
from interplay_api.resolve import resolve
from interplay_runner import data, registry, run
from interplay_runner.measurement import (
    GRADIENT,
    IDENTITY,
    OWN,
    Measurement,
    ModelInfo,
    Need,
    Network,
    Output,
    Record,
    RecordMeasurement,
    TableMeasurement,
    View,
)
from interplay_runner.models import LoadedModel, load_model
from interplay_runner.run import run_plan

BATCH = 64
"""Also the limit: one forward of the model is one view of one dataset."""
MODEL = "digits-resnet-plain"
DEEP = 200
"""Forwards per image; what works more is left out here, since that takes minutes."""
LIBRARY = builtin_layer()
SPECS = {
    e.name: MeasurementSpec.model_validate(e.spec) for e in Catalog([LIBRARY]).all("Measurement")
}


class Plain(RecordMeasurement):
    """Reads the plain images, so that their pass is there anyway."""

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need(labels=False)

    def compute(self, records: Mapping[View, Record]) -> dict[str, float]:
        return {"rows": float(len(records[IDENTITY].ids))}


class Counted:
    """A network that counts calls, and the work of the model under measurement in forwards."""

    def __init__(self, network: Network, bench: Bench) -> None:
        self.network, self.info, self.bench = network, network.info, bench

    def _count(self, images: Tensor) -> None:
        self.bench.forwards += 1
        graded = torch.is_grad_enabled() and images.requires_grad
        self.bench.work += (GRADIENT if graded else 1) * len(images) / BATCH

    def forward(self, images: Tensor) -> Output:
        self._count(images)
        return self.network.forward(images)

    def forward_layers(self, images: Tensor) -> Output:
        self._count(images)
        return self.network.forward_layers(images)


class CountedSource:
    """A source that counts how often each sample is decoded."""

    def __init__(self, item: PlanDataset, bench: Bench) -> None:
        self.source, self.name, self.bench = opened(item.model_dump_json()), item.name, bench
        self.ids, self.num_classes = self.source.ids, self.source.num_classes
        self.columns, self.label_sets = self.source.columns, self.source.label_sets

    def load(self, index: int) -> tuple[Image, int]:
        self.bench.decodes[self.name, self.ids[index]] += 1
        return self.source.load(index)


@cache
def opened(item: str) -> data.Source:
    return data.open_source(PlanDataset.model_validate_json(item))


@cache
def loaded(name: str) -> LoadedModel:
    entry = Catalog([LIBRARY]).find("Model", name)
    assert entry is not None
    spec = ModelSpec.model_validate(entry.spec)
    return load_model(PlanModel(name=name, spec=spec), "cpu", "fp32")


@dataclass(frozen=True)
class Counts:
    """Batches forwarded, their work in forwards, and how often each sample was decoded."""

    forwards: int
    work: float
    decodes: Counter[tuple[str, str]]


class Bench:
    """Runs measurements of the library beside `plain`, on the datasets that one of them has."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        real = registry.load_measurement

        def load(model: PlanModel, device: str, precision: str) -> LoadedModel:
            del device, precision
            whole = loaded(model.name)
            return replace(whole, network=Counted(whole.network, self))

        def open_source(item: PlanDataset, root: Path) -> CountedSource:
            del root
            return CountedSource(item, self)

        patch.setattr(run, "load_model", load)
        patch.setattr(run, "open_source", open_source)
        patch.setattr(
            registry, "load_measurement", lambda name: Plain if name == "plain" else real(name)
        )

    def count(self, names: Sequence[str], datasets: Sequence[str]) -> Counts:
        self.forwards, self.work = 0, 0.0
        self.decodes: Counter[tuple[str, str]] = Counter()
        plan = self.plan(["plain", *names], datasets)
        report = run_plan(plan)
        states = {c.measurement: r for c, r in zip(plan.cells, report.cells, strict=True)}
        assert {n: r.reason for n, r in states.items() if r.state == "Failed"} == {}
        return Counts(self.forwards, self.work, self.decodes)

    @staticmethod
    def plan(names: Sequence[str], datasets: Sequence[str]) -> Plan:
        plain = {"category": "property", "entryPoint": "plain", "datasets": list(datasets)}
        catalog = Catalog([Layer("test", [Entry("Measurement", "plain", plain)]), LIBRARY])
        spec = {
            "models": [{"name": MODEL}],
            "measurements": {"names": list(names)},
            "overrides": {"limit": BATCH, "batchSize": BATCH},
        }
        evaluation = EvaluationSpec.read(spec)
        return resolve("counted", "n", evaluation, catalog, image="i").runs[0].spec.plan


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def measurement(name: str) -> Measurement:
    """As the library has it."""
    cell, *_ = (c for c in Bench.plan([name], ["digits"]).cells if c.measurement == name)
    return registry.build(cell, 0)


def needs(name: str) -> dict[str, Need]:
    """What it needs of each role's dataset."""
    item, spec = measurement(name), SPECS[name]
    info = loaded(MODEL).network.info
    if spec.reference_model is not None:
        info = replace(info, reference=loaded(spec.reference_model).network.info)
    if isinstance(item, TableMeasurement):
        return dict(item.needs(info))
    return {OWN: item.need(info)}


def of(*costs: str) -> list[str]:
    """The measurements of some cost classes, by name; a timing runs for a time, not for a count."""
    kinds = {n: registry.load_measurement(s.entry_point) for n, s in sorted(SPECS.items())}
    return [name for name, kind in kinds.items() if kind.cost in costs and kind.repeatable]


@pytest.mark.parametrize("name", of("F"))
def test_class_f_adds_no_forward_and_no_decode(bench: Bench, name: str) -> None:
    datasets = SPECS[name].datasets
    before, after = bench.count([], datasets), bench.count([name], datasets)
    assert after == before
    assert after.forwards == len(datasets)
    assert set(after.decodes.values()) == {1}


def test_all_of_class_f_together_add_nothing_either(bench: Bench) -> None:
    names = [n for n in of("F") if SPECS[n].datasets == ["digits"]]
    assert len(names) > 10
    assert bench.count(names, ["digits"]) == bench.count([], ["digits"])


@pytest.mark.parametrize("name", of("T"))
def test_class_t_adds_its_new_views(bench: Bench, name: str) -> None:
    datasets = SPECS[name].datasets
    new = set(needs(name)[OWN].views) - {IDENTITY}
    before, after = bench.count([], datasets), bench.count([name], datasets)
    assert new
    assert after.forwards == before.forwards + len(new) * len(datasets)
    assert after.decodes == before.decodes


@pytest.mark.parametrize("name", of("D", "L", "F+D", "T+D", "D+L", "F+L"))
def test_each_image_of_every_dataset_and_model_counts_once(bench: Bench, name: str) -> None:
    spec = SPECS[name]
    seen = {(d, IDENTITY) for d in spec.datasets}
    for role, need in needs(name).items():
        for dataset in [spec.references[role]] if role else spec.datasets:
            seen |= {(dataset, view) for view in need.views}
    after = bench.count([name], spec.datasets)
    assert after.forwards == len(seen)
    assert set(after.decodes.values()) == {1}
    assert {dataset for dataset, _ in after.decodes} == {dataset for dataset, _ in seen}


@pytest.mark.parametrize("name", of("G"))
def test_own_work_is_at_most_what_is_declared(bench: Bench, name: str) -> None:
    item, datasets = measurement(name), SPECS[name].datasets
    declared = item.forwards(loaded(MODEL).network.info)
    assert declared is not None, "of the library every one declares it"
    assert declared > 0
    if declared > DEEP:
        return
    before, after = bench.count([], datasets), bench.count([name], datasets)
    own = after.work - before.work
    assert 0 < own <= declared * len(datasets) * (1 + 1e-9)
    assert set(after.decodes.values()) == {1}
