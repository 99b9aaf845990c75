"""The two halves of an Evaluation's spec: what its plan follows from, and its policies.

A change of the first half makes another plan. Policies are read when they matter, so that changing
one runs nothing again.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from interplay_api.evaluation import EvaluationSpec
from interplay_api.names import digest

__all__ = ["Policy", "spec_digest"]

PLAN_FIELDS = {"models", "measurements", "mode", "overrides", "outputs"}


def spec_digest(spec: EvaluationSpec) -> str:
    """Digest of what the plan follows from."""
    return digest(spec.model_dump(mode="json", include=PLAN_FIELDS, exclude_none=True))


class Policy(NamedTuple):
    """How an Evaluation is carried out; see EvaluationSpec."""

    parallelism: int
    suspend: bool
    backoff_limit: int
    start_deadline_seconds: int
    scheduling_deadline_seconds: int | None
    active_deadline_seconds: int | None
    ttl_seconds_after_finished: int | None
    reuse: Literal["IfUnchanged", "Never"]
    keep_pods: Literal["none", "failed", "all"]

    @classmethod
    def of(cls, spec: EvaluationSpec) -> Policy:
        """The policies of a spec."""
        return cls(*(getattr(spec, name) for name in cls._fields))
