"""Records of our own kinds: the few facts that decisions need, instead of whole objects.

A parsed pod costs 38 KiB as Python dicts and half a KiB as a record. Large parts (specs, cells) are
kept packed and unpacked where they are needed.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from interplay_api.base import ApiModel
from interplay_api.catalog import Entry, problem_of
from interplay_api.constants import ANNOTATION_GENERATION
from interplay_api.evaluation import Condition, EvaluationSpec, EvaluationStatus
from interplay_api.modelrun import ModelRunSpec, ModelRunStatus
from interplay_api.names import digest

from .policy import Policy, spec_digest
from .reasons import EvaluationCondition, RunCondition

__all__ = [
    "EvaluationRecord",
    "LibraryRecord",
    "Meta",
    "Packed",
    "RunRecord",
    "condition_of",
]

Object = Mapping[str, Any]
A = TypeVar("A", bound=ApiModel)
VALUE_BYTES = 128
"""JSON of four numbers and their names."""


class Packed:
    """A JSON value as compressed text: a tenth of what it costs as dicts."""

    __slots__ = ("_data",)

    def __init__(self, value: Any) -> None:
        self._data = zlib.compress(to_json(value), 1)

    def unpack(self) -> Any:
        """The value again."""
        return from_json(zlib.decompress(self._data), cache_strings="keys")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)


@dataclass(frozen=True, slots=True)
class Meta:
    """What every record has."""

    namespace: str
    name: str
    uid: str
    version: int
    """The resourceVersion; of one kind they can be compared."""
    generation: int
    created: str
    deleting: bool
    owner_uid: str
    """Of the controlling owner."""
    owner_name: str

    @classmethod
    def of(cls, item: Object) -> Meta:
        """Read metadata."""
        meta = item["metadata"]
        owners = [o for o in meta.get("ownerReferences") or () if o.get("controller")]
        owner: Object = owners[0] if owners else {}
        return cls(
            namespace=sys.intern(meta.get("namespace", "")),
            name=meta["name"],
            uid=meta["uid"],
            version=int(meta["resourceVersion"]),
            generation=meta.get("generation", 0),
            created=meta.get("creationTimestamp") or "",
            deleting="deletionTimestamp" in meta,
            owner_uid=owner.get("uid", ""),
            owner_name=owner.get("name", ""),
        )

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of one type."""
    return next((c for c in conditions if c.type == type_), None)


def _is_true(conditions: Iterable[Condition], type_: str) -> bool:
    found = condition_of(conditions, type_)
    return found is not None and found.status == "True"


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One Evaluation."""

    meta: Meta
    problem: str
    """Why the spec cannot be read, or nothing."""
    packed_spec: Packed
    packed_status: Packed
    policy: Policy | None
    """None where there is a problem."""
    wanted: str
    """Digest of what a plan of this spec follows from."""
    observed: int
    finished: bool
    plan: tuple[str, ...]
    spec_digest: str
    """What the frozen plan follows from; equal to `wanted` while it is good."""
    library_digest: str
    """Of the library that the plan was made of."""
    library_marked: bool
    """Whether the status says that today's is another."""

    @classmethod
    def of(cls, item: Object) -> EvaluationRecord:
        """Project one object."""
        raw, problem, spec = item.get("spec") or {}, "", None
        try:
            spec = EvaluationSpec.read(raw)
        except ValidationError as error:
            problem = ": ".join(problem_of(error, "spec"))
        status, raw_status = _status_of(item, EvaluationStatus)
        done = _is_true(status.conditions, EvaluationCondition.COMPLETE) or _is_true(
            status.conditions, EvaluationCondition.FAILED
        )
        return cls(
            meta=Meta.of(item),
            problem=problem,
            packed_spec=Packed(raw),
            packed_status=Packed(raw_status),
            policy=Policy.of(spec) if spec else None,
            wanted=spec_digest(spec) if spec else "",
            observed=status.observed_generation or 0,
            finished=done,
            plan=tuple(sys.intern(p) for p in status.plan),
            spec_digest=status.spec_digest or "",
            library_digest=sys.intern(status.library_digest or ""),
            library_marked=_is_true(status.conditions, EvaluationCondition.LIBRARY_CHANGED),
        )

    @property
    def final(self) -> bool:
        """Whether it ended, and nothing was asked of it since."""
        return self.finished and self.observed == self.meta.generation

    @property
    def frozen(self) -> bool:
        """Whether its plan is made and good for this spec."""
        return bool(self.plan) and self.spec_digest == self.wanted

    @property
    def spec(self) -> EvaluationSpec:
        """The whole spec; only where there is no problem."""
        return EvaluationSpec.read(self.packed_spec.unpack())

    @property
    def status(self) -> EvaluationStatus:
        """The whole status."""
        return _stored(EvaluationStatus, self.packed_status.unpack())


def _stored(type_: type[A], raw: Any) -> A:
    """What the API server has stored: it is plain JSON already, so `read` would do work twice."""
    return type_.model_validate(raw, by_alias=True, by_name=False)


def _status_of(item: Object, type_: type[A]) -> tuple[A, Object]:
    """The status, or an empty one where somebody wrote what is not ours: it is written anew."""
    raw = item.get("status") or {}
    try:
        return _stored(type_, raw), raw
    except ValidationError:
        return type_(), {}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One ModelRun."""

    meta: Meta
    evaluation: str
    evaluation_generation: int
    model: str
    attempt: int
    job_uid: str
    complete: bool
    failed: bool
    reason: str
    """Of the condition that is final, or of Waiting while it waits."""
    message: str
    started: str
    ended: str
    reused: bool
    done_keys: frozenset[str]
    """Content keys whose numbers are here."""
    packed_spec: Packed
    packed_status: Packed
    value_count: int
    row_bytes: int
    """What its row of the Evaluation's table may take at most."""

    @classmethod
    def of(cls, item: Object) -> RunRecord:
        """Project one object."""
        status, raw_status = _status_of(item, ModelRunStatus)
        complete = _is_true(status.conditions, RunCondition.COMPLETE)
        failed = _is_true(status.conditions, RunCondition.FAILED) and not complete
        speaks = RunCondition.COMPLETE if complete else RunCondition.FAILED if failed else "Waiting"
        condition = condition_of(status.conditions, speaks)
        shown = condition is not None and condition.status == "True"
        annotations = item["metadata"].get("annotations") or {}
        spec = item["spec"]
        values = [v for c in status.cells for v in c.values if v.value is not None]
        meta = Meta.of(item)
        owned = meta.owner_uid != ""
        return cls(
            meta=meta,
            evaluation=spec["evaluation"],
            evaluation_generation=_number(annotations.get(ANNOTATION_GENERATION)),
            model=spec["model"],
            attempt=status.attempt,
            job_uid=status.job_uid or "",
            complete=complete,
            failed=failed,
            reason=sys.intern(condition.reason) if condition and shown else "",
            message=condition.message if condition and shown else "",
            started=status.start_time or "",
            ended=status.completion_time or "",
            reused=complete and status.attempt == 0,
            # Nobody vouches for the numbers of a ModelRun that no Evaluation controls.
            done_keys=frozenset(c.key for c in status.cells if owned and c.state == "Succeeded"),
            packed_spec=Packed(spec),
            packed_status=Packed(raw_status),
            value_count=len(values),
            row_bytes=sum(len(v.key) + VALUE_BYTES for v in values),
        )

    @property
    def finished(self) -> bool:
        """Whether it is final."""
        return self.complete or self.failed

    @property
    def live(self) -> bool:
        """Whether it takes one of the Evaluation's slots."""
        return self.attempt > 0 and not self.finished

    @property
    def spec(self) -> ModelRunSpec:
        """The whole spec."""
        return _stored(ModelRunSpec, self.packed_spec.unpack())

    @property
    def status(self) -> ModelRunStatus:
        """The whole status."""
        return _stored(ModelRunStatus, self.packed_status.unpack())


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 10 else 0


@dataclass(frozen=True, slots=True)
class LibraryRecord:
    """One library object."""

    meta: Meta
    entry: Entry
    digest: str

    @classmethod
    def of(cls, kind: str, item: Object) -> LibraryRecord:
        """Project one object; listed ones do not say their kind."""
        meta = item["metadata"]
        entry = Entry(kind, meta["name"], item.get("spec") or {}, meta.get("labels") or {})
        text = {"spec": dict(entry.spec), "labels": dict(entry.labels)}
        return cls(Meta.of(item), entry, digest(text))
