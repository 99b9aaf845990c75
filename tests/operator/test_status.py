"""ModelRuns folded into their Evaluation's status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interplay_api.evaluation import EvaluationStatus
from interplay_api.resolve import Problem
from interplay_operator.plan import ending
from interplay_operator.records import RunRecord, condition_of
from interplay_operator.status import Fold, fold, mark_library, refuse, unresolved
from tests.operator.builders import NOW, evaluation, model, policy, resolved, run

SUCCEEDED = {
    "attempt": 1,
    "startTime": "2026-01-02T03:00:00Z",
    "completionTime": "2026-01-02T03:01:00Z",
}


def ended(type_: str, reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A ModelRun's final status."""
    condition = {
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T03:01:00Z",
    }
    return {**SUCCEEDED, "conditions": [condition], **more}


def cells(count: int = 1) -> list[dict[str, Any]]:
    """Numbers of one cell."""
    values = [
        {"key": f"digits_test_m{i}", "metric": f"m{i}", "value": 0.123456789, "n": 600}
        for i in range(count)
    ]
    return [
        {
            "measurement": "top1",
            "dataset": "digits",
            "key": "c" * 64,
            "state": "Succeeded",
            "values": values,
        }
    ]


def runs_of(**status: Mapping[str, Any]) -> dict[str, RunRecord]:
    """ModelRuns of models with these names, by how their own names end."""
    made = resolved(models=[model(n) for n in status])
    runs = [run(m, status[m.spec.model], uid=m.name) for m in made]
    return {ending(r.meta.name): r for r in runs}


def folded(runs: Mapping[str, RunRecord], **known: Any) -> EvaluationStatus:
    """Their Evaluation's status."""
    fields: dict[str, Any] = {
        "evaluation": evaluation(),
        "suspend": False,
        "plan": list(runs),
        "library_digest": "d" * 64,
        "lost": frozenset(),
        "library_changed": False,
        "now": NOW,
    }
    return fold(Fold(runs=runs, **{**fields, **known}))


def conditions(status: EvaluationStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in status.conditions}


def message(status: EvaluationStatus, type_: str) -> str:
    found = condition_of(status.conditions, type_)
    return found.message if found else ""


def test_complete_means_that_every_model_has_numbers() -> None:
    good = ended("Complete", "Succeeded", cells=cells())
    status = folded(runs_of(a=good, b=ended("Complete", "SomeMeasurementsFailed", cells=cells())))
    said = conditions(status)
    assert said["Complete"] == ("True", "AllModelsSucceeded")
    assert said["Failed"][0] == said["Progressing"][0] == said["Suspended"][0] == "False"
    assert message(status, "Complete") == "some measurements failed: b"
    assert status.summary == "2/2"
    assert status.completion_time == "2026-01-02T03:01:00Z"
    assert [r.model for r in status.results] == ["a", "b"]


def test_one_bad_model_fails_the_evaluation_at_the_end_and_keeps_the_good_numbers() -> None:
    good = ended("Complete", "Succeeded", cells=cells())
    bad = ended("Failed", "BadModel", "no such model")
    half = folded(runs_of(a=good, b=bad, c={"attempt": 1}))
    assert conditions(half)["Failed"][0] == "False"
    assert "b: BadModel: no such model" in message(half, "Progressing")
    assert half.completion_time is None
    status = folded(runs_of(a=good, b=bad))
    assert conditions(status)["Failed"] == ("True", "ModelsFailed")
    assert conditions(status)["Complete"][0] == "False"
    assert message(status, "Failed") == "1 of 2 models failed: b: BadModel: no such model"
    assert [r.model for r in status.results] == ["a"]


def test_counts_add_up_in_every_state() -> None:
    runs = runs_of(
        a=ended("Complete", "Reused", attempt=0),
        b=ended("Failed", "PodFailed"),
        c={"attempt": 1},
        d={},
    )
    status = folded(runs, lost=frozenset({"0" * 8}), plan=[*runs, "0" * 8])
    counts = status.models
    assert counts is not None
    assert (counts.pending, counts.running, counts.succeeded, counts.failed) == (1, 1, 1, 2)
    assert counts.total == 5
    assert counts.reused == 1
    assert status.progress_percent == 60
    assert status.start_time == "2026-01-02T03:00:00Z"


def test_suspended_is_not_progressing_and_says_who_waits_for_what() -> None:
    waits = {
        "attempt": 1,
        "conditions": [
            {
                "type": "Waiting",
                "status": "True",
                "reason": "Unschedulable",
                "message": "0/1 nodes",
                "lastTransitionTime": "2026-01-02T03:01:00Z",
            }
        ],
    }
    status = folded(runs_of(a=waits))
    assert message(status, "Progressing") == "1 waiting: a: Unschedulable: 0/1 nodes"
    status = folded(runs_of(a=waits), suspend=True)
    assert conditions(status)["Suspended"] == ("True", "Suspended")
    assert conditions(status)["Progressing"] == ("False", "Suspended")


def test_numbers_that_are_too_many_stay_in_the_modelruns() -> None:
    many = {f"m{i}": ended("Complete", "Succeeded", cells=cells(60)) for i in range(60)}
    status = folded(runs_of(**many))
    assert status.results == []
    assert conditions(status)["ResultsDropped"] == ("True", "TooLarge")
    assert conditions(status)["Complete"][0] == "True"


def test_the_deadline_is_the_reason_where_it_was() -> None:
    status = folded(runs_of(a=ended("Failed", "DeadlineExceeded")))
    assert conditions(status)["Failed"] == ("True", "DeadlineExceeded")


def test_names_may_come_until_the_start_deadline() -> None:
    problems = [Problem("spec.models[0].name", "no Model is called x; did you mean y?")]
    waits = policy(startDeadlineSeconds=60)
    first = unresolved(evaluation(), waits, problems, NOW)
    assert conditions(first)["Progressing"] == ("False", "Unresolved")
    assert conditions(first)["Failed"][0] == "False"
    assert "did you mean y?" in message(first, "Progressing")
    later = NOW + timedelta(seconds=59)
    kept = evaluation(first.wire())
    assert unresolved(kept, waits, problems, later) == first
    late = unresolved(kept, waits, problems, NOW + timedelta(seconds=60))
    assert conditions(late)["Failed"] == ("True", "Unresolved")
    fresh = evaluation(late.wire(), generation=2)
    assert conditions(unresolved(fresh, waits, problems, later))["Failed"][0] == "False"


def test_a_spec_that_cannot_be_read_fails_at_once() -> None:
    broken = evaluation(models=[{"name": "a", "alias": "b"}])
    assert broken.policy is None
    status = refuse(broken, broken.problem, NOW)
    assert conditions(status)["Failed"] == ("True", "InvalidSpec")
    assert message(status, "Failed").startswith("spec.models[0]: ")


def test_the_same_facts_give_the_same_status_at_any_time() -> None:
    runs = runs_of(a={"attempt": 1}, b={})
    first = folded(runs)
    kept = evaluation(first.wire())
    assert folded(runs, evaluation=kept, now=NOW + timedelta(hours=1)) == first


def test_the_librarys_mark_comes_and_goes_and_changes_nothing_else() -> None:
    done = evaluation(folded(runs_of(a=ended("Complete", "Succeeded", cells=cells()))).wire())
    marked = mark_library(done, True, NOW)
    assert conditions(marked)["LibraryChanged"][0] == "True"
    again = evaluation(marked.wire())
    assert mark_library(again, True, NOW + timedelta(hours=1)) == marked
    assert mark_library(again, False, NOW) == done.status
