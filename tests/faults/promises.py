"""The promises I1-I4, I7, I9 and I11 of the design, judged over all that happened. Pure.

I5, I6 and I8 are about time and silence: the rig looks at those while it waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interplay_api.constants import ANNOTATION_ATTEMPT, LABEL_MODELRUN_UID
from interplay_api.resolve import ResolveError
from tests.apiserver.client import Object
from tests.apiserver.operator import condition
from tests.faults.observer import Change
from tests.faults.truth import Library, Numbers

__all__ = ["Violation", "check", "finished", "is_live", "is_over"]

COLLECTOR = {"foregroundDeletion", "orphan"}
"""Finalizers of Kubernetes' own garbage collector."""
FINAL = ("Complete", "Failed")
COUNTS = ("pending", "running", "succeeded", "failed")
MARK = "LibraryChanged"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    promise: str
    what: str
    time: float
    """On the harness's monotonic clock."""


def finished(item: Object) -> bool:
    """Whether an Evaluation or ModelRun is Complete or Failed."""
    return any(condition(item, t).get("status") == "True" for t in FINAL)


def is_over(job: Object) -> bool:
    """Whether a Job ended."""
    return finished(job)


def is_live(job: Object) -> bool:
    """Whether a Job may still run pods."""
    return not is_over(job) and "deletionTimestamp" not in job["metadata"]


def check(
    history: Sequence[Change],
    library: Library,
    numbers: Numbers,
    repeatable: frozenset[str] = frozenset(),
) -> list[Violation]:
    """Every broken promise in a namespace's history, oldest first.

    `repeatable` are uids of Jobs that somebody else deleted: their attempt may be created anew.
    """
    replay = _Replay(library, numbers, repeatable)
    found = []
    for change in history:
        found += [Violation(p, what, change.time) for p, what in replay.take(change)]
    return found


Found = Iterator[tuple[str, str]]


@dataclass
class _Replay:
    """The state of the store while its history is told again."""

    library: Library
    numbers: Numbers
    repeatable: frozenset[str]
    latest: dict[str, Object] = field(default_factory=dict)
    """By uid, of every kind."""
    jobs: dict[str, dict[str, Object]] = field(default_factory=dict)
    """By uid of their ModelRun: those that are there."""
    attempts: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    specs: dict[tuple[str, int], Object] = field(default_factory=dict)
    """Of an Evaluation's uid and generation."""

    def take(self, change: Change) -> Found:
        """Judge one change, then remember it."""
        item, kind = change.item, change.kind
        before = self.latest.get(change.uid)
        if kind == "Job":
            yield from self._job(change)
        if change.type == "DELETED":
            self.latest.pop(change.uid, None)
            return
        name = f"{kind} {item['metadata']['name']}"
        ours = set(item["metadata"].get("finalizers", ())) - COLLECTOR
        if kind != "Pod" and ours:
            yield "I7", f"{name} has finalizers: {sorted(ours)}"
        if kind == "ModelRun":
            yield from self._run(name, before, item)
        elif kind == "Evaluation":
            self.specs.setdefault((change.uid, item["metadata"]["generation"]), item["spec"])
            yield from self._evaluation(name, before, item)
        self.latest[change.uid] = item

    # Jobs

    def _job(self, change: Change) -> Found:
        job = change.item
        uid = job["metadata"].get("labels", {}).get(LABEL_MODELRUN_UID, "")
        mine = self.jobs.setdefault(uid, {})
        if change.type == "DELETED":
            mine.pop(change.uid, None)
            return
        new = change.uid not in mine
        mine[change.uid] = job
        if new:
            yield from self._new_job(uid, job)
            live = [j["metadata"]["name"] for j in mine.values() if is_live(j)]
            if len(live) > 1:
                yield "I1", f"{len(live)} live Jobs of one ModelRun: {', '.join(sorted(live))}"

    def _new_job(self, run_uid: str, job: Object) -> Found:
        name = job["metadata"]["name"]
        attempt = job["metadata"].get("annotations", {}).get(ANNOTATION_ATTEMPT, "?")
        run = self.latest.get(run_uid)
        if run is not None:
            expected = f"{run['metadata']['name']}-{attempt}"
            if name != expected:
                yield "I1", f"Job {name} is not called {expected}"
            written = run.get("status", {}).get("attempt", 0)
            if str(written) != attempt:
                yield "I1", f"Job {name} was created while the status said attempt {written}"
            if finished(run):
                yield "I2", f"Job {name} was created for a ModelRun that had ended"
        made = self.attempts.setdefault((run_uid, attempt), set())
        if made - self.repeatable:
            yield "I1", f"attempt {attempt} of {name} got another Job"
        made.add(job["metadata"]["uid"])
        yield from _access(name, job["spec"]["template"]["spec"])

    # ModelRuns

    def _run(self, name: str, before: Object | None, run: Object) -> Found:
        old, new = (before or {}).get("status", {}), run.get("status", {})
        if before is not None:
            if before["spec"] != run["spec"]:
                yield "I3", f"{name}: its frozen spec changed"
            for count in ("attempt", "reruns"):
                if new.get(count, 0) < old.get(count, 0):
                    yield "I4", f"{name}: {count} went from {old[count]} to {new.get(count, 0)}"
            if finished(before) and old != new:
                yield "I4", f"{name}: it had ended and changed{_difference(old, new)}"
        if all(condition(run, t).get("status") == "True" for t in FINAL):
            yield "I4", f"{name}: Complete and Failed"
        if old.get("cells") != new.get("cells"):
            yield from self._cells(name, run)

    def _cells(self, name: str, run: Object) -> Found:
        keys = {(c["measurement"], c["dataset"]): c["key"] for c in run["spec"]["plan"]["cells"]}
        for cell in run["status"].get("cells", ()):
            where = f"{name}: {cell['measurement']} on {cell['dataset']}"
            if keys.get((cell["measurement"], cell["dataset"])) != cell["key"]:
                yield "I3", f"{where}: it has the key of something else"
            for value in cell.get("values", ()):
                yield from self._number(f"{where}: {value['key']}", cell["key"], value)

    def _number(self, where: str, key: str, value: Mapping[str, Any]) -> Found:
        number = value.get("value")
        if number is None:
            if not value.get("reason"):
                yield "I9", f"{where}: neither a number nor a reason"
            return
        parts = [number, value.get("low", number), value.get("high", number)]
        if not all(isinstance(p, int | float) and math.isfinite(p) for p in parts):
            yield "I9", f"{where}: {parts} are not finite"
        elif not parts[1] <= number <= parts[2] or not value.get("n"):
            yield "I9", f"{where}: {number} with {value}"
        if not self.numbers.right(key, number):
            yield "I2", f"{where}: {number} is not the number of this cell"

    # Evaluations

    def _evaluation(self, name: str, before: Object | None, item: Object) -> Found:
        status = item.get("status")
        if not status or (before is not None and before.get("status") == status):
            return
        old = (before or {}).get("status", {})
        seen, generation = status.get("observedGeneration", 0), item["metadata"]["generation"]
        if seen > generation or seen < old.get("observedGeneration", 0):
            yield "I3", f"{name}: observedGeneration went to {seen} at {generation}"
        if before is not None and finished(before) and seen == old.get("observedGeneration"):
            yield from _still_final(name, old, status)
        if all(condition(item, t).get("status") == "True" for t in FINAL):
            yield "I4", f"{name}: Complete and Failed"
        yield from _counts(name, item, status)
        for one in status.get("conditions", ()):
            if one.get("observedGeneration") != seen:
                yield "I3", f"{name}: {one['type']} speaks of another generation than the status"
        yield from self._table(name, item, status, seen)

    def _table(self, name: str, item: Object, status: Object, seen: int) -> Found:
        spec = self.specs.get((item["metadata"]["uid"], seen))
        rows = status.get("results", ())
        if not rows or spec is None:
            return
        try:
            keys = self.library.keys(item["metadata"]["name"], spec)
        except ResolveError:
            # A name of the frozen plan has left the library since.
            return
        if len({r["model"] for r in rows}) != len(rows):
            yield "I2", f"{name}: a model has two rows"
        for row in rows:
            known = keys.get(row["model"])
            if known is None:
                yield "I3", f"{name}: a row of {row['model']}, which generation {seen} lacks"
                continue
            for key, value in row["values"].items():
                where = f"{name}: {row['model']}: {key}"
                if key not in known:
                    yield "I3", f"{where}: not of generation {seen}"
                else:
                    yield from self._number(where, known[key], value)


def _still_final(name: str, old: Object, new: Object) -> Found:
    def settled(status: Object) -> Object:
        kept = [c for c in status.get("conditions", ()) if c["type"] != MARK]
        return {**status, "conditions": kept}

    if settled(old) != settled(new):
        difference = _difference(settled(old), settled(new))
        yield "I4", f"{name}: final for its generation, and changed{difference}"


def _counts(name: str, item: Object, status: Object) -> Found:
    models = status.get("models") or {}
    parts = [models.get(c, 0) for c in COUNTS]
    if min(parts) < 0 or sum(parts) != models.get("total", 0):
        yield "I4", f"{name}: counts do not add up: {models}"
    if models.get("reused", 0) > models.get("succeeded", 0):
        yield "I4", f"{name}: more reused than succeeded: {models}"
    total, failed, good = (models.get(c, 0) for c in ("total", "failed", "succeeded"))
    if condition(item, "Complete").get("status") == "True" and good != total:
        yield "I4", f"{name}: Complete with {models}"
    if total and condition(item, "Failed").get("status") == "True" and not failed:
        yield "I4", f"{name}: Failed with {models}"
    if len(status.get("results", ())) > good:
        yield "I4", f"{name}: more rows than models that succeeded"


def _difference(old: Object, new: Object) -> str:
    changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    return ": " + ", ".join(changed)


def _access(name: str, pod: Object) -> Found:
    """A runner pod has no token, no host and no privilege."""
    if pod.get("automountServiceAccountToken") is not False:
        yield "I11", f"Job {name}: its pods mount a token"
    for volume in pod.get("volumes", ()):
        sources = volume.get("projected", {}).get("sources", ())
        if any("serviceAccountToken" in s for s in sources) or "hostPath" in volume:
            yield "I11", f"Job {name}: volume {volume['name']}"
    if any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")):
        yield "I11", f"Job {name}: it joins its host"
    for container in pod["containers"]:
        security = container.get("securityContext", {})
        if security.get("privileged") or security.get("allowPrivilegeEscalation") is not False:
            yield "I11", f"Job {name}: container {container['name']} may rise"
