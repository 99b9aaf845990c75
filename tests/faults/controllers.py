"""Job controller and kubelet of one namespace: level-based, so that they heal as the real ones do.

What a pod does is told by the name of its model: see `Script`. The garbage collector is not played:
a real one runs beside the API server.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from urllib3.exceptions import HTTPError

from interplay_api.constants import EXIT_REASONS
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import Hand
from tests.faults.observer import Observer
from tests.faults.promises import is_live
from tests.faults.truth import message_of

__all__ = ["TWIN", "Act", "Controllers", "Script", "disrupted", "owned", "phase"]

TRANSIENT = (404, 409, 410, 429, 500, 503, 504)
"""Answers after which a controller just looks again."""
ECHO_SECONDS = 1.0
"""How long a pod of our own may take to be seen."""
TWIN = "twin"
STUCK: Mapping[str, Object] = {
    "image": {"waiting": {"reason": "ErrImagePull", "message": "no such tag"}},
    "config": {"waiting": {"reason": "CreateContainerConfigError", "message": "no such secret"}},
}


@dataclass(frozen=True, slots=True)
class Act:
    """What the pods of one Job do."""

    code: int = 0
    words: str = ""
    """The termination message where the code is not 0."""
    pending: float = 0.0
    running: float = 0.0
    lag: float = 0.0
    """Between the pod's end and the Job's."""
    stuck: str = ""
    """Never starts: `image` or `config`."""
    salt: str = ""
    values: int = 1
    lie: Mapping[str, object] = field(default_factory=dict)
    """Fields of the report that are wrong."""
    twin: float | None = None
    """Seconds that a second pod runs, which is there from the start and has other numbers."""


@dataclass
class Script:
    """By model; the others do what `usual` draws."""

    acts: dict[str, Act | Callable[[Object], Act]] = field(default_factory=dict)
    usual: Callable[[], Act] = Act

    def act(self, job: Object) -> Act:
        """Of one Job."""
        model = job["metadata"]["annotations"]["interplay.dev/model"]
        act = self.acts.get(model) or self.usual()
        return act if isinstance(act, Act) else act(job)


class Controllers(threading.Thread):
    """Brings every Job of a namespace to its end, unless `halted`."""

    def __init__(self, hand: Hand, observer: Observer, script: Script) -> None:
        super().__init__(name=f"controllers {hand.namespace}")
        self.hand, self.observer, self.script = hand, observer, script
        self.halted = threading.Event()
        self.failure: Exception | None = None
        self._acts: dict[str, Act] = {}
        self._since: dict[str, float] = {}
        """By uid and what is waited for."""
        self._done: set[str] = set()
        self._seen: set[str] = set()
        self._made: dict[str, tuple[int, str, float]] = {}
        """By Job: pods made, the last one's uid, and when."""
        self._end = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        while not self._end.is_set():
            try:
                if not self.halted.is_set():
                    self._look()
            except Exception as error:
                self.failure = error
                return
            self.observer.pause(0.1)

    def stop(self) -> None:
        """End; raises what went wrong."""
        self._end.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def _look(self) -> None:
        namespace = self.hand.namespace
        pods: dict[str, list[Object]] = {}
        for pod in self.observer.now(namespace, "Pod"):
            pods.setdefault(owned(pod), []).append(pod)
            self._seen.add(pod["metadata"]["uid"])
        for job in self.observer.now(namespace, "Job"):
            if is_live(job) and not self._end.is_set():
                with _looking_again():
                    self._sync(job, pods.get(job["metadata"]["uid"], []))

    def _sync(self, job: Object, pods: list[Object]) -> None:
        uid = job["metadata"]["uid"]
        if uid not in self._acts:
            self._acts[uid] = self.script.act(job)
        act = self._acts[uid]
        if job["spec"].get("suspend"):
            for pod in pods:
                if phase(pod) in ("Pending", "Running"):
                    self.hand.admin.delete(pod)
            return
        if any(phase(p) == "Succeeded" for p in pods):
            if self._waited(f"{uid} lag", act.lag):
                self._end_job(job)
            return
        failed = [p for p in pods if phase(p) == "Failed"]
        counted = [p for p in failed if not disrupted(p)]
        if any(exit_code(p) in EXIT_REASONS for p in counted):
            self._end_job(job, "PodFailurePolicy")
        elif len(counted) > job["spec"].get("backoffLimit", 0):
            self._end_job(job, "BackoffLimitExceeded")
        elif len(failed) == len(pods):
            self._create_pod(job)
        else:
            for pod in pods:
                self._step(job, pod, act)

    def _step(self, job: Object, pod: Object, act: Act) -> None:
        uid = pod["metadata"]["uid"]
        twin = pod["metadata"]["name"].endswith(TWIN)
        running = act.twin if twin and act.twin is not None else act.running
        if "deletionTimestamp" in pod["metadata"]:
            return
        if phase(pod) == "Pending":
            if act.stuck:
                state = STUCK[act.stuck]
                self._once(f"{uid} stuck", lambda: self.hand.set_pod(pod, "Pending", state))
            elif self._waited(f"{uid} pending", act.pending):
                self._once(f"{uid} runs", lambda: self.hand.running(pod))
        elif phase(pod) == "Running" and self._waited(f"{uid} running", running):
            salt = TWIN if twin else act.salt
            words = act.words if act.code else message_of(job, pod, salt, act.values, **act.lie)
            self._once(f"{uid} ends", lambda: self.hand.exits(pod, act.code, words))

    def _create_pod(self, job: Object) -> None:
        uid = job["metadata"]["uid"]
        number, made, when = self._made.get(uid, (0, "", 0.0))
        if made and made not in self._seen and time.monotonic() - when < ECHO_SECONDS:
            return
        pod = self.hand.pod(job, f"{number}-{uid[:5]}")
        if self._acts[uid].twin is not None and not number:
            self.hand.pod(job, f"{number}-{TWIN}")
        self._made[uid] = number + 1, pod["metadata"]["uid"], time.monotonic()

    def _end_job(self, job: Object, failed: str = "") -> None:
        self._once(f"{job['metadata']['uid']} over", lambda: self.hand.end_job(job, failed))

    def _once(self, what: str, do: Callable[[], object]) -> None:
        """A write whose echo has not come yet is not made again."""
        if what not in self._done:
            do()
            self._done.add(what)

    def _waited(self, what: str, seconds: float) -> bool:
        return time.monotonic() - self._since.setdefault(what, time.monotonic()) >= seconds


def phase(pod: Object) -> str:
    """Of a pod."""
    found: str = pod.get("status", {}).get("phase", "Pending")
    return found


def disrupted(pod: Object) -> bool:
    """Whether its failure does not count."""
    return any(
        c["type"] == "DisruptionTarget" and c["status"] == "True"
        for c in pod.get("status", {}).get("conditions", ())
    )


def exit_code(pod: Object) -> int | None:
    """Of its runner."""
    states = pod.get("status", {}).get("containerStatuses", ())
    code: int | None = states[0]["state"].get("terminated", {}).get("exitCode") if states else None
    return code


def owned(item: Object) -> str:
    """Uid of the controlling owner."""
    owners = item["metadata"].get("ownerReferences", ())
    return next((str(o["uid"]) for o in owners if o.get("controller")), "")


@contextlib.contextmanager
def _looking_again() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.status not in TRANSIENT:
            raise
    except (HTTPError, OSError):
        # The API server is down: the campaign's own doing.
        time.sleep(0.1)
