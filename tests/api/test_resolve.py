"""Resolution: from a manifest and a library to frozen, named plans, or to every problem at once."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import yaml

from interplay_api.catalog import Catalog, Layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.plan import Plan
from interplay_api.resolve import Resolution, ResolveError, resolve
from tests.api.manifests import HERE, Object, edited, everything

GOLDEN = HERE / "golden" / "plans.yaml"
FULL = everything("Evaluation")[0]["spec"]
SIMPLE: Object = {"models": [{"name": "resnet"}], "measurements": {"names": ["attacked"]}}
DEFAULT_MODE: Object = {"kind": "Mode", "metadata": {"name": "default"}, "spec": {}}


def plan(
    spec: Object, *extra: Object, name: str = "demo", namespace: str = "default"
) -> Resolution:
    layers = [Layer.from_manifests("test", [*everything(), DEFAULT_MODE, *extra])]
    return resolve(name, namespace, EvaluationSpec.read(spec), Catalog(layers), image="runner")


def problems(spec: Object, *extra: Object, **names: str) -> dict[str, str]:
    with pytest.raises(ResolveError) as refusal:
        plan(spec, *extra, **names)
    return {p.field: p.message for p in refusal.value.problems}


def library(kind: str, name: str, spec: Object, **labels: str) -> Object:
    return {"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}


def test_names_digests_and_keys_are_the_golden_ones() -> None:
    found = {
        run.name: {
            "planDigest": run.spec.plan_digest,
            "cells": {f"{c.measurement}/{c.dataset}": c.key for c in run.spec.plan.cells},
        }
        for run in plan(FULL, name="everything").runs
    }
    text = yaml.safe_dump(found, sort_keys=True)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites it; results are measured anew"


def test_a_plan_read_back_is_the_same_plan() -> None:
    for run in plan(FULL).runs:
        again = Plan.read(run.spec.plan.wire())
        assert again == run.spec.plan
        assert again.digest() == run.spec.plan_digest


def test_adding_a_model_adds_one_run_and_renames_none() -> None:
    def names(*models: str) -> list[str]:
        return [r.name for r in plan({**SIMPLE, "models": [{"name": m} for m in models]}).runs]

    assert names("resnet", "vit")[:1] == names("resnet")
    assert len(set(names("resnet", "vit"))) == 2
    assert names("resnet", "resnet") == names("resnet")


@pytest.mark.parametrize(
    "policy",
    [{"parallelism": 9}, {"suspend": True}, {"backoffLimit": 0}, {"reuse": "Never"},
     {"keepPods": "all"}, {"ttlSecondsAfterFinished": 1}, {"activeDeadlineSeconds": 5}],
    ids=str,
)  # fmt: skip
def test_a_policy_runs_nothing_again(policy: Object) -> None:
    assert plan({**SIMPLE, **policy}) == plan(SIMPLE)


def test_a_selector_finds_by_all_labels_in_name_order() -> None:
    extra = [
        library("Model", name, {"timm": "x"}, family="z", size=size)
        for name, size in (("zb", "s"), ("za", "s"), ("zc", "l"))
    ]

    def found(**labels: str) -> list[str]:
        spec = {**SIMPLE, "models": [{"selector": {"matchLabels": labels}}]}
        return [r.spec.model for r in plan(spec, *extra).runs]

    assert found(family="z") == ["za", "zb", "zc"]
    assert found(family="z", size="s") == ["za", "zb"]
    spec = {**SIMPLE, "models": [{"selector": {"matchLabels": {"family": "none"}}}]}
    assert problems(spec) == {"spec.models[0].selector": "no Model has labels family=none"}


def test_overrides_win_over_the_mode_and_nothing_else_changes() -> None:
    (base,) = plan({**SIMPLE, "mode": "careful"}).runs
    (over,) = plan({**SIMPLE, "mode": "careful", "overrides": {"limit": 9, "seed": 1}}).runs
    assert base.spec.plan.run.limit == 500
    assert over.spec.plan.run == base.spec.plan.run.model_copy(update={"limit": 9, "seed": 1})
    assert over.spec.pod == base.spec.pod
    assert over.name != base.name


def test_what_names_a_thousand_models_a_thousand_times_takes_no_minutes() -> None:
    names = [f"x{i:060}" for i in range(1000)]
    models = [library("Model", n, {"timm": "resnet18"}, a="b") for n in names]
    select = {"selector": {"matchLabels": {"a": "b"}}}
    bad = [{"name": f"y{i:060}"} for i in range(1000)]
    begun = time.process_time()
    found = problems({"models": [select] * 1000, "measurements": {"names": ["x"]}}, *models)
    assert list(found) == ["spec.measurements.names[0]"]
    assert len(problems({**SIMPLE, "models": bad}, *models)) == 1000
    assert time.process_time() - begun < 5


def test_groups_and_names_together_measure_each_once() -> None:
    (run,) = plan({**SIMPLE, "measurements": {"groups": ["hardness"], "names": ["attacked"]}}).runs
    cells = [(c.measurement, c.dataset) for c in run.spec.plan.cells]
    assert cells == [("attacked", "flowers"), ("attacked", "numerals")]


def test_every_problem_is_told_at_once_with_near_matches() -> None:
    spec = {
        "models": [{"name": "resent"}, {"name": "vit"}],
        "measurements": {"groups": ["hardnes"], "names": ["atacked"]},
        "mode": "carefull",
    }
    assert problems(spec, name="much-too-long-a-name-for-this-x") == {
        "metadata.name": "must have at most 30 characters, begin with a letter and hold only "
        "a-z, 0-9 and -",
        "spec.models[0].name": "no Model is called resent; did you mean resnet?",
        "spec.measurements.groups[0]": "no MeasurementGroup is called hardnes; did you mean "
        "hardness?",
        "spec.measurements.names[0]": "no Measurement is called atacked; did you mean attacked?",
        "spec.mode": "no Mode is called carefull; did you mean careful, default?",
    }


def test_a_bad_library_object_is_named_with_its_own_field() -> None:
    bad = library("Model", "bad", {"timm": "x", "numClasses": 0})
    found = problems({**SIMPLE, "models": [{"name": "bad"}]}, bad)
    assert list(found) == ["spec.models[0].name"]
    assert found["spec.models[0].name"].startswith("Model bad: spec.numClasses: ")


def test_a_missing_dataset_is_found_through_its_measurement() -> None:
    lost = library(
        "Measurement", "lost", {"category": "benefit", "entryPoint": "x", "datasets": ["numeral"]}
    )
    found = problems({**SIMPLE, "measurements": {"names": ["lost"]}}, lost)
    assert found == {
        "spec.measurements.names[0]": "no Dataset is called numeral; did you mean numerals?"
    }


def test_two_models_of_one_name_are_a_problem() -> None:
    models = [{"inline": {"timm": "a"}, "alias": "x"}, {"inline": {"timm": "b"}, "alias": "x"}]
    assert problems({**SIMPLE, "models": models}) == {
        "spec.models": "two different models are called x"
    }


def test_a_mode_is_open_to_the_namespaces_it_lists() -> None:
    assert plan({**SIMPLE, "mode": "careful"}, namespace="team-a").runs
    assert problems({**SIMPLE, "mode": "careful"}, namespace="team-b") == {
        "spec.mode": "Mode careful is not open to namespace team-b"
    }


def _many(count: int) -> list[Any]:
    parameters = {"text": "x" * 4000}
    spec = {"category": "benefit", "entryPoint": "x", "datasets": ["numerals"]}
    return [
        library("Measurement", f"m{i}", {**spec, **({"parameters": parameters} if big else {})})
        for i, big in ((i, count < 100) for i in range(count))
    ]


@pytest.mark.parametrize(
    ("spec", "extra", "field", "text"),
    [
        ({"models": [{"selector": {"matchLabels": {"a": "b"}}}]},
         [library("Model", f"m{i}", {"timm": "x"}, a="b") for i in range(1001)],
         "spec.models", "1001 models, at most 1000"),
        ({"measurements": {"groups": ["a", "b", "c"]}},
         [*_many(300), *(library("MeasurementGroup", g, {"measurements": [
             f"m{i}" for i in range(n * 100, n * 100 + 100)]}) for n, g in enumerate("abc"))],
         "spec.measurements", "300 measurements on a dataset, at most 256"),
        ({"measurements": {"names": [f"m{i}" for i in range(17)]}}, _many(17),
         "spec.measurements", "bytes, at most 65536"),
        ({"measurements": {"names": ["m"]}},
         [library("Dataset", n, {"embedded": {"name": "digits"}}) for n in ("a.b", "apb")]
         + [library("Measurement", "m", {"category": "benefit", "entryPoint": "x",
                                         "datasets": ["a.b", "apb"]})],
         "spec.measurements", "datasets a.b and apb would have the same keys"),
    ],
    ids=["models", "cells", "bytes", "keys"],
)  # fmt: skip
def test_what_is_too_much_is_a_problem_and_no_crash(
    spec: Object, extra: list[Object], field: str, text: str
) -> None:
    found = problems({**SIMPLE, **spec}, *extra)
    assert text in found[field]


def test_the_first_layer_wins() -> None:
    def found(*layers: Layer) -> str | None:
        entry = Catalog(layers).find("Model", "m")
        return str(entry.spec["timm"]) if entry else None

    ours, theirs = (
        Layer.from_manifests(n, [library("Model", "m", {"timm": n})]) for n in ("ours", "theirs")
    )
    assert found(ours, theirs) == "ours"
    assert found(theirs, ours) == "theirs"
    assert found(Layer("empty"), ours) == "ours"
    assert found() is None
    assert [e.spec["timm"] for e in Catalog([ours, theirs]).all("Model")] == ["ours"]


def test_modes_come_from_the_admins_layers_alone() -> None:
    user = Layer.from_manifests("user", [*everything(), library("Mode", "mine", {"gpus": 8})])
    admin = Layer.from_manifests("admin", [DEFAULT_MODE])
    spec = EvaluationSpec.read(edited({"spec": SIMPLE}, {"spec.mode": "mine"})["spec"])
    with pytest.raises(ResolveError, match="no Mode is called mine"):
        resolve("e", "d", spec, Catalog([user]), image="r", modes=Catalog([admin]))
