"""A short, seeded selection of the hostile input; `make faults` runs all of it."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import hostile_access, hostile_reports, hostile_specs
from tests.faults.record import Fault
from tests.faults.registry import Round, load
from tests.faults.world import World, missing

SEED = 20_260_102


def test_types_and_crds_agree_on_generated_manifests() -> None:
    print(f"seed {SEED}")
    said = [
        (case.what, text)
        for case in hostile_specs.cases(random.Random(SEED), 500)
        if (text := hostile_specs.disagreement(case.item, *hostile_specs.judged(case.item)))
    ]
    assert said == []


def test_hostile_reports_are_refused_or_harmless() -> None:
    print(f"seed {SEED}")
    said = [
        (case.what, text)
        for case, must_refuse in hostile_reports.cases(random.Random(SEED), 300)
        if (text := hostile_reports.verdict_on(case, must_refuse))
    ]
    assert said == []


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One API server for all rounds."""
    if reason := missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        made = World(Path(folder))
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.apiserver
@pytest.mark.parametrize("name", ["F32", "S03"])
def test_a_live_operator_bears_it(world: World, name: str) -> None:
    assert_survived(load()[name].run(world, Round(name, 0, SEED)))


@pytest.mark.apiserver
def test_a_restricted_namespace_admits_our_pods(world: World) -> None:
    assert_survived(hostile_access.admission(world, Round("S07", 0, SEED)))


def assert_survived(faults: list[Fault]) -> None:
    """Every promise was kept under each of them."""
    assert faults
    assert [(f.point, f.violations) for f in faults if not f.survived] == []
