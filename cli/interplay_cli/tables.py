"""Results as people and programs read them: table, wide table, markdown, csv, json."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from interplay_api.evaluation import ModelResult, ResultValue

__all__ = ["FORMATS", "render"]

MODELS_WITH_INTERVAL = 4
WIDTH = 1000
"""Of what is no terminal."""
FORMATS = ("table", "wide", "markdown", "csv", "json")
HEADLINES = (
    "top1",
    "ece",
    "worst_class",
    "effective_rank",
    "rotation_invariance_deg30",
    "noise_top1_sigma0p3",
    "fgsm_top1_eps4",
)
"""What the narrow table shows of each dataset; every other value is in wide, csv and json."""


def _columns(results: Sequence[ModelResult]) -> list[str]:
    return sorted({key for r in results for key in r.values})


def _number(value: float) -> str:
    """Four digits or so, without an exponent where a person would write none."""
    size = abs(value)
    if 0 < size < 0.001 or size >= 1e6:
        return f"{value:.3g}"
    return f"{value:.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def _cell(value: ResultValue | None, *, interval: bool) -> str:
    if value is None:
        return "-"
    text = _number(value.value)
    if interval and value.low is not None and value.high is not None:
        text += f" [{_number(value.low)}, {_number(value.high)}]"
    return text


def _print(table: Table, width: int) -> str:
    """As wide as it needs to be: a pipe or a pager has no width, and nothing is cut or wrapped."""
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _narrow(results: Sequence[ModelResult], failed: Mapping[str, str]) -> str:
    keys = _columns(results)
    headlines = [k for h in HEADLINES for k in keys if k.endswith(f"_{h}")]
    # A user's own values are nobody's headline: they have the room that is left.
    others = [k for k in keys if k not in headlines]
    shown = headlines + others[: max(0, len(HEADLINES) - len(headlines))]
    # Intervals belong to numbers; they go only where a terminal has no room for them.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    interval = 24 * (len(shown) + 1) <= room
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for key in shown:
        table.add_column(key.replace("_", " "), justify="right", max_width=22 if interval else 12)
    for row in results:
        table.add_row(row.model, *(_cell(row.values.get(k), interval=interval) for k in shown))
    text = _print(table, max(room, 120))
    return text + _failures(failed)


def _failures(failed: Mapping[str, str]) -> str:
    return "".join(f"{model}: failed: {why}\n" for model, why in failed.items())


def _wide(results: Sequence[ModelResult], failed: Mapping[str, str]) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("value", no_wrap=True)
    for row in results:
        table.add_column(row.model, justify="right")
    for key in _columns(results):
        table.add_row(key, *(_cell(r.values.get(key), interval=False) for r in results))
    longest = max((len(k) for k in _columns(results)), default=0)
    width = longest + sum(max(len(r.model), 10) + 2 for r in results) + 2
    return _print(table, width) + _failures(failed)


def _markdown(results: Sequence[ModelResult], failed: Mapping[str, str]) -> str:
    """A row for every value, for a report or an issue; intervals where there is room."""
    interval = len(results) <= MODELS_WITH_INTERVAL
    lines = [
        f"| value | {' | '.join(r.model for r in results)} |",
        f"| --- |{' ---: |' * len(results)}",
    ]
    for key in _columns(results):
        cells = (_cell(r.values.get(key), interval=interval) for r in results)
        lines.append(f"| {key} | {' | '.join(cells)} |")
    text = "".join(f"{line}\n" for line in lines)
    return text + "".join(f"\n{line}\n" for line in _failures(failed).splitlines())


def _csv(results: Iterable[ModelResult]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "key", "value", "low", "high", "n"])
    for row in results:
        for key, v in sorted(row.values.items()):
            writer.writerow([row.model, key, repr(v.value), v.low, v.high, v.n])
    return out.getvalue()


def render(results: Sequence[ModelResult], failed: Mapping[str, str], form: str) -> str:
    """One text, ending in a newline.

    `json` has the shape of the Evaluation's `status.results`, so that both can be compared.
    """
    if form == "json":
        body = {"results": [r.wire() for r in results], "failed": dict(failed)}
        return json.dumps(body, indent=2, allow_nan=False) + "\n"
    if form == "csv":
        return _csv(results)
    writers = {"table": _narrow, "wide": _wide, "markdown": _markdown}
    return writers[form](results, failed)
