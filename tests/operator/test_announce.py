"""Events: few, once per turn, and safe to tell twice."""

from __future__ import annotations

from interplay_api.evaluation import Condition
from interplay_operator.announce import announced, event_manifest
from interplay_operator.records import Meta
from interplay_operator.resources import EVALUATIONS, RUNS
from tests.operator.builders import NOW

TIME = "2026-01-02T03:04:05Z"


def turned(type_: str, status: str, generation: int = 1) -> Condition:
    return Condition.read(
        {
            "type": type_,
            "status": status,
            "reason": "Why",
            "message": "because",
            "observedGeneration": generation,
            "lastTransitionTime": TIME,
        }
    )


def test_only_turns_are_told_and_a_new_generation_is_one() -> None:
    running, done = turned("Progressing", "True"), turned("Complete", "True")
    assert announced("Evaluation", [], [running]) == [running]
    assert announced("Evaluation", [running], [running]) == []
    assert announced("Evaluation", [running], [turned("Progressing", "False"), done]) == [done]
    assert announced("Evaluation", [done], [turned("Complete", "True", 2)]) != []
    assert announced("ModelRun", [], [turned("Running", "True"), turned("Complete", "True")]) == []


def test_an_event_is_named_by_what_it_tells() -> None:
    meta = Meta.of(
        {"metadata": {"name": "e", "namespace": "n", "uid": "u", "resourceVersion": "7"}}
    )
    failed = turned("Failed", "True")
    event = event_manifest(RUNS, meta, failed, NOW)
    assert event["type"] == "Warning"
    assert (event["reason"], event["message"]) == ("Why", "because")
    assert event["involvedObject"]["uid"] == "u"
    assert event_manifest(RUNS, meta, failed, NOW) == event
    again = event_manifest(EVALUATIONS, meta, turned("Failed", "True", 2), NOW)
    assert again["metadata"]["name"] != event["metadata"]["name"]
