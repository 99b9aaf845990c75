"""What can go wrong with a whole run, as exit codes that the Job's failure policy understands."""

from __future__ import annotations

from typing import ClassVar

from interplay_api.constants import (
    EXIT_BAD_DATA,
    EXIT_BAD_MODEL,
    EXIT_BAD_PLAN,
    EXIT_REASONS,
    EXIT_UNSAFE_CHECKPOINT,
)

__all__ = [
    "DataError",
    "ModelError",
    "PlanError",
    "RunnerError",
    "UnsafeCheckpointError",
    "one_line",
]

MAX_LINE = 300
"""As long as a reason in a report may be."""


class RunnerError(Exception):
    """No retry can heal it: the text is one line that names the field."""

    exit_code: ClassVar[int]

    @property
    def reason(self) -> str:
        """The reason in one word, as conditions carry it."""
        return EXIT_REASONS[self.exit_code]


class ModelError(RunnerError):
    """The model cannot be made, loaded or run."""

    exit_code = EXIT_BAD_MODEL


class DataError(RunnerError):
    """A dataset cannot be read."""

    exit_code = EXIT_BAD_DATA


class PlanError(RunnerError):
    """The plan is not the one that was frozen, or says what cannot be done."""

    exit_code = EXIT_BAD_PLAN


class UnsafeCheckpointError(RunnerError):
    """Weights that could only be loaded by running code inside them."""

    exit_code = EXIT_UNSAFE_CHECKPOINT


def one_line(error: BaseException) -> str:
    """Any exception in one bounded line; a RunnerError's text already is one, made for people."""
    text = " ".join(str(error).split())
    if not isinstance(error, RunnerError):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 3] + "..."
