"""The page of measurements: complete, in words that Markdown keeps, and refused where one lacks."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from interplay_api.catalog import Catalog, Entry, builtin_layer
from interplay_runner import docs
from interplay_runner.measurement import COSTS, FreeMeasurement, Measurement
from interplay_runner.registry import load_measurement

GOLDEN = Path(__file__).parent / "measurements" / "golden"
LIBRARY = list(Catalog([builtin_layer()]).all("Measurement"))
STABLE = [e for e in LIBRARY if load_measurement(e.spec["entryPoint"]).repeatable]
"""Those with golden values; a timing has none."""
GOOD = """Share of sky: mean_i [x_i > 0].

    `sky` in [0, 1], higher is bluer. Source: nobody. Cost: L.
    """


def documented(text: str | None, **fields: str) -> type[Measurement]:
    """A class with this docstring."""
    return type("Sky", (FreeMeasurement,), {"__doc__": text, "category": "property", **fields})


@pytest.mark.parametrize("entry", STABLE, ids=[e.name for e in STABLE])
def test_every_metric_is_named_in_its_docstring(entry: Entry) -> None:
    kind = load_measurement(entry.spec["entryPoint"])
    text = " ".join((inspect.getdoc(kind) or "").split())
    named = re.findall(r"`([a-z0-9_<>]+)`", text) + re.findall(r"\b([a-z0-9_<>]+) = ", text)
    patterns = [re.sub(r"<[a-z0-9]+>", ".+", n) + r"(_[a-z]+[0-9p]+)*" for n in named]
    golden = json.loads((GOLDEN / f"{entry.name}.json").read_text())["values"]
    assert [m for m in golden if not any(re.fullmatch(p, m) for p in patterns)] == []


def test_the_page_has_every_measurement_once_and_all_of_it() -> None:
    kinds = docs.measurements()
    text = docs.page(kinds)
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [
        name for c in ("property", "benefit") for name, k in kinds.items() if k.category == c
    ]
    for name, kind in kinds.items():
        assert text.count(f"[{name}](#{name})") == 1
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for parameter in kind.Params.model_fields:
            assert f"- `{parameter}`: " in section
        for entry in LIBRARY:
            assert (f"- `{entry.name}` on " in section) == (entry.spec["entryPoint"] == name)
    for meaning in COSTS.values():
        assert meaning in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, []),
        (None, ["no docstring"]),
        (GOOD.replace(".\n\n", "\n\n", 1), ["the first line is not a sentence that stands alone"]),
        (GOOD.replace(" in [0, 1]", ""), ["no range: `In [0, 1]`, `From 1 to d`, `At most 1`"]),
        (GOOD.replace("higher is bluer", "blue"), ["no direction: what a higher value means"]),
        (GOOD.replace("Source: nobody.", ""), ["no `Source: `"]),
        (GOOD.replace("Cost: L", "Cost: F, D"), ["the docstring says cost F, D, the class L"]),
        (
            "Like a sibling.\n\n    The values of `top-k`, by ear. Source: nobody.",
            [],
        ),
    ],
)
def test_what_a_reader_would_miss_is_a_problem(text: str | None, found: list[str]) -> None:
    assert list(docs.problems("sky", documented(text))) == found


def test_a_cost_class_must_exist() -> None:
    kind = documented(GOOD.replace(" Cost: L.", ""), cost="F+Q")
    assert list(docs.problems("sky", kind)) == ["cost: F+Q is none of F, T, G, D, L"]


def test_check_tells_what_is_stale_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "measurements", lambda: {"sky": documented(GOOD)})
    page = tmp_path / docs.PAGE
    assert docs.main(["--check", str(tmp_path)]) == 1
    assert not page.exists()
    assert docs.main([str(tmp_path)]) == 0
    assert docs.main(["--check", str(tmp_path)]) == 0
    page.write_text(page.read_text() + "more")
    assert docs.main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{docs.PAGE}: stale, run `make generate`\n" * 2


def test_signs_of_formulas_survive_markdown() -> None:
    text = "z_(k) < `a_<b>` and *x* ~y, E_cs [0, 1](2) _n"
    assert docs._escaped(text) == (r"z\_(k) &lt; `a_<b>` and \*x\* \~y, E_cs [0, 1]\(2) \_n")
