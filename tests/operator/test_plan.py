"""Which ModelRuns an Evaluation has, which may start, and which go."""

from __future__ import annotations

import pytest

from interplay_api.catalog import Entry
from interplay_api.evaluation import EvaluationSpec
from interplay_api.resolve import ResolvedRun, ResolveError
from interplay_operator.plan import claims, draft, ending, startable, superseded
from interplay_operator.policy import Policy, spec_digest
from interplay_operator.records import RunRecord
from tests.operator.builders import IMAGE, catalog, model, resolved, run, spec_of, started


def planned(names: str, **status: object) -> dict[str, RunRecord]:
    """One pending ModelRun per letter; `status` gives some of them another status."""
    runs = {}
    for name, made in zip(names, resolved(models=[model(n) for n in names]), strict=True):
        runs[name] = run(made, status.get(name), uid=name)  # type: ignore[arg-type]
    return runs


def test_slots_go_by_the_order_of_the_plan_and_live_ones_take_them() -> None:
    runs = planned("abcde", a={"attempt": 1}, c=FINISHED)
    assert startable("abcde", runs, 1) == []
    assert startable("abcde", runs, 3) == ["b", "d"]
    assert startable("abcde", runs, 9) == ["b", "d", "e"]
    assert startable("edcba", runs, 2) == ["e"]
    assert startable("", runs, 2) == []


FINISHED = {
    "attempt": 1,
    "conditions": [
        {
            "type": "Complete",
            "status": "True",
            "reason": "Succeeded",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ],
}


def with_cell(made: ResolvedRun, uid: str, count: int = 1, generation: int = 1) -> RunRecord:
    """A finished ModelRun with numbers for its first cells."""
    cells = [
        {"measurement": c.measurement, "dataset": c.dataset, "key": c.key, "state": "Succeeded"}
        for c in made.spec.plan.cells[:count]
    ]
    return run(made, {**FINISHED, "cells": cells}, uid=uid, generation=generation)


def test_an_old_run_goes_only_after_its_successor_holds_what_it_can_copy() -> None:
    old = with_cell(resolved()[0], "old")
    more = resolved(measurements={"names": ["calibration", "top1"]})[0]
    plan = [ending(more.name)]
    assert superseded(plan, [old, run(more, uid="new")], 2, reuse=True) == []
    assert superseded(plan, [old, run(more, uid="new")], 2, reuse=False) == [old]
    copied = run(more, {"cells": old.packed_status.unpack()["cells"]}, uid="new")
    assert superseded(plan, [old, copied], 2, reuse=True) == [old]
    runs_anyway = run(more, started(), uid="new")
    assert superseded(plan, [old, runs_anyway], 2, reuse=True) == [old]


def test_a_run_of_a_later_generation_is_not_ours_to_delete() -> None:
    newer = run(resolved(overrides={"seed": 1})[0], uid="newer", generation=3)
    assert superseded([], [newer], 2, reuse=False) == []
    assert superseded([], [newer], 3, reuse=False) == [newer]


def test_policies_are_no_part_of_the_plan() -> None:
    spec = EvaluationSpec.read(spec_of())
    other = EvaluationSpec.read(
        spec_of(parallelism=9, suspend=True, backoffLimit=0, reuse="Never", keepPods="all")
    )
    assert spec_digest(spec) == spec_digest(other)
    assert spec_digest(spec) != spec_digest(EvaluationSpec.read(spec_of(overrides={"seed": 1})))
    assert Policy.of(other).parallelism == 9


def folder(path: str, **more: str) -> tuple[Entry, Entry]:
    """A dataset on a claim and a measurement on it."""
    images = {"path": path, "claimName": "images", **more}
    return (
        Entry("Dataset", "pets", {"imageFolder": images, "revision": "1"}),
        Entry(
            "Measurement",
            "pets-top1",
            {"category": "benefit", "entryPoint": "top-k", "datasets": ["pets"]},
        ),
    )


def attempt(mode: dict[str, object] | None, *entries: Entry) -> list[str]:
    """Problems of a plan."""
    known = catalog(mode, *entries)
    names = ["pets-top1"] if entries else ["top1"]
    spec = EvaluationSpec.read(spec_of(measurements={"names": names}))
    try:
        draft("e", "team", spec, known, known, IMAGE)
    except ResolveError as error:
        return [str(p) for p in error.problems]
    return []


@pytest.mark.parametrize("path", ["/etc/interplay", "/tmp", "/dev/shm", "/outputs/x", "/a/../etc"])
def test_no_volume_of_a_mode_hides_what_a_pod_needs(path: str) -> None:
    volume = {"name": "v", "claimName": "c", "mountPath": path}
    (problem,) = attempt({"volumes": [volume]})
    assert problem.startswith("spec.mode: Mode default: volume v: mountPath")


@pytest.mark.parametrize(
    ("path", "more"),
    [("/usr/bin", {}), ("/data/../etc", {}), ("/data", {}), ("/data/x", {"subPath": "../y"})],
)
def test_no_dataset_mounts_outside_of_its_place(path: str, more: dict[str, str]) -> None:
    (problem,) = attempt(None, *folder(path, **more))
    assert problem.startswith("spec.measurements: Dataset pets: ")


def test_two_volumes_in_one_place_are_a_problem() -> None:
    volume = {"name": "v", "claimName": "other", "mountPath": "/data/pets"}
    assert attempt({"volumes": [volume]}, *folder("/data/pets"))
    assert attempt(None, *folder("/data/pets")) == []


def test_claims_that_a_user_names_are_checked_and_those_of_the_mode_are_not() -> None:
    names = {"names": ["pets-top1"]}
    entries = folder("/data/pets")
    made = resolved(None, *entries, measurements=names, outputs={"claimName": "results"})
    assert claims(made) == {
        "results": "spec.outputs.claimName",
        "images": "spec.measurements",
    }
    listed = {"volumes": [{"name": "v", "claimName": "images", "mountPath": "/images"}]}
    assert claims(resolved(listed, *entries, measurements=names)) == {}
