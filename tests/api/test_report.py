"""Reports: both ways out of a pod give the same bytes, and hostile ones are refused in one line."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from interplay_api.constants import MAX_LOG_LINE, MAX_RUN_STATUS_BYTES, MAX_TERMINATION_BYTES
from interplay_api.plan import Plan
from interplay_api.report import (
    CellResult,
    Provenance,
    Report,
    ReportError,
    Value,
    decode_log,
    decode_termination,
    encode_log,
    encode_report,
    encode_termination,
    parse_report,
)
from interplay_api.results import cell_statuses, model_result
from tests.api.manifests import Object, edited, everything

MARK = "interplay-report/1"
PLAN = Plan.read(everything("ModelRun")[0]["spec"]["plan"])


def report(values: int = 1, digits: int = 17, **cell: Any) -> Report:
    rng = random.Random(7)
    made = [
        Value(metric=f"m{i}", value=round(rng.random(), digits), n=600, method="wilson")
        for i in range(values)
    ]
    cells = [CellResult(state="Succeeded", values=made, **cell), CellResult(state="Succeeded")]
    return Report(plan_digest=PLAN.digest(), cells=cells, provenance=Provenance(device="cpu"))


GOOD = json.loads(encode_report(report()))


@pytest.mark.parametrize("values", [0, 1, 60, 500])
def test_a_report_survives_both_ways_out_of_a_pod(values: int) -> None:
    data = encode_report(report(values))
    message = encode_termination(data)
    assert len(message) <= MAX_TERMINATION_BYTES
    assert message.isascii()
    sha, inline = decode_termination(message.decode())
    assert inline == data if values < 100 else inline is None
    lines = encode_log(data)
    assert max(map(len, lines)) <= MAX_LOG_LINE
    random.Random(3).shuffle(lines)
    noise = ["noise", "", f"{MARK} {'0' * 64} 1/1 AAAA", f"{MARK} {sha}"]
    assert decode_log([*noise, *lines, *lines], sha) == data
    assert parse_report(data).cells[0].values[-1:] == report(values, 9).cells[0].values[-1:]


def test_120_values_fit_the_termination_message() -> None:
    rng = random.Random(1)
    values = []
    for i in range(120):
        at = rng.random()
        metric, low, high = f"noise_top1_sigma0p{i}", at - 0.02, at + 0.02
        values.append(Value(metric=metric, value=at, n=600, low=low, high=high, method="wilson"))
    made = Report(plan_digest="a" * 64, cells=[CellResult(state="Succeeded", values=values)])
    sha, inline = decode_termination(encode_termination(encode_report(made)).decode())
    assert inline is not None, sha


def _message(data: bytes, packed: bytes = b"") -> str:
    sha = hashlib.sha256(data).hexdigest()
    return f"{MARK} {sha} {base64.b64encode(packed or zlib.compress(data)).decode()}"


BOMB = zlib.compress(b"0" * MAX_RUN_STATUS_BYTES * 2, 9)
MESSAGES = {
    "empty": "",
    "another text": "Killed",
    "another mark": _message(b"{}").replace("/1", "/2"),
    "digest short": f"{MARK} abc overflow",
    "not base64": f"{MARK} {'a' * 64} %%%",
    "not ASCII": f"{MARK} {'a' * 64} é",
    "not zlib": _message(b"{}", b"{}"),
    "cut": _message(b"{}", zlib.compress(b"{}")[:-2]),
    "other digest": _message(b"{}", zlib.compress(b"[]")),
    "bomb": _message(b"", BOMB),
    "a word too many": _message(b"{}") + " x",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_hostile_termination_message_is_refused(message: str) -> None:
    with pytest.raises(ReportError, match=r"^report: .{1,200}$"):
        decode_termination(message)


SHA = hashlib.sha256(b"{}").hexdigest()
PART = base64.b64encode(zlib.compress(b"{}")).decode()
LOGS = {
    "nothing": [],
    "part missing": [f"{MARK} {SHA} 1/2 {PART}"],
    "part zero": [f"{MARK} {SHA} 0/1 {PART}"],
    "digits of another script": [f"{MARK} {SHA} ²/² {PART}"],
    "a billion parts": [f"{MARK} {SHA} 1/1000000000 {PART}"],
    "other content": [f"{MARK} {SHA} 1/1 {base64.b64encode(zlib.compress(b'[]')).decode()}"],
    "bomb": [f"{MARK} {SHA} 1/1 {base64.b64encode(BOMB).decode()}"],
}


@pytest.mark.parametrize("lines", LOGS.values(), ids=LOGS)
def test_hostile_log_is_refused(lines: list[str]) -> None:
    with pytest.raises(ReportError, match=r"^report: .{1,200}$"):
        decode_log(lines, SHA)


def _hostile() -> Iterator[tuple[str, bytes]]:
    text = json.dumps(GOOD)
    yield "empty", b""
    yield "not JSON", b"{"
    yield "a list", b"[]"
    yield "not ASCII", text.replace("cpu", "é").encode()
    yield "random bytes", random.Random(5).randbytes(4096)
    yield "large", text.encode() + b" " * MAX_RUN_STATUS_BYTES * 2
    yield "keys without end", json.dumps({str(i): 0 for i in range(100)}).encode()
    yield "items without end", b'{"cells":[' + b"[]," * 300_000 + b"[]]}"
    yield "a line in a key", json.dumps({**GOOD, "a\nb": 1}).encode()
    yield "deep", text.replace('"cpu"', "[" * 5000 + "]" * 5000).encode()
    yield "open strings", b'{"' + b'\\"' * 500_000
    yield "key twice", text.replace('"attempt": 0', '"attempt": 0, "attempt": 0').encode()
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000):
        yield number[:9], text.replace('"n": 600', f'"low": {number}, "n": 600').encode()
    changes: dict[str, Any] = {
        "version": 2,
        "planDigest": "x",
        "attempt": -1,
        "cells": [],
        "cells.0.state": "Great",
        "cells.0.secret": 1,
        "cells.0.values.0.metric": "../x",
        "cells.0.values.0.value": "0.5",
        "cells.0.values.0.n": True,
        "cells.0.reason": "x" * 301,
        "podUid": "x" * 65,
        "provenance.forwards": 2**63,
        "provenance.seconds": {str(i): 1.0 for i in range(25)},
    }
    for path, value in changes.items():
        if path != "cells":
            yield f"{path}={value!r}"[:40], json.dumps(edited(GOOD, {path: value})).encode()
    too_many = edited(GOOD, {"cells": GOOD["cells"] * 200})
    yield "cells without end", json.dumps(too_many).encode()


HOSTILE = dict(_hostile())


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_report_is_refused_in_one_line_and_at_once(data: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(ReportError, match=r"^report: [^\n]{1,292}$"):
        parse_report(data)
    assert time.process_time() - begun < 2


def test_brackets_inside_text_are_no_nesting() -> None:
    reason = 'expected [[[[[[[[[[[[[[ \\" [['
    assert parse_report(encode_report(report(reason=reason))).cells[0].reason == reason


def test_texts_of_a_pod_are_one_printable_line() -> None:
    said = "bad\nname \x1b[31m\u202egnp.exe\x00"
    cells = [CellResult(state="Failed", reason=said, values=[Value(metric="m", reason=said)])]
    made = Report(plan_digest="a" * 64, cells=cells, provenance=Provenance(device=said))
    parsed = parse_report(encode_report(made))
    clean = "bad name [31m gnp.exe"
    assert parsed.cells[0].reason == parsed.cells[0].values[0].reason == clean
    assert parsed.provenance.device == clean


def test_names_and_keys_come_from_the_plan() -> None:
    statuses = cell_statuses(PLAN, report(2))
    assert [(s.measurement, s.dataset, s.key) for s in statuses] == [
        (c.measurement, c.dataset, c.key) for c in PLAN.cells
    ]
    assert [v.key for v in statuses[0].values] == ["flowers_test_m0", "flowers_test_m1"]
    row = model_result("resnet", statuses)
    assert list(row.values) == ["flowers_test_m0", "flowers_test_m1"]


def _other(**changes: Any) -> Report:
    return report().model_copy(update=changes)


TWICE = CellResult(state="Succeeded", values=[Value(metric="m", value=1.0)] * 2)
EMPTY = CellResult(state="Succeeded", values=[Value(metric="m")])
REFUSED: dict[str, tuple[Report, str]] = {
    "another plan": (_other(plan_digest="b" * 64), "another plan"),
    "a cell too few": (_other(cells=[TWICE]), "1 cells for 2"),
    "one key twice": (_other(cells=[TWICE, CellResult(state="Succeeded")]), "flowers_test_m"),
    "neither number nor reason": (_other(cells=[EMPTY, EMPTY]), "neither a value nor a reason"),
}


@pytest.mark.parametrize(("made", "text"), REFUSED.values(), ids=REFUSED)
def test_a_report_that_does_not_fit_its_plan_is_refused(made: Report, text: str) -> None:
    with pytest.raises(ReportError, match=text):
        cell_statuses(PLAN, made)


def test_absent_values_stand_in_the_cell_and_not_in_the_table() -> None:
    absent: Object = {"metric": "top5", "reason": "fewer than 5 classes"}
    cells = [CellResult(state="Succeeded", values=[Value.read(absent)]), report().cells[1]]
    statuses = cell_statuses(PLAN, _other(cells=cells))
    assert statuses[0].values[0].reason == "fewer than 5 classes"
    assert model_result("m", statuses).values == {}
