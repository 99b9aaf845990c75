"""docs/measurements.md, written from the docstrings: what a number means is said once, in the code.

`--check` fails where the page is stale, or where a docstring leaves a reader without definition,
range, direction or source.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from interplay_api.catalog import Catalog, Entry, builtin_layer

from .measurement import (
    COSTS,
    BatchMeasurement,
    FreeMeasurement,
    Measurement,
    RecordMeasurement,
    StreamMeasurement,
    TableMeasurement,
)
from .registry import GROUP

__all__ = ["main", "page", "problems"]

PAGE = "docs/measurements.md"
KINDS: Mapping[type[Measurement], str] = {
    RecordMeasurement: "record",
    StreamMeasurement: "stream",
    BatchMeasurement: "batch",
    TableMeasurement: "table",
    FreeMeasurement: "free",
}
INTRODUCTION = """\
<!-- Written by `python -m interplay_runner.docs` from the docstrings; do not edit. -->
# Measurements

What Interplay measures, by the name under which the code is registered (`entryPoint` of a
`Measurement`). Each value has n, a 95 % interval by a named method and, where a model without the
effect would not show zero, a `null`; where no number can be had there is a reason instead. A value
is published as `<dataset>_<split>_<metric>`, with parameters in the metric, for example
`digits_test_fgsm_top1_eps4`.

A *property* is of the model itself and neither good nor bad; a *benefit* is behaviour that a user
wants. The cost class says what a measurement adds to the shared pass over a dataset, which decodes
each image once and forwards each view of it once:

{costs}

`interplay plan FILE` adds it up for an Evaluation. A measurement of your own takes ten minutes:
[examples/extension](../examples/extension/README.md).
"""

RANGE = re.compile(r"\b(?:in [\[(]|(?:from|at most|at least) -?\d)", re.IGNORECASE)
DIRECTION = re.compile(r"\b(?:higher|lower|more|less|better|neither good nor bad)\b", re.IGNORECASE)
SOURCE = re.compile(r"\bSources?: ")
SAME_AS = re.compile(r"\b(?:values|ranges|those) (?:\w+ )*of `([a-z0-9-]+)`", re.IGNORECASE)
COST = re.compile(r"\bCost(?: class)?:? ([FTGDL](?:, [FTGDL])*)\b")


def measurements() -> dict[str, type[Measurement]]:
    """Every class that our own distribution registers, by name."""
    points = distribution("interplay").entry_points.select(group=GROUP)
    return {p.name: p.load() for p in sorted(points, key=lambda p: p.name)}


def problems(name: str, kind: type[Measurement]) -> Iterator[str]:
    """What a reader would miss in a docstring."""
    text = inspect.getdoc(kind) if kind.__doc__ else None
    if not text:
        yield "no docstring"
        return
    first, _, rest = text.partition("\n")
    if not first.endswith(".") or rest[:1] not in ("", "\n"):
        yield "the first line is not a sentence that stands alone"
    text = " ".join(text.split())
    # A sibling that is referred to by its name says it for both.
    told = any(other != name for other in SAME_AS.findall(text))
    if not (told or RANGE.search(text)):
        yield "no range: `In [0, 1]`, `From 1 to d`, `At most 1`"
    if not (told or DIRECTION.search(text)):
        yield "no direction: what a higher value means"
    if not SOURCE.search(text):
        yield "no `Source: `"
    declared = set(kind.cost.split("+"))
    if not declared <= COSTS.keys():
        yield f"cost: {kind.cost} is none of {', '.join(COSTS)}"
    for said in COST.findall(text):
        if set(said.split(", ")) != declared:
            yield f"the docstring says cost {said}, the class {kind.cost}"


def page(kinds: Mapping[str, type[Measurement]]) -> str:
    """The whole Markdown text."""
    costs = "\n".join(f"- **{letter}** {meaning}" for letter, meaning in COSTS.items())
    parts = [INTRODUCTION.format(costs=costs)]
    library = _library()
    groups = {"property": "Properties", "benefit": "Benefits"}
    for category, title in groups.items():
        parts += [f"**{title}**\n", _contents(_of(kinds, category))]
    for category, title in groups.items():
        parts.append(f"## {title}\n")
        parts += [_section(n, k, library.get(n, [])) for n, k in _of(kinds, category).items()]
    return "\n".join(parts).rstrip() + "\n"


def _of(kinds: Mapping[str, type[Measurement]], category: str) -> dict[str, type[Measurement]]:
    return {name: kind for name, kind in kinds.items() if kind.category == category}


def _library() -> dict[str, list[Entry]]:
    """The built-in resources of each entry point."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in Catalog([builtin_layer()]).all("Measurement"):
        found[entry.spec["entryPoint"]].append(entry)
    return found


def _contents(kinds: Mapping[str, type[Measurement]]) -> str:
    rows = []
    for name, kind in kinds.items():
        what = _escaped(_first(kind)).replace("|", "\\|")
        rows.append(f"| [{name}](#{name}) | {what} | {kind.cost} |")
    return "\n".join(["| name | what it is | cost |", "| --- | --- | --- |", *rows, ""])


def _section(name: str, kind: type[Measurement], library: Sequence[Entry]) -> str:
    shape = next(word for base, word in KINDS.items() if issubclass(kind, base))
    facts = f"cost {kind.cost} · {shape} measurement · numerics {kind.numerics}"
    parts = [f"### {name}\n", f"*{facts}*\n", f"{_escaped(inspect.getdoc(kind) or '')}\n"]
    if issubclass(kind, TableMeasurement) and kind.roles:
        roles = [f"- `{role}`: {_escaped(meaning)}" for role, meaning in kind.roles.items()]
        parts.append("\n".join(["Other datasets, by role in `references`:\n", *roles, ""]))
    if kind.Params.model_fields:
        parts.append(_parameters(kind))
    if library:
        items = [f"- `{e.name}` on {', '.join(e.spec['datasets'])}{_given(e)}" for e in library]
        parts.append("\n".join(["In the library:\n", *items, ""]))
    return "\n".join(parts)


def _given(entry: Entry) -> str:
    spec = entry.spec
    further = {n: spec[n] for n in ("references", "referenceModel") if n in spec}
    given = {**further, **(spec.get("parameters") or {})}
    return "".join(f", `{name}: {_plain(value)}`" for name, value in given.items())


def _parameters(kind: type[Measurement]) -> str:
    schema = kind.Params.model_json_schema()
    lines = [f"Parameters: {_escaped(inspect.getdoc(kind.Params) or '')}\n"]
    for name, field in schema["properties"].items():
        about = f" {_escaped(field['description'])}" if "description" in field else ""
        default = "required" if name in schema.get("required", ()) else _default(field)
        lines.append(f"- `{name}`: {_type(field)}; {default}.{about}")
    return "\n".join([*lines, ""])


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is not None and default == field.get("items", {}).get("enum"):
        return "default all"
    return f"default `{_plain(default)}`"


def _type(field: Mapping[str, Any], many: bool = False) -> str:
    """A JSON schema in words: `up to 8 integers from 1 to 1000`."""
    if "anyOf" in field:
        some = [f for f in field["anyOf"] if f.get("type") != "null"]
        return " or ".join(_type(f, many) for f in some) + " or none"
    if "enum" in field:
        return f"{'of ' if many else 'one of '}{', '.join(f'`{v}`' for v in field['enum'])}"
    if field.get("type") == "array":
        most = f"up to {field['maxItems']} " if "maxItems" in field else "a list of "
        items = _type(field["items"], many=True)
        return f"{most}{items}" if not items.startswith("of ") else f"some {items}"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return "a map of names" + (f" to {_type(values)}" if isinstance(values, Mapping) else "")
    words = {"integer": "integer", "number": "number", "boolean": "yes or no", "string": "name"}
    word = words[field["type"]]
    if field["type"] == "boolean":
        return word
    plural = f"{word}s" if many else f"{'an' if word == 'integer' else 'a'} {word}"
    return plural + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    above, low = field.get("exclusiveMinimum"), field.get("minimum")
    below, high = field.get("exclusiveMaximum"), field.get("maximum")
    parts = [
        f" {word} {bound:,.12g}"
        for word, bound in (("above", above), ("from", low), ("below", below), ("to", high))
        if bound is not None
    ]
    return "".join(parts)


def _plain(value: Any) -> str:
    """A value as YAML would show it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _first(kind: type[Measurement]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _escaped(text: str) -> str:
    """Prose for Markdown: what is not in backticks keeps its signs."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if i % 2 else _signs(p) for i, p in enumerate(parts))


def _signs(text: str) -> str:
    # Stars and outer underscores would become emphasis, angles tags, two kinds of brackets a link.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"(\*|(?<!\w)_|_(?!\w)|~(?=\S))", r"\\\1", text)
    return text.replace("](", "]\\(")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="interplay_runner.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[2])
    args = parser.parse_args(arguments)
    kinds = measurements()
    found = [f"{n}: {problem}" for n, k in kinds.items() for problem in problems(n, k)]
    path, text = args.folder / PAGE, page(kinds)
    stale = not path.is_file() or path.read_text() != text
    if args.check and stale:
        found.append(f"{PAGE}: stale, run `make generate`")
    elif stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
