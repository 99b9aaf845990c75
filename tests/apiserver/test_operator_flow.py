"""Evaluations through the real API server, with the rights that RULES names and nothing more."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from interplay_api.constants import API_VERSION
from interplay_operator.rbac import RULES
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import (
    Hand,
    OperatorProcess,
    condition,
    model,
    report_of,
    until,
)
from tests.apiserver.server import ApiServer, Write

pytestmark = pytest.mark.apiserver

SYSTEM = "interplay-flow"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:operator"


@pytest.fixture(scope="module")
def operator(
    server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """One operator for all namespaces."""
    meta = {"name": SYSTEM}
    server.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    kubeconfig = server.service_account(SYSTEM, "operator", RULES, cluster=True)
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    process = OperatorProcess(kubeconfig, SYSTEM, log)
    process.start()
    yield process
    process.stop()
    assert "Traceback" not in log.read_text()


@pytest.fixture
def hand(server: ApiServer, operator: OperatorProcess, namespace: str) -> Hand:
    """Controllers and kubelet of a fresh namespace with two measurements."""
    assert operator.process.pid is not None
    return Hand(server.admin, namespace)


def test_numbers_of_a_pod_become_status_and_metrics(operator: OperatorProcess, hand: Hand) -> None:
    hand.evaluation("one")
    hand.finish(hand.job(), 0.75)
    done = hand.until("one", "Complete")
    value = {"value": 0.75, "low": 0.5, "high": 0.9, "n": 100}
    assert done["status"]["results"] == [{"model": "a", "values": {"digits_test_top1": value}}]
    assert done["status"]["summary"] == "1/1"
    assert done["status"]["progressPercent"] == 100
    until("the Job is deleted", lambda: not hand.jobs())
    label = f'namespace="{hand.namespace}"'
    assert label in operator.metrics()
    hand.delete("one")
    until("its series are gone", lambda: label not in operator.metrics())


def test_a_job_is_our_own_in_every_way(server: ApiServer, hand: Hand) -> None:
    hand.evaluation("own")
    job = hand.job()
    (run,) = hand.runs()
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner["uid"] == run["metadata"]["uid"]
    assert owner["controller"] is owner["blockOwnerDeletion"] is True
    assert run["metadata"]["ownerReferences"][0]["uid"] == hand.get("own")["metadata"]["uid"]
    namespace = server.admin.get("v1", "Namespace", "", hand.namespace)
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    server.admin.patch(namespace, {"metadata": {"labels": enforce}})
    hand.pod(job)


def test_a_name_that_is_missing_is_explained_and_heals(hand: Hand) -> None:
    hand.evaluation("typo", measurements={"names": ["top2"]})
    item = hand.until("typo", "Progressing", "False")
    said = condition(item, "Progressing")
    assert said["reason"] == "Unresolved"
    assert said["message"].startswith(
        "spec.measurements.names[0]: no Measurement is called top2; did you mean top1"
    )
    assert condition(item, "Failed")["status"] == "False"
    assert hand.runs() == []
    hand.measurement("top2")
    assert hand.job()


def test_a_name_that_never_comes_fails_at_the_start_deadline(hand: Hand) -> None:
    hand.evaluation("never", mode="nowhere", startDeadlineSeconds=1)
    item = hand.until("never", "Failed")
    assert condition(item, "Failed")["reason"] == "Unresolved"
    assert "no Mode is called nowhere" in condition(item, "Failed")["message"]


def test_one_bad_model_fails_alone(hand: Hand) -> None:
    hand.evaluation("mixed", models=[model("good"), model("bad")])
    bad = hand.job(2, model="bad")
    hand.exits(hand.pod(bad), 64, "interplay: BadModel: no such model")
    hand.finish(hand.job(2, model="good"))
    item = hand.until("mixed", "Failed")
    assert condition(item, "Failed")["message"] == (
        "1 of 2 models failed: bad: BadModel: no such model"
    )
    assert [r["model"] for r in item["status"]["results"]] == ["good"]
    until("the good Job is deleted, the bad one is kept", lambda: len(hand.jobs()) == 1)
    assert hand.jobs()[0]["metadata"]["name"] == bad["metadata"]["name"]


def test_parallelism_is_held_and_slots_are_handed_on(hand: Hand) -> None:
    names = ["a", "b", "c", "d"]
    hand.evaluation("slots", models=[model(n) for n in names], parallelism=2)
    hand.job(2)
    seen = []
    for name in names:
        job = hand.job(1, model=name)
        assert len(hand.jobs()) <= 2
        seen.append(job["metadata"]["annotations"]["interplay.dev/model"])
        hand.finish(job)
        uid = job["metadata"]["uid"]
        until("its Job is deleted", partial(hand.is_gone, uid))
    assert seen == names
    assert hand.until("slots", "Complete")["status"]["models"]["succeeded"] == 4


def test_suspend_and_resume(hand: Hand) -> None:
    hand.evaluation("pause", models=[model("a"), model("b")], parallelism=1)
    hand.running(hand.pod(hand.job()))
    hand.evaluation("pause", models=[model("a"), model("b")], parallelism=1, suspend=True)
    hand.until("pause", "Suspended")
    until("the Job is suspended", lambda: hand.job()["spec"].get("suspend"))
    assert len(hand.jobs()) == 1
    hand.evaluation("pause", models=[model("a"), model("b")], parallelism=1, suspend=False)
    item = hand.until("pause", "Suspended", "False")
    assert condition(item, "Progressing")["status"] == "True"
    until("the Job goes on", lambda: not hand.job()["spec"].get("suspend"))


def test_adding_a_measurement_runs_that_measurement_alone(hand: Hand) -> None:
    hand.measurement("more")
    hand.evaluation("grow")
    hand.finish(hand.job(), 0.25)
    hand.until("grow", "Complete")
    (old,) = hand.runs()
    until("its Job is deleted", lambda: not hand.jobs())
    hand.evaluation("grow", measurements={"names": ["top1", "more"]})
    job = hand.job()
    assert cells_of(job) == 1
    until("the old ModelRun is gone", lambda: len(hand.runs()) == 1)
    hand.finish(job, 0.5)
    item = hand.until("grow", "Complete")
    assert item["status"]["observedGeneration"] == 2
    values = item["status"]["results"][0]["values"]
    assert values["digits_test_top1"]["value"] == 0.25
    assert values["digits_test_more"]["value"] == 0.5
    (run,) = hand.runs()
    origin = {c["measurement"]: c.get("reusedFrom") for c in run["status"]["cells"]}
    assert origin == {"top1": old["metadata"]["name"], "more": None}


def cells_of(job: Object) -> int:
    """How many cells an attempt measures."""
    plan: str = job["spec"]["template"]["metadata"]["annotations"]["interplay.dev/plan"]
    return plan.count('"entryPoint"')


def test_another_evaluation_of_the_same_copies_all_or_runs_when_told(hand: Hand) -> None:
    hand.evaluation("first")
    hand.finish(hand.job(), 0.25)
    hand.until("first", "Complete")
    until("its Job is deleted", lambda: not hand.jobs())
    hand.evaluation("second")
    item = hand.until("second", "Complete")
    assert item["status"]["models"]["reused"] == 1
    assert item["status"]["results"] == hand.get("first")["status"]["results"]
    assert hand.jobs() == []
    hand.evaluation("third", reuse="Never")
    assert cells_of(hand.job()) == 1


def test_a_lie_is_refused_and_run_again(hand: Hand) -> None:
    hand.evaluation("liar")
    job = hand.job()
    pod = hand.pod(job)
    hand.exits(pod, 0, report_of(job, pod, 1.0, modelrun_uid="another"))
    hand.end_job(job)
    again = hand.job(2, attempt="2")
    assert again["metadata"]["name"].endswith("-2")
    (run,) = hand.runs()
    assert run["status"]["reruns"] == 1
    assert "modelrunUid" in condition(run, "Waiting")["message"]
    pod = hand.pod(again)
    hand.exits(pod, 0, report_of(again, pod, 0.5))
    assert hand.until("liar", "Complete")["status"]["results"][0]["values"]["digits_test_top1"][
        "value"
    ] == pytest.approx(0.5)


def test_a_pod_of_somebody_else_reports_nothing(hand: Hand) -> None:
    hand.evaluation("spoof")
    job = hand.job()
    pod = hand.pod({**job, "metadata": {**job["metadata"], "uid": "forged"}}, "forged")
    hand.exits(pod, 0, report_of(job, pod, 1.0))
    hand.finish(job, 0.5)
    item = hand.until("spoof", "Complete")
    assert item["status"]["results"][0]["values"]["digits_test_top1"]["value"] == 0.5


def test_a_stuck_image_fails_with_the_kubelets_words(hand: Hand) -> None:
    hand.evaluation("stuck", startDeadlineSeconds=2)
    pod = hand.pod(hand.job())
    hand.set_pod(pod, "Pending", {"waiting": {"reason": "ErrImagePull", "message": "no such tag"}})
    item = hand.until("stuck", "Failed")
    assert (
        "StartDeadlineExceeded: ImagePull: ErrImagePull: no such tag"
        in (condition(item, "Failed")["message"])
    )
    until("the Job is stopped", lambda: not hand.jobs())


def test_quota_is_told_from_events(server: ApiServer, hand: Hand) -> None:
    hand.evaluation("quota")
    job = hand.job()
    meta = {"name": "quota", "namespace": hand.namespace}
    about = {"kind": "Job", "namespace": hand.namespace, "name": job["metadata"]["name"]}
    about |= {"uid": job["metadata"]["uid"], "apiVersion": "batch/v1"}
    message = 'pods "x" is forbidden: exceeded quota: gpus'
    server.admin.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": meta,
            "involvedObject": about,
            "reason": "FailedCreate",
            "message": message,
            "type": "Warning",
        }
    )

    def look() -> Object | None:
        item = hand.get("quota")
        found = condition(item, "Progressing").get("message", "")
        return item if "QuotaExceeded" in found and message in found else None

    until("the quota is named", look)


def test_the_deadline_of_the_evaluation_ends_it(hand: Hand) -> None:
    hand.evaluation("late", models=[model("a"), model("b")], parallelism=1, activeDeadlineSeconds=2)
    hand.job()
    item = hand.until("late", "Failed")
    assert condition(item, "Failed")["reason"] == "DeadlineExceeded"
    assert item["status"]["models"]["failed"] == 2
    until("its Job is gone", lambda: not hand.jobs())


def test_a_finished_evaluation_goes_after_its_ttl(hand: Hand) -> None:
    hand.evaluation("brief", ttlSecondsAfterFinished=1)
    hand.finish(hand.job())
    until("it is gone", lambda: gone(hand, "brief"))


def gone(hand: Hand, name: str) -> bool:
    """Whether an Evaluation is no more."""
    try:
        hand.get(name)
    except ApiError as error:
        return error.status == 404
    return False


def test_claims_are_open_only_with_their_label(server: ApiServer, hand: Hand) -> None:
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "results", "namespace": hand.namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    server.admin.create(claim)
    hand.evaluation("closed", outputs={"claimName": "results"})
    item = hand.until("closed", "Progressing", "False")
    assert condition(item, "Progressing")["message"] == (
        "spec.outputs.claimName: claim results lacks the label interplay.dev/allow=evaluation"
    )
    server.admin.patch(claim, {"metadata": {"labels": {"interplay.dev/allow": "evaluation"}}})
    hand.evaluation("open", outputs={"claimName": "results"})
    volumes = hand.job()["spec"]["template"]["spec"]["volumes"]
    assert {"name": "interplay-outputs", "persistentVolumeClaim": {"claimName": "results"}} in (
        volumes
    )


def test_a_library_that_changes_is_marked_and_touches_nothing(hand: Hand) -> None:
    hand.evaluation("marked", models=[model("a"), model("b")], parallelism=1)
    hand.job()
    before = {r["metadata"]["name"] for r in hand.runs()}
    hand.measurement("top1", numerics=2)
    item = hand.until("marked", "LibraryChanged")
    assert condition(item, "Progressing")["status"] == "True"
    assert {r["metadata"]["name"] for r in hand.runs()} == before
    hand.measurement("top1")
    until(
        "the mark is gone",
        lambda: condition(hand.get("marked"), "LibraryChanged") == {},
    )


def test_applying_again_and_waiting_write_nothing(server: ApiServer, hand: Hand) -> None:
    hand.evaluation("idle", models=[model("a"), model("b")])
    hand.finish(hand.job(2, model="a"))
    until("one Job is left", lambda: len(hand.jobs()) == 1)
    hand.running(hand.pod(hand.job()))
    until("it is shown", lambda: hand.get("idle")["status"]["models"]["succeeded"] == 1)
    until("it is steady", lambda: steady(hand))
    before = len(server.writes(user=ACCOUNT))
    hand.evaluation("idle", models=[model("a"), model("b")])
    time.sleep(3)
    assert len(server.writes(user=ACCOUNT)) == before


def steady(hand: Hand, seconds: float = 6) -> bool:
    """Whether nothing of ours changed for a while, longer than a coalesced write waits."""

    def versions() -> list[str]:
        kinds = (hand.runs(), hand.admin.list(API_VERSION, "Evaluation", hand.namespace))
        return [i["metadata"]["resourceVersion"] for items in kinds for i in items]

    before = versions()
    time.sleep(seconds)
    return versions() == before


def test_it_is_small_when_idle(operator: OperatorProcess) -> None:
    pages = int(Path(f"/proc/{operator.process.pid}/statm").read_text().split()[1])
    megabytes = pages * resource.getpagesize() / 1e6
    print(f"{megabytes:.0f} MB")
    assert megabytes <= 100


def test_few_writes_make_one_model(server: ApiServer, hand: Hand) -> None:
    hand.evaluation("cheap")
    hand.finish(hand.job())
    hand.until("cheap", "Complete")
    until("its Job is deleted", lambda: not hand.jobs())

    def told() -> list[Write] | None:
        """What was written, once the Event of the end, which comes last, is there."""
        mine = [w for w in server.writes(user=ACCOUNT) if w.namespace == hand.namespace]
        return mine if sum(w.resource == "events" for w in mine) > 1 else None

    mine = until("its end is told", told)
    counts = {
        what: sum((w.verb, w.resource) == what for w in mine)
        for what in {(w.verb, w.resource) for w in mine}
    }
    assert counts.pop(("create", "modelruns")) == 1
    assert counts.pop(("create", "jobs")) == 1
    assert counts.pop(("delete", "jobs")) == 1
    assert counts.pop(("update", "modelruns/status")) <= 3
    assert counts.pop(("update", "evaluations/status")) <= 4
    assert counts.pop(("create", "events")) == 2, "one for its start, one for its end"
    assert counts == {}
    assert {w.code for w in mine} <= {200, 201}
