"""Names to code, over real entry points of the installed distribution."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from interplay_api.plan import Cell
from interplay_runner import registry
from interplay_runner.errors import PlanError
from interplay_runner.measurement import RecordMeasurement


def _cell(**fields: Any) -> Cell:
    given = {"entry_point": "top-k", "category": "benefit", "numerics": 1, "parameters": {}}
    return Cell(measurement="m", dataset="d", key="0" * 64, **{**given, **fields})


def test_a_registered_name_becomes_a_measurement_with_its_parameters() -> None:
    built = registry.build(_cell(parameters={"ks": [1, 2]}), seed=3)
    assert isinstance(built, RecordMeasurement)
    assert (built.seed, tuple(built.params.ks)) == (3, (1, 2))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"entry_point": "top-q"}, "entryPoint: no measurement is registered as top-q; did you"),
        ({"numerics": 9}, "numerics: the plan says 9, top-k is at "),
        ({"category": "property"}, "category: the plan says property, top-k is a benefit"),
        ({"parameters": {"kz": 1}}, "parameters.kz: unknown field"),
    ],
)
def test_a_cell_that_cannot_be_built_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        registry.build(_cell(**fields), seed=0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:Thing", "bad cannot be loaded: ModuleNotFoundError"),
        ("json:dumps", "bad is not a Measurement"),
    ],
)
def test_foreign_code_that_is_no_measurement_is_refused(
    monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    bad = EntryPoint("bad", target, registry.GROUP)
    monkeypatch.setattr(registry, "_registered", lambda: {"bad": bad})
    with pytest.raises(PlanError, match=message):
        registry.load_measurement("bad")
