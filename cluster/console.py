"""What a person sees while a step runs: its name and how long it has taken, on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["say", "step"]

_QUIET = 2.0
"""Steps shorter than this print nothing."""
_INTERVAL = 15.0
"""In a log, a line this often; a terminal's line is rewritten every second."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Show `name (95 s)` while the body runs, and `name: done (97 s)` after it."""
    begun = time.monotonic()
    done = threading.Event()
    terminal = sys.stderr.isatty()

    def show(end: str, state: str = "") -> None:
        start = "\r" if terminal else ""
        print(
            f"{start}{name}{state} ({time.monotonic() - begun:.0f} s)",
            end=end,
            file=sys.stderr,
            flush=True,
        )

    def tick() -> None:
        wait = _QUIET
        while not done.wait(wait):
            show("" if terminal else "\n")
            wait = 1.0 if terminal else _INTERVAL

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
        if time.monotonic() - begun >= _QUIET:
            show("\n", ": failed" if sys.exc_info()[0] else ": done")
