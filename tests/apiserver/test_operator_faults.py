"""One scenario under faults: killed around every write, conflicts, lost answers, two operators.

Whatever happens in between, the end is the same: each result published once, one Job per attempt,
no attempt without a reason, counts that add up.
"""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import Hand, OperatorProcess, condition, model, until
from tests.apiserver.proxy import Harm, Proxy, Request
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

SEED = 20_260_102


@pytest.fixture
def proxy(server: ApiServer) -> Iterator[Proxy]:
    made = Proxy(server)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def operator(proxy: Proxy, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of this namespace alone, behind the proxy."""
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
    process = OperatorProcess(kubeconfig, namespace, tmp_path / "operator.log", [namespace])
    yield process
    process.stop()


class Controllers(threading.Thread):
    """Ends every Job as it comes: model `bad` badly, the others with their number."""

    def __init__(self, hand: Hand, numbers: dict[str, float]) -> None:
        super().__init__(name="controllers")
        self.hand, self.numbers = hand, numbers
        self.seen: list[str] = []
        self.failure: Exception | None = None
        self._stop_it = threading.Event()

    def run(self) -> None:
        try:
            while not self._stop_it.wait(0.05):
                for job in self.hand.jobs():
                    if job["metadata"]["uid"] not in self.seen:
                        self.seen.append(job["metadata"]["uid"])
                        self._end(job)
        except Exception as error:
            self.failure = error

    def _end(self, job: Object) -> None:
        name = job["metadata"]["annotations"]["interplay.dev/model"]
        try:
            if name == "bad":
                self.hand.exits(self.hand.pod(job), 64, "interplay: BadModel: no such model")
                self.hand.end_job(job, failed="PodFailurePolicy")
            else:
                self.hand.finish(job, self.numbers[name])
        except ApiError as error:
            if error.status != 404:
                raise

    def stop(self) -> None:
        self._stop_it.set()
        self.join()
        if self.failure is not None:
            raise self.failure


NUMBERS = {"a": 0.25, "b": 0.5}


def scenario(hand: Hand, alive: Callable[[], None] = lambda: None) -> None:
    """Two good models and a bad one, then an edit that drops the bad one; checks the end."""
    controllers = Controllers(hand, NUMBERS)
    controllers.start()
    try:
        hand.evaluation("s", models=[model("a"), model("b"), model("bad")], parallelism=2)
        failed = converged(hand, "Failed", alive)
        assert condition(failed, "Failed")["message"].endswith("bad: BadModel: no such model")
        assert numbers(failed) == NUMBERS
        counts = failed["status"]["models"]
        assert (counts["total"], counts["succeeded"], counts["failed"]) == (3, 2, 1)
        hand.evaluation("s", models=[model("a"), model("b")], parallelism=2)
        done = converged(hand, "Complete", alive)
        assert numbers(done) == NUMBERS

        def left() -> bool:
            alive()
            return len(hand.runs()) == 2

        until("only the ModelRuns of the plan are left", left, 60)
    finally:
        controllers.stop()
    jobs = Counter(controllers.seen)
    assert set(jobs.values()) == {1}
    assert len(jobs) == 3, "one Job per model, whatever was repeated"
    for run in hand.runs():
        assert run["status"]["attempt"] == 1
        assert run["status"]["reruns"] == 0


def converged(hand: Hand, type_: str, alive: Callable[[], None]) -> Object:
    """The Evaluation when its latest generation has the condition."""

    def look() -> Object | None:
        alive()
        item = hand.get("s")
        found = condition(item, type_)
        seen = found.get("observedGeneration") == item["metadata"]["generation"]
        return item if seen and found["status"] == "True" else None

    return until(type_, look, 300)


def numbers(item: Object) -> dict[str, float]:
    """The one number of each model."""
    return {r["model"]: r["values"]["digits_test_top1"]["value"] for r in item["status"]["results"]}


@pytest.mark.parametrize("harm", [Harm.BEFORE, Harm.AFTER], ids=lambda h: h.name.lower())
def test_killed_around_every_write(
    operator: OperatorProcess, proxy: Proxy, hand: Hand, harm: Harm
) -> None:
    seen: Counter[Request] = Counter()
    killed = threading.Event()
    kills: list[int] = []

    def judge(request: Request) -> Harm:
        """After every write, or before every write the first time that it is tried."""
        if killed.is_set():
            return Harm.BEFORE
        seen[request] += 1
        return harm if harm is Harm.AFTER or seen[request] % 2 else Harm.NONE

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            operator.process.signal(signal.SIGKILL)

    def alive() -> None:
        if killed.is_set():
            operator.process.stop()
            killed.clear()
            operator.process.start()
            kills.append(len(seen))

    proxy.judge, proxy.after = judge, kill
    operator.start()
    scenario(hand, alive)
    print(f"killed {len(kills)} times")
    assert len(kills) >= 8


def test_conflicts_and_lost_answers_on_every_write(
    operator: OperatorProcess, proxy: Proxy, hand: Hand
) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    hits: Counter[Harm] = Counter()

    def judge(_request: Request) -> Harm:
        harm = dice.choice([Harm.NONE, Harm.NONE, Harm.CONFLICT, Harm.BEFORE, Harm.AFTER])
        hits[harm] += 1
        return harm

    proxy.judge = judge
    operator.start()
    scenario(hand)
    print({h.name: n for h, n in hits.items()})
    assert sum(hits.values()) > 20
    assert operator.process.pid is not None


def test_two_operators_do_the_work_of_one(
    operator: OperatorProcess, proxy: Proxy, hand: Hand, tmp_path: Path
) -> None:
    second = OperatorProcess(
        tmp_path / "kubeconfig", hand.namespace, tmp_path / "second.log", [hand.namespace]
    )
    assert proxy.port
    operator.start()
    second.start()
    try:
        scenario(hand)
    finally:
        second.stop()


def test_the_api_server_is_killed_in_the_middle(
    server: ApiServer, operator: OperatorProcess, hand: Hand
) -> None:
    operator.start()
    hand.evaluation("s", models=[model("a"), model("b")], parallelism=1)
    first = hand.job()
    server.restart()
    hand.finish(first, 0.25)
    hand.finish(hand.job(1, model="b"), 0.5)
    assert numbers(hand.until("s", "Complete")) == NUMBERS
    assert operator.get(operator.probes, "healthz") == (200, "ok")


@pytest.fixture
def hand(server: ApiServer, namespace: str) -> Hand:
    return Hand(server.admin, namespace)
