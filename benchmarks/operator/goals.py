"""What was promised, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Goal", "goals_of"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise; `at_least` turns the bound round."""

    what: str
    bound: float
    measured: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def bound_text(self) -> str:
        """The bound in words."""
        if self.bound == 0:
            return "none"
        how = "at least" if self.at_least else "at most"
        return f"{how} {self.bound:g} {self.unit}".strip()


def goals_of(found: Mapping[str, Any]) -> list[Goal]:
    """All goals of which there is a measurement."""
    goals: list[Goal] = []
    if start := found.get("pace"):
        goals += _pace(start)
    if steady := found.get("steady"):
        goals += _steady(steady)
    if burst := found.get("burst"):
        what = f"{burst['load']}: time over that of the bare client's"
        goals.append(Goal(what, 2.5, burst["ratio"]["median"], "x"))
    if fair := found.get("fairness"):
        what = f"{fair['small']}: added at p99 by one of {fair['large']}"
        goals.append(Goal(what, 1000, fair["added at p99, ms"], "ms"))
    if pair := found.get("naive"):
        goals.append(Goal("CPU seconds, naive over ours", 3, pair["CPU ratio"], "x", True))
        goals.append(Goal("writes, naive over ours", 2, pair["writes ratio"], "x", True))
    if again := found.get("restart"):
        goals += _restart(again)
    return goals


def _pace(row: Mapping[str, Any]) -> list[Goal]:
    what, starts = f"{row['load']}, starts alone", row["apply to Job, ms"]
    return [
        Goal(f"{what}: apply to Job, p50", 50, starts["p50"], "ms"),
        Goal(f"{what}: apply to Job, p99", 250, starts["p99"], "ms"),
        Goal(f"{what}: reads", 0, row["reads"]),
    ]


def _steady(row: Mapping[str, Any]) -> list[Goal]:
    starts, ends, load = row["apply to Job, ms"], row["pod's end to status, ms"], row["load"]
    statuses = row["writes"].get("update modelruns/status", 0) / starts["n"]
    return [
        Goal(f"{load}: apply to Job, p50", 50, starts["p50"], "ms"),
        Goal(f"{load}: apply to Job, p99", 250, starts["p99"], "ms"),
        Goal(f"{load}: pod's end to stored result, p50", 100, ends["p50"], "ms"),
        Goal(f"{load}: pod's end to stored result, p99", 1000, ends["p99"], "ms"),
        Goal(f"{load}: status writes per ModelRun", 3, statuses),
        Goal(f"{load}: reads", 0, sum(row["reads"].values())),
        Goal(f"{load}: status of an Evaluation, p99", 10_000, _size(row), "bytes"),
    ]


def _size(row: Mapping[str, Any]) -> float:
    return float(row["Evaluation status, bytes"]["p99"])


def _restart(row: Mapping[str, Any]) -> list[Goal]:
    idle, many = row["idle"], f"{row['finished']} finished, {row['running']} running"
    probe = row["page of metrics"]["probe meanwhile, ms"]["max"]
    peak = max(row["peak / steady"], *(s["peak / steady"] for s in row["starts"].values()))
    goals = [
        Goal("base memory", 100, row["base memory, MB"], "MB"),
        Goal("memory per 1,000 Evaluations of 40 values", 12, row["MB per 1,000 finished"], "MB"),
        Goal("peak over steady memory", 2, peak, "x"),
        Goal(f"{many}: ready after a start", 30, row["ready after, s"], "s"),
        Goal(f"{many}: writes at a start", 0, row["writes"]),
        Goal(f"{many}: writes in {idle['seconds']} idle seconds", 0, idle["writes"]),
        Goal(f"{many}: share of a core when idle", 1, idle["share of a core, %"], "%"),
        Goal(f"{many}: a probe while /metrics is made", 100, probe, "ms"),
    ]
    return [g for g in goals if not math.isnan(g.measured)]
