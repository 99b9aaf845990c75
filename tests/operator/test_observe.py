"""What a Job and its pods mean, in the cluster's own words."""

from __future__ import annotations

import pytest

from interplay_operator.observe import Observation, State, observe
from interplay_operator.reasons import RunReason
from interplay_operator.workloads import EventRecord, JobRecord, PodRecord
from tests.operator.builders import event, job, pod, run

RUN = run()
JOB = job(RUN)

PULL = ("ImagePullBackOff", "Back-off pulling image x: not found")
CONFIG = ("CreateContainerConfigError", "secret s not found")
REJECTED = pod(JOB, "Failed", reason="UnexpectedAdmissionError", message="no gpu is healthy")
NO_CLAIM = '0/1 nodes: persistentvolumeclaim "results" not found'

CASES: dict[str, tuple[JobRecord, list[PodRecord], list[EventRecord], State, str, str]] = {
    "image": (JOB, [pod(JOB, waiting=PULL)], [], State.WAITING, RunReason.IMAGE, PULL[1]),
    "config": (JOB, [pod(JOB, waiting=CONFIG)], [], State.WAITING, RunReason.CONFIG, CONFIG[1]),
    "no node": (
        JOB,
        [pod(JOB, unscheduled="0/3 nodes: too few gpus")],
        [],
        State.WAITING,
        RunReason.UNSCHEDULABLE,
        "too few gpus",
    ),
    "no claim": (
        JOB, [pod(JOB, unscheduled=NO_CLAIM)], [], State.WAITING, RunReason.MOUNT, "results",
    ),
    "mount": (
        JOB, [pod(JOB)], [event("FailedMount", "no such export")], State.WAITING,
        RunReason.MOUNT, "no such export",
    ),
    "mount, and its summary": (
        JOB, [pod(JOB)],
        [
            event("FailedMount", "no such export"),
            event("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[x]"),
        ],
        State.WAITING, RunReason.MOUNT, "no such export",
    ),
    "quota": (
        JOB, [], [event("FailedCreate", "pods x is forbidden: exceeded quota: q")],
        State.WAITING, RunReason.QUOTA, "exceeded quota",
    ),
    "refused pod": (
        JOB, [], [event("FailedCreate", "violates PodSecurity")], State.WAITING,
        RunReason.CREATE, "PodSecurity",
    ),
    "between pods": (
        JOB, [pod(JOB, "Failed", code=1, message="boom")], [], State.WAITING,
        RunReason.RETRYING, "boom",
    ),
    "suspended": (job(RUN, suspended=True), [], [], State.SUSPENDED, "", ""),
    "running": (JOB, [pod(JOB, "Running", running=True)], [], State.RUNNING, "PodRunning", ""),
    "about to end": (JOB, [pod(JOB, "Running", code=0)], [], State.RUNNING, "PodRunning", ""),
    "bad model": (
        JOB, [pod(JOB, "Failed", code=64, message="interplay: BadModel: no such model")], [],
        State.FAILED, "BadModel", "no such model",
    ),
    "crash": (
        job(RUN, ended="BackoffLimitExceeded"),
        [pod(JOB, "Failed", code=1, message="Traceback\n\x1b[31mValueError: x\n")],
        [], State.FAILED, RunReason.POD_FAILED, "exit code 1: [31mValueError: x",
    ),
    "rejected": (
        job(RUN, ended="BackoffLimitExceeded"), [REJECTED], [],
        State.FAILED, RunReason.POD_FAILED, "no gpu is healthy",
    ),
    "job's own words": (
        job(RUN, ended="DeadlineExceeded", message="too long"), [], [], State.FAILED,
        RunReason.POD_FAILED, "DeadlineExceeded: too long",
    ),
    "lost": (job(RUN, ended="Complete"), [], [], State.LOST, "", "its pod is gone"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_situation_has_one_name(name: str) -> None:
    of, pods, events, state, reason, words = CASES[name]
    seen = observe(of, pods, events)
    assert (seen.state, seen.reason) == (state, reason)
    assert words in seen.message
    assert "\x1b" not in seen.message
    assert len(seen.message) <= 1024


def test_a_result_counts_before_the_job_says_so_and_the_first_of_two_wins() -> None:
    late = pod(JOB, "Succeeded", uid="z", code=0)
    early = pod(JOB, "Succeeded", uid="a", code=0)
    assert observe(JOB, [late, early]).pod is early
    assert observe(JOB, [early, late]) == Observation(State.SUCCEEDED, pod=early)


def test_an_evicted_bad_exit_is_not_the_models_fault() -> None:
    evicted = pod(JOB, "Failed", code=64, disrupted=True)
    seen = observe(JOB, [evicted])
    assert (seen.state, seen.reason) == (State.WAITING, RunReason.RETRYING)
    assert seen.message == "EvictionByEvictionAPI: Eviction API: evicting"
