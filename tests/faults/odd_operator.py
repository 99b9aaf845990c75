"""`python -m tests.faults.odd_operator`: the operator with another clock, or with tiny limits.

FAULTS_CLOCK shifts what it takes for the time, in seconds; FAULTS_LIMITS=1 sets every limit to 1.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import interplay_operator.client
import interplay_operator.context
import interplay_operator.operator
import interplay_operator.reconcile_evaluation
from interplay_operator.__main__ import main


class Shifted(datetime):
    """A clock that is wrong by a fixed time."""

    shift = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The wrong time."""
        wrong = datetime.now(tz or UTC) + cls.shift
        return cls.fromtimestamp(wrong.timestamp(), tz)


def change() -> None:
    """Do what the environment says."""
    if shift := os.environ.get("FAULTS_CLOCK"):
        Shifted.shift = timedelta(seconds=float(shift))
        vars(interplay_operator.context)["datetime"] = Shifted
    if os.environ.get("FAULTS_LIMITS"):
        vars(interplay_operator.operator)["WORKERS"] = 1
        vars(interplay_operator.client)["CONCURRENCY"] = 1
        vars(interplay_operator.client)["PAGE"] = 1
        vars(interplay_operator.reconcile_evaluation)["CREATES_AT_ONCE"] = 1


if __name__ == "__main__":
    change()
    sys.exit(main())
