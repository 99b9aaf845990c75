"""The results: JSON with everything, and a page with the tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .goals import Goal, goals_of

__all__ = ["write"]

RATE = "controllers' rate"
FLOW_COLUMNS = (
    "apply to Job p50 / p99 / max, ms",
    "pod's end to status p50 / p99, ms",
    "in all, s",
    "CPU, s",
    "writes per model",
    "stored before the Job's status tells",
)


def write(folder: Path, name: str, found: Mapping[str, Any]) -> Path:
    """Write `<name>.json` and `<name>.md`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    goals = goals_of(found)
    rows = [{**asdict(g), "met": g.met} for g in goals]
    text = json.dumps({**found, "goals": rows}, indent=2, allow_nan=False)
    (folder / f"{name}.json").write_text(text + "\n")
    page = folder / f"{name}.md"
    page.write_text("\n\n".join(_page(found, goals)) + "\n")
    return page


def _page(found: Mapping[str, Any], goals: Sequence[Goal]) -> Iterable[str]:
    yield "# The operator under load"
    yield f"Made by `{found['command']}` in {found['minutes']} minutes; the JSON has every number."
    yield _table(("machine", ""), found["machine"].items())
    yield found["conditions"]
    yield "## Goals"
    shown = [(g.what, g.bound_text, f"{g.measured:g}", "yes" if g.met else "**no**") for g in goals]
    yield _table(("what", "goal", "measured", "met"), shown)
    if rows := [*_flows(found)]:
        yield "## Loads"
        yield _table(("load", *FLOW_COLUMNS), rows)
    if start := found.get("pace"):
        yield "## Starts beside a bare client"
        yield f"{start['load']}, no pod ends; the bare client makes the same writes."
        every = {"ours": start["apply to Job, ms"], "bare client": start["bare client, ms"]}
        heads = ("apply to Job, ms", "p50", "p99", "max", "n")
        yield _table(heads, [(k, *(v[h] for h in heads[1:])) for k, v in every.items()])
    if burst := found.get("burst"):
        yield "## Burst beside a bare client"
        yield (
            f"{burst['load']}: from the first apply to the last Job, alternated; the bare client"
            f" makes the same {burst['writes of the last script']} writes in the same order."
        )
        heads = ("", "median", "least", "most", "runs")
        keys = ("ours, s", "bare client, s", "ratio")
        yield _table(heads, [(k, *burst[k].values()) for k in keys])
    if pair := found.get("naive"):
        yield "## Beside a naive kopf operator"
        yield _naive(pair)
    if start := found.get("restart"):
        yield "## Starts of the operator"
        yield _starts(start)


def _flows(found: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    if steady := found.get("steady"):
        yield _flow(steady, "")
    if synced := found.get("fsync"):
        yield _flow(synced, ", etcd with fsync")
    for row in found.get("shapes", ()):
        yield _flow(row, "")
    for row in found.get("real", ()):
        yield _flow(row, f", real controllers at {row[RATE]} requests per second")
    if pair := found.get("naive"):
        yield _flow(pair["naive"], ", **naive operator**")


def _flow(row: Mapping[str, Any], more: str) -> tuple[str, ...]:
    starts, ends = row["apply to Job, ms"], row["pod's end to status, ms"]
    return (
        row["load"] + more,
        " / ".join(f"{starts[k]:.0f}" for k in ("p50", "p99", "max")),
        " / ".join(f"{ends[k]:.0f}" for k in ("p50", "p99")),
        str(row["seconds in all"]),
        str(row["CPU seconds"]),
        str(row["writes per model"]),
        row["stored before the Job's status tells"],
    )


def _naive(pair: Mapping[str, Any]) -> str:
    ours, naive = pair["ours"], pair["naive"]
    rows = [
        ("CPU seconds", ours["CPU seconds"], naive["CPU seconds"], pair["CPU ratio"]),
        ("writes per model", *_both(pair, "writes per model"), pair["writes ratio"]),
        ("the same without Events", *pair["without Events"], pair["writes ratio without Events"]),
        ("RSS, MB", *_both(pair, "RSS, MB"), ""),
        ("reads", sum(ours["reads"].values()), sum(naive["reads"].values()), ""),
    ]
    return _table((ours["load"], "ours", "naive", "ratio"), rows)


def _both(pair: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    return pair["ours"][key], pair["naive"][key]


def _starts(start: Mapping[str, Any]) -> str:
    keys = ("ready after, s", "writes", "CPU seconds until settled", "RSS, MB", "peak / steady")
    last = f"{start['finished']} finished, {start['running']} running"
    every = {**start["starts"], last: start}
    return _table(("among", *keys), [(k, *(v[x] for x in keys)) for k, v in every.items()])


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)
