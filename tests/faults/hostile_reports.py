"""F31, first half: 1,000 reports of a hostile pod, through the code that reads them."""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

from interplay_api.modelrun import ModelRunStatus
from interplay_api.report import ReportError
from interplay_operator.results import Expected, Taken, take
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.reports import Said, lies, mutations
from tests.faults.structural import problems
from tests.faults.world import World
from tests.operator import builders

__all__ = ["cases", "expected", "honest", "offline", "verdict_on"]

PER_ROUND = 1000
SLOW_SECONDS, LARGE_BYTES = 1.0, 64 * 2**20
"""Of processor time and of memory, that one report may take."""
MAX_TEXT = 400
RUN = builders.run(builders.resolved(measurements={"names": ["calibration", "top1"]})[0])


def expected() -> Expected:
    """Who may report on the honest run."""
    plan = RUN.spec.plan
    return Expected(RUN.meta.uid, "pod-1", 1, plan, RUN.spec, ())


def honest() -> dict[str, Any]:
    """The honest report as plain JSON."""
    packed = builders.report(RUN).split(" ")[2]
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def cases(dice: random.Random, count: int) -> Iterator[tuple[Said, bool]]:
    """All lies, then damage; and whether it must be refused."""
    raw = honest()
    yield from itertools.islice(
        itertools.chain(
            ((said, True) for said in lies(raw)), ((said, False) for said in mutations(raw, dice))
        ),
        count,
    )


def verdict_on(said: Said, must_refuse: bool) -> str:
    """What is wrong with how a report was taken, or nothing."""
    try:
        taken = take(expected(), said.message, said.log)
    except ReportError as error:
        text = str(error)
        right = text.startswith("report: ") and "\n" not in text and len(text) <= MAX_TEXT
        return "" if right else f"it was refused with {text[:80]!r}"
    except Exception as error:
        return f"it raised {error!r}"[:200]
    if must_refuse:
        return "it was believed"
    return _impossible(taken)


def _impossible(taken: Taken) -> str:
    """What no believed report may lead to: numbers that are none, or a write that is refused."""
    for cell, planned in zip(taken.cells, RUN.spec.plan.cells, strict=True):
        if (cell.measurement, cell.key) != (planned.measurement, planned.key):
            return f"{cell.measurement} is not {planned.measurement}"
        for value in cell.values:
            numbers = [v for v in (value.value, value.low, value.high, value.null) if v is not None]
            if not all(math.isfinite(v) for v in numbers):
                return f"{value.key} is not finite"
    status = ModelRunStatus(cells=list(taken.cells), provenance=taken.provenance)
    found = problems({"kind": "ModelRun", "spec": {}, "status": status.wire()}, "status")
    return f"its status would be refused: {found[0]}" if found else ""


@campaign("F31a", "Hostile reports, read", quick=1, full=1, kind="input")
def offline(world: World, round_: Round) -> list[Fault]:
    """No server is asked."""
    del world
    faults = []
    for said, must_refuse in cases(round_.dice, PER_ROUND):
        fault = round_.fault(said.what)
        begun = time.process_time()
        if wrong := verdict_on(said, must_refuse):
            fault.violations.append(f"I9: {wrong}")
        if (took := time.process_time() - begun) > SLOW_SECONDS:
            fault.violations.append(f"I8: it took {took:.1f} s")
        if must_refuse and (size := _peak(said)) > LARGE_BYTES:
            fault.violations.append(f"I8: it took {size >> 20} MiB")
        faults.append(fault)
    return faults


def _peak(said: Said) -> int:
    tracemalloc.start()
    try:
        verdict_on(said, True)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
