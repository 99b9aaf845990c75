"""F30, first half: 10,000 generated manifests, judged by the types and by the CRDs alone."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass

from tests.api.manifests import verdict
from tests.apiserver.client import Object
from tests.faults.broken import broken
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.specs import Maker
from tests.faults.structural import problems
from tests.faults.world import World

__all__ = ["Case", "cases", "disagreement", "judged"]

PER_ROUND = 1000
SLOW_SECONDS = 1.0
TYPES_ONLY = (
    # No schema can speak of the names or the size of free parameters.
    r"(args|parameters): \d+ bytes as JSON",
    r"(args|parameters)\..*: String should match pattern",
    r"(args|parameters)\..*: String should have at most",
)
"""What the types alone know."""
BESIDE_NULL = (
    # Kubernetes drops a null from a map before anybody sees it, its key included.
    r": Input should be a valid (string|integer|list|dictionary)",
    r": String should match pattern",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One generated manifest."""

    item: Object
    what: str


def cases(dice: random.Random, count: int) -> list[Case]:
    """A third of them valid, a third at their bounds, and the rest broken."""
    plain, edges = Maker(dice), Maker(dice, edge=0.3)
    found = []
    for number in range(count):
        maker = edges if number % 3 == 1 else plain
        item = maker.manifest(maker.any_kind(), name=f"g{number}")
        what = "valid" if number % 3 == 0 else "bounds"
        if number % 3 == 2:
            item, what = broken(item, dice)
        found.append(Case(item, f"{item['kind']} {what}"))
    return found


def judged(item: Object) -> tuple[str, list[tuple[str, str]]]:
    """What the types say, and what the CRD says."""
    return verdict(item), problems(item)


def disagreement(item: Object, types: str, schema: list[tuple[str, str]]) -> str:
    """Why the two verdicts do not fit, or nothing."""
    if not types and not schema:
        return ""
    if not types:
        return f"only the CRD refuses it: {schema[0]}"
    if not schema:
        known = TYPES_ONLY + (BESIDE_NULL if _has_null(item["spec"]) else ())
        if any(re.search(p, types, re.DOTALL) for p in known):
            return ""
        return f"only the types refuse it: {types}"
    field = types.partition(": ")[0]
    fields = [_clean(f) for f, _ in schema]
    if not any(_related(_clean(field), f) for f in fields):
        return f"the types name {field}, the CRD {fields[:3]}"
    return ""


def _has_null(value: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_has_null(v) for v in inner)


def _clean(field: str) -> str:
    return re.sub(r"[\[\].]+", ".", field).strip(".")


def _related(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@campaign("F30a", "Generated specs: types and CRDs agree", quick=1, full=10, kind="input")
def offline(world: World, round_: Round) -> list[Fault]:
    """No server is asked."""
    del world
    faults = []
    for case in cases(round_.dice, PER_ROUND):
        fault = round_.fault(case.what[:120])
        begun = time.process_time()
        if said := disagreement(case.item, *judged(case.item)):
            fault.violations.append(f"I4: {said}")
        if (took := time.process_time() - begun) > SLOW_SECONDS:
            fault.violations.append(f"I8: it took {took:.1f} s to judge")
        faults.append(fault)
    return faults
