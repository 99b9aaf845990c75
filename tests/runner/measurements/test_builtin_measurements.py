"""The built-in library and the code behind it agree, and every number of a version stays."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.library import MeasurementGroupSpec, MeasurementSpec
from interplay_api.plan import Cell
from interplay_api.report import Value as Published
from interplay_cli.tables import HEADLINES
from interplay_runner.measurement import (
    IDENTITY,
    Batch,
    BatchMeasurement,
    FreeMeasurement,
    Head,
    Measurement,
    Need,
    Network,
    Output,
    RecordMeasurement,
    StreamMeasurement,
    Table,
    TableMeasurement,
    Value,
    View,
)
from interplay_runner.registry import build, load_measurement
from interplay_runner.views import apply_view
from tests.runner.measurements.builders import Linear, ids, info, record, stream, values

GOLDEN = Path(__file__).parent / "golden"
"""One file per measurement of the library."""
N = 240
CATALOG = Catalog([builtin_layer()])
SPECS = {e.name: MeasurementSpec.model_validate(e.spec) for e in CATALOG.all("Measurement")}


def measurement(name: str) -> Measurement:
    spec = SPECS[name]
    return build(
        Cell(
            measurement=name,
            dataset=spec.datasets[0],
            entry_point=spec.entry_point,
            category=spec.category,
            numerics=spec.numerics,
            repeatable=spec.repeatable,
            parameters=spec.parameters,
            key="0" * 64,
        ),
        0,
    )


@dataclass(frozen=True)
class Scene:
    """Blobs of 12 x 12 pixels, a linear network that mostly knows them, and columns."""

    network: Linear
    images: Tensor
    labels: Tensor

    @classmethod
    @cache
    def of(cls, number: int) -> Scene:
        """Each number has other images of the same kind, for the same network."""
        generator = torch.Generator().manual_seed(11)
        network = Linear(torch.randn(432, 10, generator=generator) / 6)
        labels = torch.randint(0, 10, (N,), generator=generator)
        pattern = torch.rand(10, 3, 12, 12, generator=generator)
        if number:
            generator = torch.Generator().manual_seed(number)
            labels = torch.randint(0, 10, (N,), generator=generator)
        images = 0.6 * pattern[labels] + 0.4 * torch.rand(N, 3, 12, 12, generator=generator)
        said = network.forward(images).logits.argmax(1)
        # What is learnt from needs some of every class; the network says few of them.
        guess = torch.rand(N, generator=generator) < (0.6 if number else 0.2)
        return cls(network, images, torch.where(guess, labels, said))

    def output(self, view: View) -> Output:
        """Features of 40 positive numbers; the reference model has other weights."""
        seen = apply_view(replace(view, model=""), self.images, ids(N), 0)
        output = self.network.forward(seen)
        logits = output.logits.roll(1, dims=0) if view.model else output.logits
        layers = {"first": output.features[:, :12], "second": output.features[:, 8:40].square()}
        first = 20 if view.model else 0
        return Output(logits, output.features[:, first : first + 40].relu(), layers)

    @property
    def meta(self) -> dict[str, npt.NDArray[np.generic]]:
        """Columns like those of the datasets of the library."""
        rng, pixels = np.random.default_rng(3), self.images[:, 0, 0].numpy()
        return {
            "ink": np.array(["light", "medium", "heavy"])[rng.integers(0, 3, N)],
            "factor_shape": np.where(rng.integers(0, 3, N) > 0, 3 * pixels[:, 0], 0) // 1,
            "factor_x": np.where(rng.integers(0, 5, N) > 0, 5 * pixels[:, 1], 0) // 1,
            "shape": self.labels.numpy(),
            "texture": rng.integers(0, 10, N),
        }

    def table(self, need: Need) -> Table:
        """Everything that a table may hold."""
        outputs = {v: self.output(v) for v in need.views}
        records = {v: record(o.logits, self.labels) for v, o in outputs.items()}
        return Table(
            {v: replace(r, meta=self.meta) for v, r in records.items()},
            {v: o.logits for v, o in outputs.items()},
            {v: o.features for v, o in outputs.items()},
        )


@dataclass
class Whole:
    """What a free measurement sees."""

    network: Network
    batch: Batch
    seed: int = 0

    def batches(self) -> list[Batch]:
        return [self.batch]


@cache
def run(name: str, rows: int = 7) -> dict[str, Value]:
    """Its values for a fixed linear network on a fixed scene."""
    item, scene = measurement(name), Scene.of(0)
    head = Head(scene.network.weight[:40].T, torch.zeros(10))
    model = replace(info(features=40), reference=info(features=40), head=head)
    if isinstance(item, TableMeasurement):
        needs = item.needs(model)
        tables = {role: Scene.of(i).table(n) for i, (role, n) in enumerate(needs.items())}
        return values(item.compute(tables, model))
    views = item.need(model).views
    if isinstance(item, RecordMeasurement):
        return values(item.compute(scene.table(Need(views=views)).records))
    if isinstance(item, StreamMeasurement):
        outputs = {v: scene.output(v) for v in views}
        features = {v: o.features for v, o in outputs.items()}
        logits = {v: o.logits for v, o in outputs.items()}
        layers = scene.output(IDENTITY).layers
        return stream(item, features, rows=rows, labels=scene.labels, logits=logits, layers=layers)
    batch = Batch(ids(N), scene.images, scene.labels, N)
    if isinstance(item, FreeMeasurement):
        network = replace(scene.network)
        network.info = replace(network.info, parameters=4320, macs=4320)
        return values(item.measure(Whole(network, batch)))
    assert isinstance(item, BatchMeasurement)
    return values(item.compute(item.run_batch(scene.network, batch)))


@pytest.mark.parametrize("name", [n for n in sorted(SPECS) if measurement(n).repeatable])
def test_values_of_a_version_stay(name: str) -> None:
    """Golden values hold `numerics`: where one changes on purpose, raise it, then run with
    UPDATE_GOLDEN=1."""
    item = measurement(name)
    got = {k: v.value for k, v in run(name).items()}
    file = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        now = {"numerics": item.numerics, "values": got}
        file.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    stored = json.loads(file.read_text())
    assert stored["numerics"] == item.numerics
    assert got == pytest.approx(stored["values"], abs=1e-6)
    assert all(v is not None for v in got.values())


@pytest.mark.parametrize(
    "name", [n for n in sorted(SPECS) if isinstance(measurement(n), StreamMeasurement)]
)
def test_the_pieces_that_come_in_do_not_matter(name: str) -> None:
    whole, pieces = run(name, rows=N), run(name)
    for metric, value in whole.items():
        a, b = ([x.value, x.n, x.low, x.high, x.null or 0] for x in (value, pieces[metric]))
        assert a == pytest.approx(b, abs=1e-9)


def test_every_group_and_every_headline_is_measured_under_one_name() -> None:
    groups = {
        e.name: MeasurementGroupSpec.model_validate(e.spec).measurements
        for e in CATALOG.all("MeasurementGroup")
    }
    assert {m for names in groups.values() for m in names} == set(SPECS)
    assert set(groups["base"]) < set(groups["digits"])
    metrics: list[tuple[str, str]] = []
    for name, spec in SPECS.items():
        assert load_measurement(spec.entry_point).__doc__
        for metric, value in run(name).items():
            Published(metric=metric, value=value.value, n=value.n, method=value.method)
            metrics += [(d, metric) for d in spec.datasets]
    assert len(set(metrics)) == len(metrics)
    assert set(HEADLINES) <= {m for _, m in metrics}
