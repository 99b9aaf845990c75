"""F31, second half: pods that lie to a live operator; their numbers never come out, others do."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from interplay_api.constants import ANNOTATION_ATTEMPT
from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition, model
from tests.faults.promises import check
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.reports import LIES, wrapped
from tests.faults.served import Served
from tests.faults.truth import Library, Numbers, message_of
from tests.faults.world import World

__all__ = ["lie_to", "pods"]

PER_ROUND = 50
KUBELET_BYTES = 12_288
"""More than this no kubelet passes on."""
LIMIT = 60.0


def raw_of(message: str) -> dict[str, Any]:
    """The report in a termination message, as plain JSON."""
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(message.split(" ")[2])))
    return found


def lie_to(what: str, job: Object, pod: Object) -> str:
    """A termination message that must not be believed, and that a kubelet passes on."""
    honest = message_of(job, pod)
    said = wrapped(LIES[what](raw_of(honest)))
    return said if len(said) <= KUBELET_BYTES else wrapped(b"too long to be told")


class Liars:
    """Job controller and kubelet: the first attempt of each model lies, the second does not."""

    def __init__(self, served: Served, lies: Mapping[str, str]) -> None:
        self.served, self.lies = served, lies
        self._done: set[str] = set()

    def step(self) -> bool:
        """End every new Job; whether all Evaluations are complete."""
        namespace, observer = self.served.namespaces[0], self.served.world.observer
        for job in observer.now(namespace, "Job"):
            if job["metadata"]["uid"] not in self._done:
                self._done.add(job["metadata"]["uid"])
                self._end(job)
        found = {e["metadata"]["name"]: e for e in observer.now(namespace, "Evaluation")}
        return all(
            condition(found.get(n, {}), "Complete").get("status") == "True" for n in self.lies
        )

    def _end(self, job: Object) -> None:
        hand, annotations = self.served.hand, job["metadata"]["annotations"]
        pod = hand.pod(job)
        first = annotations[ANNOTATION_ATTEMPT] == "1"
        what = self.lies.get(annotations["interplay.dev/evaluation"], "")
        said = lie_to(what, job, pod) if first and what else message_of(job, pod)
        hand.exits(pod, 0, said)
        try:
            hand.end_job(job)
        except ApiError as error:
            # The operator needs the pod alone, and may have been quicker.
            if error.status not in (404, 409):
                raise


@campaign("F31b", "Hostile reports, told to a live operator", quick=1, full=2, kind="input")
def pods(world: World, round_: Round) -> list[Fault]:
    """Each lie is refused with a reason, and the next attempt succeeds."""
    names = round_.dice.sample(sorted(LIES), min(PER_ROUND, len(LIES)))
    lies = {f"lie{n}": what for n, what in enumerate(names)}
    faults = {name: round_.fault(what) for name, what in lies.items()}
    with Served(world) as served:
        for name in lies:
            served.hand.evaluation(name, models=[model(name)], reuse="Never")
        served.settles(Liars(served, lies).step, LIMIT)
        for name, fault in faults.items():
            fault.violations += _verdict(served, name)
        for violation in _history(served):
            faults["lie0"].violations.append(violation)
        faults["lie0"].violations += [f"I8: {p}" for p in served.problems()]
        for name in lies:
            served.hand.delete(name)
    return list(faults.values())


def _history(served: Served) -> list[str]:
    namespace = served.namespaces[0]
    library = Library(namespace)
    spec = {"category": "benefit", "entryPoint": "top1", "datasets": ["digits"]}
    library.add("Measurement", "top1", spec)
    found = check(served.world.observer.history(namespace), library, Numbers())
    return [f"{v.promise}: {v.what}" for v in found]


def _verdict(served: Served, name: str) -> list[str]:
    namespace, observer = served.namespaces[0], served.world.observer
    evaluation = next(
        e for e in observer.now(namespace, "Evaluation") if e["metadata"]["name"] == name
    )
    if condition(evaluation, "Complete").get("status") != "True":
        return [f"I5: not complete: {condition(evaluation, 'Progressing').get('message')}"]
    told = set()
    attempt = 0
    for change in observer.history(namespace):
        if change.kind == "ModelRun" and change.item["spec"]["evaluation"] == name:
            attempt = change.item.get("status", {}).get("attempt", 0)
            told.add(condition(change.item, "Waiting").get("message", ""))
    said = [t for t in told if t.startswith("ReportRefused: report: ")]
    wrong = [] if attempt == 2 else [f"I2: attempt {attempt}: the lie was believed"]
    if not said:
        wrong.append(f"I4: no reason was given: {sorted(told)}")
    return wrong + [f"I4: {t!r}" for t in said if not t.isprintable() or len(t) > 1024]
