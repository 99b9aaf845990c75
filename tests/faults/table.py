"""The table: injected, survived, violations per promise, time to the right state."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.record import read
from tests.faults.registry import Campaign

__all__ = ["render"]

HEAD = "| id | campaign | injected | survived | violations | p50 s | p99 s | max s |"
RULE = "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |"


def render(path: Path, campaigns: Mapping[str, Campaign]) -> str:
    """A Markdown table of all lines of a file."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in read(path):
        if line["type"] == "fault":
            lines[str(line["campaign"])].append(dict(line))
    rows = [HEAD, RULE]
    total: Counter[str] = Counter()
    for name, faults in sorted(lines.items()):
        injected = sum(f.get("count", 1) for f in faults)
        bad = [f for f in faults if not f["survived"]]
        broken = Counter(v.partition(":")[0] for f in bad for v in f["violations"])
        said = ", ".join(f"{p} {n}" for p, n in sorted(broken.items())) or "none"
        title = campaigns[name].title if name in campaigns else ""
        times = [float(f["seconds"]) for f in faults if f["seconds"] is not None]
        rows.append(
            f"| {name} | {title} | {injected} | {injected - len(bad)} | {said} | {_times(times)} |"
        )
        kind = campaigns[name].kind if name in campaigns else "fault"
        total[kind] += injected
        total[f"{kind} bad"] += len(bad)
    kinds = sorted(k for k in total if " " not in k)
    sums = ", ".join(f"{total[k]} {k}s, {total[f'{k} bad']} not survived" for k in kinds)
    return "\n".join([*rows, "", sums or "nothing was run"])


def _times(times: list[float]) -> str:
    if not times:
        return "- | - | -"
    if len(times) == 1:
        p50 = p99 = times[0]
    else:
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        p50, p99 = cuts[49], cuts[98]
    return f"{p50:.1f} | {p99:.1f} | {max(times):.1f}"
