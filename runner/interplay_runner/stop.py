"""Asked to stop: SIGTERM and SIGINT become an exception at the next border between batches."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "Stopped"]


class Stopped(BaseException):
    """The run was asked to stop; not an Exception, so that no measurement can swallow it."""


class Stop:
    """A wish to stop, looked at where stopping loses nothing that was finished."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._at_once = False

    def check(self) -> None:
        """Raise Stopped once somebody asked for it."""
        if self.signal is not None:
            raise Stopped

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        # A second signal means it: the default action ends the process at once.
        signal.signal(number, signal.SIG_DFL)
        if self._at_once:
            raise Stopped

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While this lasts nothing can be lost, so a signal raises Stopped where it comes."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT while this lasts."""
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
