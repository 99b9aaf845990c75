"""Every condition type and reason that the operator writes, for whoever matches on them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["STOPPED", "EvaluationCondition", "EvaluationReason", "RunCondition", "RunReason"]


class EvaluationCondition(StrEnum):
    """Condition types of an Evaluation. Complete and Failed are final and exclude each other."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    LIBRARY_CHANGED = "LibraryChanged"
    RESULTS_DROPPED = "ResultsDropped"


class EvaluationReason(StrEnum):
    """Reasons of an Evaluation's conditions."""

    RUNNING = "Running"
    NOT_SUSPENDED = "NotSuspended"
    SUSPENDED = "Suspended"
    FINISHED = "Finished"
    ALL_SUCCEEDED = "AllModelsSucceeded"
    MODELS_FAILED = "ModelsFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    INVALID_SPEC = "InvalidSpec"
    UNRESOLVED = "Unresolved"
    LIBRARY_CHANGED = "LibraryChanged"
    TOO_LARGE = "TooLarge"


class RunCondition(StrEnum):
    """Condition types of a ModelRun. Complete and Failed are final and exclude each other."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    RUNNING = "Running"
    WAITING = "Waiting"


class RunReason(StrEnum):
    """Reasons of a ModelRun's conditions; the runner's own (EXIT_REASONS) come on top."""

    # Running and Waiting
    STARTING = "Starting"
    RUNNING = "PodRunning"
    RETRYING = "Retrying"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA = "QuotaExceeded"
    IMAGE = "ImagePull"
    CONFIG = "ContainerConfig"
    MOUNT = "Mount"
    CREATE = "PodCreation"
    FINISHED = "Finished"
    # Complete
    SUCCEEDED = "Succeeded"
    REUSED = "Reused"
    SOME_FAILED = "SomeMeasurementsFailed"
    # Failed
    ALL_FAILED = "AllMeasurementsFailed"
    POD_FAILED = "PodFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    REPORT_REFUSED = "ReportRefused"
    RESULT_LOST = "ResultLost"
    RESULT_TOO_LARGE = "ResultTooLarge"
    START_DEADLINE = "StartDeadlineExceeded"
    SCHEDULING_DEADLINE = "SchedulingDeadlineExceeded"
    DEADLINE = "DeadlineExceeded"
    DISRUPTED = "TooManyDisruptions"
    ATTEMPTS = "AttemptsExhausted"
    BAD_PLAN = "BadPlan"
    JOB_REFUSED = "JobRefused"


STOPPED = frozenset(
    {
        RunReason.START_DEADLINE,
        RunReason.SCHEDULING_DEADLINE,
        RunReason.DEADLINE,
        RunReason.DISRUPTED,
    }
)
"""Failures that the operator declared over a Job still alive: that Job is deleted, never kept."""
