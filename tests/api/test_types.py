"""The types as a judge without any API server: the same table, and what only they can see."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from interplay_api.base import MAX_PARAMETER_BYTES
from tests.api.manifests import bad_manifests, edited, everything, verdict


def test_everything_is_good() -> None:
    assert [verdict(item) for item in everything()] == [""] * len(everything())


@pytest.mark.parametrize("case", bad_manifests(), ids=lambda c: c.id)
def test_bad_manifest_is_refused_by_name(case: Any) -> None:
    said = verdict(case.manifest)
    assert bool(said) == (case.judge != "server")
    if said:
        assert case.field in said
        assert case.text in said
        assert "\n" not in said


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "NaN and infinity"),
        (datetime.date(2026, 1, 1), "JSON values only"),
        ({1, 2}, "JSON values only"),
        ("x" * MAX_PARAMETER_BYTES, "at most 4096"),
        (_nested(100), "x is nested more than 3 deep"),
        (_nested(100_000), "x is nested more than 3 deep"),
    ],
    ids=["nan", "infinity", "date", "set", "large", "deep", "bottomless"],
)
def test_parameters_are_small_json(value: Any, text: str) -> None:
    said = verdict(edited(everything("Measurement")[0], {"spec.parameters.x": value}))
    assert said.startswith("spec.parameters: ")
    assert text in said


def test_what_the_api_server_would_store_is_what_is_read() -> None:
    evaluation = everything("Evaluation")[0]
    changed = edited(evaluation, {"spec.parallelism": 2.0, "spec.outputs": None})
    assert verdict(changed) == ""
    assert verdict(edited(evaluation, {"spec.parallelism": float("nan")})).startswith(
        "spec.parallelism: "
    )
