"""What measurements answer, made fit for a report: table of odd answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from interplay_runner.measurement import UnmeasurableError, Value
from interplay_runner.reporting import cell_of, failed, reason_of

ODD: dict[str, tuple[Any, float | None, str | None]] = {
    "bare float": (0.5, 0.5, None),
    "numpy": (np.float32(0.5), 0.5, None),
    "tensor": (torch.tensor(0.5), 0.5, None),
    "nan": (math.nan, None, "the number is not finite"),
    "infinite interval": (Value(0.5, 3, 0.0, math.inf), None, "its interval is not finite"),
    "absent": (Value(None, 3, reason="too few"), None, "too few"),
    "absent without a word": (Value(None, 3), None, "no reason was given"),
    "a reason wins": (Value(0.5, 3, reason="wrong"), None, "wrong"),
    "null that is not finite": (Value(0.5, 3, null=math.nan), 0.5, None),
}


@pytest.mark.parametrize("case", ODD)
def test_a_value_is_finite_or_absent_with_a_reason(case: str) -> None:
    given, value, reason = ODD[case]
    cell = cell_of({"m": given}, 7)
    assert cell.state == "Succeeded"
    (found,) = cell.values
    assert (found.value, found.reason) == (value, reason)
    assert found.n in (3, 7)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "the measurement gave no values"),
        ({"Top-1": 0.5}, "'Top-1': metric: String should match pattern"),
        ({"m": Value(0.5, -1)}, "-1: n: Input should be greater than or equal to 0"),
        ({f"m{i}": 0.5 for i in range(513)}, "values: List should have at most 512 items"),
    ],
)
def test_what_no_report_can_hold_fails_the_cell(values: dict[str, Any], reason: str) -> None:
    cell = cell_of(values, 7)
    assert cell.state == "Failed"
    assert reason in (cell.reason or "")


def test_reasons_are_one_bounded_line() -> None:
    assert reason_of(UnmeasurableError("needs\n3 classes")) == "needs 3 classes"
    assert reason_of(KeyError()) == "KeyError"
    assert len(failed("x" * 999).reason or "") == 300
