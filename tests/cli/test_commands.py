"""The command line, in this process, over fakes.

Aspects: the four formats; exit codes; one line per error and never a traceback; what a model, a
measurement and a signal that fail leave of the others; plan; compare.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from interplay_api.evaluation import ModelResult
from interplay_api.plan import PlanModel
from interplay_cli import local
from interplay_cli.__main__ import main
from interplay_runner import run
from interplay_runner.errors import ModelError
from interplay_runner.models import LoadedModel
from interplay_runner.stop import Stop
from tests.runner.core.fakes import World

MANIFEST = Path(__file__).with_name("evaluation.yaml")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(300).install(monkeypatch)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    path = tmp_path / "evaluation.yaml"
    path.write_text(MANIFEST.read_text())
    return path


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_json_has_the_shape_of_the_status(capsys: Captured) -> None:
    assert main(["run", str(MANIFEST), "-o", "json"]) == 0
    out = json.loads(capsys.readouterr().out)
    results = [ModelResult.read(r) for r in out["results"]]
    assert [r.model for r in results] == ["one", "two"]
    assert results[0].values["fake_test_top1"].n == 100
    assert out["failed"] == {}


def test_the_other_formats_show_the_same_numbers(capsys: Captured) -> None:
    texts = {}
    for form in ("json", "csv", "table", "wide"):
        assert main(["run", str(MANIFEST), "--output", form]) == 0
        texts[form] = capsys.readouterr().out
    top1 = json.loads(texts["json"])["results"][1]["values"]["fake_test_top1"]["value"]
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    found = [r for r in rows if (r["model"], r["key"]) == ("two", "fake_test_top1")]
    assert [float(r["value"]) for r in found] == [top1]
    assert f"two    {top1:.3f} [0.000, 1.000]" in texts["table"]
    line = next(x for x in texts["wide"].splitlines() if x.startswith("fake_test_top1"))
    assert line.split() == ["fake_test_top1", f"{top1:.3f}", f"{top1:.3f}"]


def test_progress_goes_to_standard_error_as_lines(capsys: Captured) -> None:
    main(["run", str(MANIFEST)])
    lines = capsys.readouterr().err.splitlines()
    assert [x.rpartition(",")[0] for x in lines] == [
        "[1/2] one: 3 of 3 measurements",
        "[2/2] two: 3 of 3 measurements",
    ]


def test_a_model_that_fails_leaves_the_other_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def load(model: PlanModel, device: str, precision: str) -> LoadedModel:
        if model.name == "one":
            raise ModelError("model one: spec.timm: no architecture is called one")
        return world.load_model(model, device, precision)

    monkeypatch.setattr(run, "load_model", load)
    assert main(["run", str(MANIFEST), "-o", "json"]) == 1
    captured = capsys.readouterr()
    out = json.loads(captured.out)
    assert [r["model"] for r in out["results"]] == ["two"]
    assert out["failed"] == {"one": "model one: spec.timm: no architecture is called one"}
    assert "interplay: one: model one: spec.timm" in captured.err


def test_a_measurement_that_fails_is_named(manifest: Path, capsys: Captured) -> None:
    _replace(manifest, "[top1, moments, probe]", "[top1, broken]")
    assert main(["run", str(manifest)]) == 1
    error = "interplay: two: broken on fake: ZeroDivisionError: a line and another"
    assert capsys.readouterr().err.splitlines()[-1] == error


def test_what_is_wrong_in_a_manifest_is_one_line_and_code_2(
    manifest: Path, capsys: Captured
) -> None:
    wrong = [
        ("names: [top1, moments, probe]", "names: [topp1]", "did you mean"),
        ("{timm: one, numClasses: 5}", "{timm: one, numClases: 5}", "spec.models[0].inline"),
        ("kind: Evaluation", "kind: Evalution", "document 1: kind: 'Evalution' is not known"),
        ("metadata: {name: small}", "metadata: [", "not YAML"),
    ]
    good = manifest.read_text()
    for old, new, message in wrong:
        manifest.write_text(good)
        _replace(manifest, old, new)
        for command in ("run", "plan"):
            assert main([command, str(manifest)]) == 2
            error = capsys.readouterr().err
            assert error.startswith("interplay: ")
            assert message in error
            assert error.count("\n") == 1
    assert main(["run", str(manifest.with_name("missing.yaml"))]) == 2


def test_a_mistake_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("out\nof order")

    monkeypatch.setattr("interplay_cli.__main__.render", broken)
    assert main(["run", str(MANIFEST)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "interplay: RuntimeError: out of order"


def test_an_interrupted_run_says_so_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    whole = run.run_plan

    def interrupted(*args: object, stop: Stop, **more: object) -> None:
        stop.signal = 2
        whole(*args, stop=stop, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "run_plan", interrupted)
    assert main(["run", str(MANIFEST), "--output-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interplay: interrupted"
    assert list(tmp_path.glob("small-one-*/checkpoint.bin"))
    monkeypatch.setattr(local, "run_plan", whole)
    assert main(["run", str(MANIFEST), "--output-dir", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("small-*-*/checkpoint.bin"))
    assert len(list(tmp_path.glob("small-*-*/report.json"))) == 2


def test_plan_counts_before_anything_runs(
    world: World, manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("interplay_cli.forecast.open_source", world.open_source)
    _replace(manifest, "[top1, moments, probe]", "[top1, moments, probe, shaky]")
    assert main(["plan", str(manifest), "--rate", "30"]) == 0
    assert capsys.readouterr().out == MANIFEST.with_name("plan.txt").read_text()
    assert not world.source.decoded
    assert not world.network.calls


def test_a_rate_is_a_number_above_0(capsys: Captured) -> None:
    for rate in ("0", "-1", "nan", "inf", "many"):
        with pytest.raises(SystemExit) as exit_:
            main(["plan", str(MANIFEST), "--rate", rate])
        assert exit_.value.code == 2
        assert f"--rate: {rate} is not a number above 0" in capsys.readouterr().err


def test_compare_reads_two_record_files(tmp_path: Path, capsys: Captured) -> None:
    main(["run", str(MANIFEST), "--output-dir", str(tmp_path)])
    capsys.readouterr()
    one, two = sorted(str(p) for p in tmp_path.glob("*/records-fake-test.npz"))
    assert main(["compare", one, two, "--column", "correct@noise_sigma0.25"]) == 0
    out = capsys.readouterr().out
    assert "on the same 100 samples" in out
    assert "exact McNemar test: p = 1" in out
    for first, second, column, message in (
        (one, two, "corect", "no column corect; there are correct"),
        (one, str(MANIFEST), "correct", "not a records file"),
        (one, str(tmp_path / "none.npz"), "correct", "cannot be read"),
    ):
        assert main(["compare", first, second, "--column", column]) == 2
        assert message in capsys.readouterr().err
