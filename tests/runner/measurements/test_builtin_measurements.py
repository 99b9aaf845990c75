"""The built-in library and the code behind it agree, and every number of a version stays."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.library import MeasurementGroupSpec, MeasurementSpec
from interplay_api.plan import Cell
from interplay_api.report import Value as Published
from interplay_cli.tables import HEADLINES
from interplay_runner.measurement import (
    Batch,
    BatchMeasurement,
    Measurement,
    RecordMeasurement,
    StreamMeasurement,
    Value,
)
from interplay_runner.registry import build, load_measurement
from interplay_runner.views import apply_view
from tests.runner.measurements.builders import Linear, ids, info, record, stream, values

GOLDEN = Path(__file__).parent / "golden.json"
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
            parameters=spec.parameters,
            key="0" * 64,
        ),
        0,
    )


@cache
def run(name: str, rows: int = 7) -> dict[str, Value]:
    """Its values for a fixed linear network on fixed blobs of 12 x 12 pixels."""
    item = measurement(name)
    generator = torch.Generator().manual_seed(11)
    network = Linear(torch.randn(432, 10, generator=generator) / 6)
    labels = torch.randint(0, 10, (N,), generator=generator)
    pattern = torch.rand(10, 3, 12, 12, generator=generator)
    images = 0.6 * pattern[labels] + 0.4 * torch.rand(N, 3, 12, 12, generator=generator)
    labels = torch.where(
        torch.rand(N, generator=generator) < 0.2, labels, network.forward(images).logits.argmax(1)
    )
    views = item.need(info(features=40)).views
    outputs = {v: network.forward(apply_view(v, images, ids(N), 0)) for v in views}
    if isinstance(item, RecordMeasurement):
        return values(item.compute({v: record(o.logits, labels) for v, o in outputs.items()}))
    if isinstance(item, StreamMeasurement):
        reduced = {v: o.features[:, :40].relu() for v, o in outputs.items()}
        return stream(item, reduced, rows=rows)
    assert isinstance(item, BatchMeasurement)
    return values(item.compute(item.run_batch(network, Batch(ids(N), images, labels, N))))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_values_of_a_version_stay(name: str) -> None:
    """Golden values hold `numerics`: where one changes on purpose, raise it, then run with
    UPDATE_GOLDEN=1."""
    item = measurement(name)
    got = {k: v.value for k, v in run(name).items()}
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        stored[name] = {"numerics": item.numerics, "values": got}
        GOLDEN.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    assert stored[name]["numerics"] == item.numerics
    assert got == pytest.approx(stored[name]["values"], abs=1e-6)
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
    assert set(groups["digits"]) == set(SPECS)
    assert set(groups["base"]) < set(SPECS)
    metrics: list[tuple[str, str]] = []
    for name, spec in SPECS.items():
        assert load_measurement(spec.entry_point).__doc__
        for metric, value in run(name).items():
            Published(metric=metric, value=value.value, n=value.n, method=value.method)
            metrics += [(d, metric) for d in spec.datasets]
    assert len(set(metrics)) == len(metrics)
    assert set(HEADLINES) <= {m for _, m in metrics}
