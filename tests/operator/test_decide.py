"""The next step of a ModelRun, situation by situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from interplay_api.mode import PodShape
from interplay_api.report import CellResult
from interplay_api.resolve import ResolvedRun
from interplay_operator.decide import decide
from interplay_operator.reasons import RunReason
from interplay_operator.records import RunRecord, condition_of
from interplay_operator.steps import Ask, Evidence, Offer, RunView, Step
from tests.operator.builders import NOW, event, job, pod, report, resolved, run, started, view


def condition(step: Step, type_: str) -> tuple[str, str, str]:
    """(status, reason, message) that a step would write."""
    assert step.status is not None
    found = condition_of(step.status.conditions, type_)
    assert found is not None
    return found.status, found.reason, found.message


STARTED = run(status=started())
JOB = job(STARTED)
SEEN = run(status=started(jobUid="job-1"))


def watching(*pods: Any, of: RunRecord = STARTED, **known: Any) -> RunView:
    """A view of a started ModelRun with its Job and pods."""
    return view(of, **{"jobs": [JOB], "pods": pods, **known})


def test_the_attempt_is_written_with_its_job_and_only_with_a_slot() -> None:
    step = decide(view())
    assert step.create
    assert step.status is not None
    assert (step.status.attempt, step.status.job_name) == (1, JOB.meta.name)
    assert condition(step, "Waiting")[:2] == ("True", RunReason.STARTING)
    assert decide(view(may_start=False)) == Step()
    assert decide(view(policy={"suspend": True})) == Step()


def test_a_job_that_was_never_seen_is_created_again_if_our_view_is_new() -> None:
    assert decide(view(STARTED)) == Step(ask=Ask.RUN)
    assert decide(view(STARTED, evidence=Evidence(run_current=True))) == Step(create=True)


def test_a_result_is_published_before_the_job_is_complete() -> None:
    step = decide(watching(pod(JOB, "Succeeded", code=0, message=report(STARTED))))
    assert condition(step, "Complete")[:2] == ("True", RunReason.SUCCEEDED)
    assert condition(step, "Running")[0] == "False"
    assert step.status is not None
    assert step.status.cells[0].values[0].value == 0.75
    done = run(status=step.status.wire())
    assert done.complete
    assert decide(view(done, jobs=[JOB])).delete == (JOB,)
    assert decide(view(done, jobs=[JOB], policy={"keepPods": "all"})) == Step()


def test_a_refused_report_is_run_again_after_its_job_is_over_and_not_for_ever() -> None:
    liar = pod(JOB, "Succeeded", code=0, message=report(STARTED, pod_uid="other"))
    assert decide(watching(liar)) == Step()
    over = job(STARTED, ended="Complete")
    step = decide(watching(liar, jobs=[over]))
    assert step.create
    assert step.status is not None
    assert (step.status.attempt, step.status.reruns) == (2, 1)
    assert "podUid" in condition(step, "Waiting")[2]
    tired = run(status=started(reruns=3))
    step = decide(watching(liar, of=tired, jobs=[over]))
    assert condition(step, "Failed")[1] == RunReason.REPORT_REFUSED
    assert not step.create


def test_a_second_job_starts_only_when_the_first_is_gone_with_its_pods() -> None:
    second = run(status=started(2, reruns=1))
    assert decide(view(second, jobs=[JOB])) == Step(delete=(JOB,))
    left = pod(JOB, "Running", running=True)
    assert decide(view(second, pods=[left])) == Step()
    assert decide(view(second, pods=[pod(JOB, "Failed", code=1)])) == Step(ask=Ask.RUN)
    finished = job(STARTED, ended="Complete")
    assert decide(view(second, jobs=[finished])) == Step(ask=Ask.RUN)


def test_a_vanished_job_is_looked_for_before_it_counts_as_lost() -> None:
    ask = decide(view(SEEN))
    assert (ask.ask, ask.about) == (Ask.JOB, JOB.meta.name)
    step = decide(view(SEEN, evidence=Evidence(job_gone=True)))
    assert step.status is not None
    assert (step.status.attempt, step.status.reruns, step.status.job_uid) == (2, 1, None)


def test_a_complete_job_without_pods_is_lost_only_after_a_fresh_list() -> None:
    over = job(STARTED, ended="Complete")
    assert decide(watching(jobs=[over])).ask is Ask.PODS
    step = decide(watching(jobs=[over], evidence=Evidence(pods_listed=True)))
    assert step.status is not None
    assert step.status.reruns == 1
    assert RunReason.RESULT_LOST in condition(step, "Waiting")[2]


def test_a_result_that_did_not_fit_is_asked_for_in_the_log() -> None:
    message = " ".join([*report(STARTED).split(" ")[:2], "overflow"])
    done = pod(JOB, "Succeeded", code=0, message=message)
    assert decide(watching(done)) == Step(ask=Ask.LOG, about=done.meta.name)
    over = job(STARTED, ended="Complete")
    step = decide(watching(done, jobs=[over], evidence=Evidence(log="")))
    assert condition(step, "Waiting")[1] == RunReason.RETRYING


def test_failed_measurements_fail_alone_unless_all_do() -> None:
    bad = CellResult(state="Failed", reason="no labels")
    step = decide(watching(pod(JOB, "Succeeded", code=0, message=report(STARTED, cells=[bad]))))
    assert condition(step, "Failed")[1:] == (
        RunReason.ALL_FAILED,
        "1 of 1 measurements failed: top1 on digits: no labels",
    )


def test_a_bad_model_fails_with_the_runners_words_and_keeps_its_job() -> None:
    died = pod(JOB, "Failed", code=64, message="interplay: BadModel: no such model")
    step = decide(watching(died))
    assert condition(step, "Failed") == ("True", "BadModel", "no such model")
    assert step.status is not None
    failed = run(status=step.status.wire())
    assert decide(view(failed, jobs=[JOB])) == Step()
    assert decide(view(failed, jobs=[JOB], policy={"keepPods": "none"})).delete == (JOB,)


def test_errors_that_cannot_heal_fail_after_the_start_deadline() -> None:
    stuck = pod(JOB, waiting=("ErrImagePull", "no such tag"))
    step = decide(watching(stuck))
    assert condition(step, "Waiting") == ("True", RunReason.IMAGE, "ErrImagePull: no such tag")
    assert step.status is not None
    assert step.status.stuck_since == "2026-01-02T03:04:05Z"
    assert step.wake == NOW + timedelta(seconds=600)
    waits = run(status=step.status.wire())
    other_words = pod(JOB, waiting=("ImagePullBackOff", "Back-off"))
    again = decide(watching(other_words, of=waits, now=NOW + timedelta(seconds=599)))
    assert again.status is None, "the same trouble in other words is not worth a write"
    late = decide(watching(other_words, of=waits, now=NOW + timedelta(seconds=600)))
    assert condition(late, "Failed")[1] == RunReason.START_DEADLINE
    assert late.status is not None
    failed = run(status=late.status.wire())
    assert decide(view(failed, jobs=[JOB])).delete == (JOB,), "a live Job is stopped"


def test_a_running_pod_ends_the_start_deadline() -> None:
    waits = run(status=started(stuckSince="2026-01-02T03:00:00Z"))
    step = decide(watching(pod(JOB, "Running", running=True), of=waits))
    assert step.status is not None
    assert step.status.stuck_since is None
    assert condition(step, "Running")[0] == "True"
    steady = run(status=step.status.wire())
    assert decide(watching(pod(JOB, "Running", running=True), of=steady)) == Step()


def test_no_node_is_only_reported_unless_there_is_a_deadline() -> None:
    alone = pod(JOB, unscheduled="0/1 nodes")
    year = NOW + timedelta(days=365)
    step = decide(watching(alone, now=year))
    assert condition(step, "Waiting")[1] == RunReason.UNSCHEDULABLE
    step = decide(watching(alone, policy={"schedulingDeadlineSeconds": 60}))
    assert condition(step, "Failed")[1] == RunReason.SCHEDULING_DEADLINE


def test_events_are_read_after_some_patience() -> None:
    fresh = view(STARTED, jobs=[JOB], now=NOW - timedelta(seconds=245))
    assert decide(fresh) == Step(wake=NOW - timedelta(seconds=240))
    assert decide(watching()) == Step(ask=Ask.EVENTS, about=JOB.meta.uid)
    quota = Evidence(events=(event("FailedCreate", "exceeded quota: gpus"),))
    step = decide(watching(evidence=quota, now=NOW + timedelta(days=365)))
    assert condition(step, "Waiting")[1] == RunReason.QUOTA
    assert step.status is not None
    assert step.status.stuck_since is None


@pytest.mark.parametrize("mode", [{"imagePullSecrets": ["s"]}, {"serviceAccountName": "a"}])
def test_a_missing_pull_secret_is_named_by_an_event(mode: dict[str, object]) -> None:
    made = resolved(mode)[0]
    of = run(made, {**started(), "jobName": f"{made.name}-1"})
    own = job(of)
    stuck = pod(own, waiting=("ErrImagePull", "401 Unauthorized"))
    assert decide(view(of, jobs=[own], pods=[stuck])) == Step(ask=Ask.EVENTS, about=stuck.meta.uid)
    told = Evidence(events=(event("FailedToRetrieveImagePullSecret", "no secret s;"),))
    step = decide(view(of, jobs=[own], pods=[stuck], evidence=told))
    words = "no secret s; ErrImagePull: 401 Unauthorized"
    assert condition(step, "Waiting") == ("True", RunReason.IMAGE, words)


def test_a_job_that_is_refused_counts_the_start_deadline_too() -> None:
    refused = Evidence(refusal="create jobs: 403: denied by a webhook")
    step = decide(view(STARTED, evidence=refused))
    assert step.create
    assert condition(step, "Waiting")[1] == RunReason.CREATE
    waits = run(status=step.status.wire() if step.status else {})
    late = decide(view(waits, evidence=refused, now=NOW + timedelta(seconds=600)))
    assert condition(late, "Failed")[1] == RunReason.START_DEADLINE
    assert not late.create


def test_suspend_and_resume_without_a_queue_keep_the_job() -> None:
    suspended = {"suspend": True}
    step = decide(watching(pod(JOB, "Running", running=True), policy=suspended))
    assert step.suspend == (JOB, True)
    assert condition(step, "Waiting")[1] == RunReason.SUSPENDED
    off = job(STARTED, suspended=True)
    paused = run(status=step.status.wire() if step.status else {})
    assert decide(watching(of=paused, jobs=[off], policy=suspended)) == Step()
    assert decide(watching(of=paused, jobs=[off])).suspend == (off, False)


def test_suspend_with_a_queue_deletes_the_job_and_resume_is_the_next_attempt() -> None:
    queued = resolved({"queueName": "team"})[0]
    name = f"{queued.name}-1"
    status = {**started(jobUid="job-1"), "jobName": name}
    of = run(queued, status)
    own = job(of)
    step = decide(view(of, policy={"suspend": True}, jobs=[own]))
    assert step.delete == (own,)
    paused = run(queued, step.status.wire() if step.status else {})
    assert decide(view(paused, policy={"suspend": True})).status is None
    step = decide(view(paused, evidence=Evidence(job_gone=True)))
    assert step.status is not None
    assert (step.status.attempt, step.status.reruns) == (2, 0)


def test_a_queue_is_waited_for_in_its_own_words() -> None:
    queued = resolved({"queueName": "team"})[0]
    of = run(queued, {**started(jobUid="job-1"), "jobName": f"{queued.name}-1"})
    off = job(of, suspended=True)
    assert decide(view(of, jobs=[off])).ask is Ask.EVENTS
    words = Evidence(events=(event("Pending", "couldn't assign flavors"),))
    step = decide(view(of, jobs=[off], evidence=words))
    assert condition(step, "Waiting")[1:] == (
        RunReason.QUEUED,
        "Pending: couldn't assign flavors",
    )
    assert step.suspend is None


def test_disruptions_are_counted_once_each_and_have_an_end() -> None:
    mode = resolved({"maxDisruptions": 1})[0]
    of = run(mode, {**started(), "jobName": f"{mode.name}-1"})
    own = job(of)
    first = pod(own, "Failed", uid="p1", disrupted=True)
    step = decide(view(of, jobs=[own], pods=[first]))
    assert step.status is not None
    assert step.status.disruptions == ["p1"]
    seen = run(mode, step.status.wire())
    second = pod(own, "Failed", uid="p2", disrupted=True)
    step = decide(view(seen, jobs=[own], pods=[second]))
    assert condition(step, "Failed")[1] == RunReason.DISRUPTED
    assert step.status is not None
    assert step.status.disruptions == ["p1", "p2"]


def test_the_evaluations_deadline_ends_everything() -> None:
    known: dict[str, Any] = {
        "policy": {"activeDeadlineSeconds": 60},
        "evaluation_started": "2026-01-02T03:03:00Z",
    }
    assert condition(decide(watching(**known)), "Failed")[1] == RunReason.DEADLINE
    assert condition(decide(view(may_start=False, **known)), "Failed")[1] == RunReason.DEADLINE
    late = watching(pod(JOB, "Succeeded", code=0, message=report(STARTED)), **known)
    assert condition(decide(late), "Complete")[1] == RunReason.SUCCEEDED
    known["evaluation_started"] = "2026-01-02T03:04:00Z"
    assert decide(view(may_start=False, **known)).wake == NOW + timedelta(seconds=55)


def copied_cells(of: RunRecord, *measurements: str) -> dict[str, Offer]:
    """Offers of another ModelRun for some cells."""
    source = run(resolved()[0], started())
    taken = decide(watching(pod(JOB, "Succeeded", code=0, message=report(source))))
    assert taken.status is not None
    cell = taken.status.cells[0]
    return {
        c.key: Offer("other", cell.model_copy(update={"key": c.key}))
        for c in of.spec.plan.cells
        if c.measurement in measurements
    }


def test_a_known_cell_is_copied_and_only_the_rest_runs() -> None:
    two = resolved(measurements={"names": ["calibration", "top1"]})[0]
    of = run(two)
    step = decide(view(of, may_start=False, offers=copied_cells(of, "top1")))
    assert step.status is not None
    assert [(c.measurement, c.reused_from) for c in step.status.cells] == [("top1", "other")]
    assert step.status.attempt == 0
    held = run(two, step.status.wire())
    assert decide(view(held, may_start=False, offers=copied_cells(of, "top1"))) == Step()
    step = decide(view(held))
    assert step.create
    assert step.status is not None
    assert [c.measurement for c in step.status.cells] == ["top1"]


def test_when_all_cells_are_known_no_job_runs() -> None:
    of = run()
    step = decide(view(of, may_start=False, offers=copied_cells(of, "top1")))
    assert condition(step, "Complete")[1] == RunReason.REUSED
    assert not step.create
    done = run(status=step.status.wire() if step.status else {})
    assert done.reused


@pytest.mark.parametrize("where", ["run", "evaluation"])
def test_what_is_being_deleted_is_left_alone(where: str) -> None:
    known = view()
    gone = replace(known.run.meta, deleting=True)
    if where == "run":
        known = replace(known, run=replace(known.run, meta=gone))
    else:
        known = replace(known, evaluation=replace(known.evaluation, meta=gone))
    assert decide(known) == Step()


def test_a_plan_that_somebody_touched_is_refused() -> None:
    (made,) = resolved()
    for changed in ({"plan_digest": "0" * 64}, {"model": "b"}, {"pod": PodShape(image="evil")}):
        forged = ResolvedRun(made.name, made.spec.model_copy(update=changed))
        step = decide(view(run(forged)))
        assert condition(step, "Failed")[1:] == (
            RunReason.BAD_PLAN,
            "metadata.name: it is not of this spec",
        )
        assert not step.create


def test_attempts_end_before_names_grow_too_long() -> None:
    tired = run(status=started(99))
    over = job(tired, 99, ended="Complete")
    step = decide(view(tired, jobs=[over], evidence=Evidence(pods_listed=True)))
    assert condition(step, "Failed")[1] == RunReason.ATTEMPTS
