"""Reports from hostile pods: refused with one line, whatever they say."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from interplay_api.report import ReportError, Value, encode_log, parse_report
from interplay_operator.results import Expected, in_log, take
from tests.operator.builders import report, resolved, run

RUN = run(resolved(measurements={"names": ["calibration", "top1"]})[0])
SEED = 20_260_102


def expected(**changed: Any) -> Expected:
    fields = {
        "run_uid": RUN.meta.uid,
        "pod_uid": "pod-1",
        "attempt": 1,
        "plan": RUN.spec.plan,
        "spec": RUN.spec,
        "copied": (),
    }
    return Expected(**{**fields, **changed})


def raw() -> dict[str, Any]:
    """The honest report as plain JSON."""
    packed = report(RUN).split(" ")[2]
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def message(data: bytes) -> str:
    """A well-formed termination message around any bytes."""
    packed = base64.b64encode(zlib.compress(data)).decode()
    return f"interplay-report/1 {hashlib.sha256(data).hexdigest()} {packed}"


def test_an_honest_report_is_taken_under_the_plans_names() -> None:
    taken = take(expected(), report(RUN), None)
    assert [c.measurement for c in taken.cells] == ["calibration", "top1"]
    assert taken.cells[1].values[0].key == "digits_test_top1_top1"
    assert len(taken.sha256) == 64


LIES: dict[str, Callable[[], str]] = {
    "another ModelRun": lambda: report(RUN, modelrun_uid="other"),
    "another pod": lambda: report(RUN, pod_uid="pod-2"),
    "another attempt": lambda: report(RUN, attempt=2),
    "another plan": lambda: report(RUN, plan_digest="0" * 64),
    "too few cells": lambda: report(RUN, cells=[]),
    "nothing": lambda: "",
    "words": lambda: "all good, top-1 is 100 %",
    "no base64": lambda: f"interplay-report/1 {'0' * 64} ***",
    "wrong digest": lambda: report(RUN).replace(report(RUN).split(" ")[1], "0" * 64),
    "not JSON": lambda: message(b"{"),
    "NaN": lambda: message(json.dumps(raw()).replace("0.75", "NaN").encode()),
    "too large a number": lambda: message(json.dumps(raw()).replace("0.75", "1e400").encode()),
    "a huge integer": lambda: message(json.dumps(raw()).replace("100", "9" * 5000).encode()),
    "deep": lambda: message(b"[" * 10_000 + b"]" * 10_000),
    "a bomb": lambda: message(b"[" + b" " * 50_000_000 + b"]"),
    "a key twice": lambda: message(b'{"version":1,"version":1}'),
    "more fields": lambda: message(json.dumps({**raw(), "token": "x"}).encode()),
    "labels": lambda: message(json.dumps(raw()).replace("top1_top1", 'x\\",a=\\"b').encode()),
    "the same value twice": lambda: report(
        RUN, [Value(metric="m", value=1.0, n=1), Value(metric="m", value=2.0, n=1)]
    ),
    "no value and no reason": lambda: report(RUN, [Value(metric="m", n=1)]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_in_one_line(lie: str) -> None:
    with pytest.raises(ReportError) as caught:
        take(expected(), LIES[lie](), None)
    text = str(caught.value)
    assert text.startswith("report: ")
    assert "\n" not in text
    assert len(text) <= 400


def test_damage_never_raises_anything_else() -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    good = report(RUN)
    for _ in range(1000):
        bad = list(good)
        for _ in range(dice.randint(1, 4)):
            bad[dice.randrange(len(bad))] = chr(dice.randrange(1, 255))
        text = "".join(bad)[: dice.choice((len(good), dice.randrange(len(good))))]
        try:
            taken = take(expected(), text, None)
        except ReportError:
            continue
        assert taken.cells == take(expected(), good, None).cells


def test_what_did_not_fit_is_found_in_the_log_by_its_digest() -> None:
    packed = report(RUN).split(" ")
    data = zlib.decompress(base64.b64decode(packed[2]))
    assert parse_report(data).attempt == 1
    for said in (f"{packed[0]} {packed[1]} overflow", report(RUN)[:200]):
        assert in_log(said) == packed[1]
        log = "\n".join(["{}", *encode_log(data), '{"event":"end"}'])
        assert take(expected(), said, log).cells == take(expected(), report(RUN), None).cells
        with pytest.raises(ReportError, match="0 of 0 parts"):
            take(expected(), said, "nothing")
    assert in_log(report(RUN)) == ""
