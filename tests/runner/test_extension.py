"""The worked example of a package of one's own, installed beside the runner as its users do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from interplay_api.plan import PlanDataset
from interplay_runner.data import open_source, registered
from interplay_runner.errors import DataError

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "extension"
MANIFEST = EXAMPLE / "evaluation.yaml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, built from a copy and without any network."""
    folder = tmp_path_factory.mktemp("extension")
    shutil.copytree(EXAMPLE, folder / "source")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--no-compile", "--disable-pip-version-check"),
            *("--target", folder / "site", folder / "source"),
        ],
        check=True,
    )
    return folder / "site"


def test_every_number_comes_out_under_its_key(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "interplay_cli", "run", MANIFEST, "-o", "json"],
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {r["model"]: r["values"] for r in json.loads(done.stdout)["results"]}
    found = {m: {k: v["value"] for k, v in row.items()} for m, row in rows.items()}
    assert found == {
        "gabor-8": {
            "stripes_test_separation": pytest.approx(0.8732, abs=1e-3),
            "stripes_test_occluded_top1_share0p5": pytest.approx(397 / 400, abs=1.01 / 400),
            "stripes_test_top1": 1.0,
        },
        "gabor-16": {
            "stripes_test_separation": pytest.approx(0.4945, abs=1e-3),
            "stripes_test_occluded_top1_share0p5": pytest.approx(355 / 400, abs=1.01 / 400),
            "stripes_test_top1": pytest.approx(361 / 400, abs=1.01 / 400),
        },
    }
    separation = rows["gabor-8"]["stripes_test_separation"]
    assert separation["low"] < separation["value"] < separation["high"]
    occluded = rows["gabor-8"]["stripes_test_occluded_top1_share0p5"]
    assert occluded["n"] == 400
    assert "low" not in occluded, "a bare float has no interval"


def dataset(**fields: Any) -> PlanDataset:
    """The Dataset of the example, with some of its fields changed."""
    documents = yaml.safe_load_all(MANIFEST.read_text())
    spec = next(d["spec"] for d in documents if d["kind"] == "Dataset")
    return PlanDataset.model_validate({"name": "stripes", "spec": spec | fields})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("split", "train", "spec.embedded.name: stripes: ValueError: no split train; there are"),
        ("revision", "2", "spec.revision: stripes is 1"),
        ("size", 401, "spec.size: found 400 samples, not 401"),
        ("numClasses", 3, "spec.numClasses: found 4 classes, not 3"),
        ("embedded", {"name": "stripe"}, "spec.embedded.name: no stripe; there are digits, "),
        ("labelMap", {"a": 0}, "spec.labelMap: only an imageFolder"),
    ],
)
def test_a_mistake_in_the_resource_names_the_field(
    installed: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: object, message: str
) -> None:
    monkeypatch.syspath_prepend(installed)
    assert len(open_source(dataset()).ids) == 400
    with pytest.raises(DataError, match=f"^dataset stripes: {message}"):
        open_source(dataset(**{field: value}))


class Odd:
    """A source of somebody who did not read the page."""

    num_classes = 2
    columns: ClassVar = {"far": [1.0, 2.0, 3.0]}
    label_sets = None
    ids: ClassVar = ["a", "a"]

    def __init__(self, split: str) -> None:
        del split

    def load(self, index: int) -> object:
        raise OSError(f"no file {index}\nat all")


def test_foreign_code_is_answered_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("odd", f"{__name__}:Odd", registered.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Odd)
    monkeypatch.setattr(registered, "entry_points", lambda group: [point] if group else [])
    spec = dataset(embedded={"name": "odd"}, size=2, numClasses=2, revision=None)
    with pytest.raises(DataError, match="odd: ValueError: ids are not different strings"):
        open_source(spec)
    monkeypatch.setattr(Odd, "ids", ["a", "b"])
    with pytest.raises(DataError, match=r"odd: ValueError: column far has shape \(3,\), not 2"):
        open_source(spec)
    monkeypatch.setattr(Odd, "columns", {})
    source = open_source(spec)
    with pytest.raises(DataError, match=r"spec.embedded.name: odd b: OSError: no file 1 at all"):
        source.load(1)
