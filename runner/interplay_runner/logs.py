"""What a run says while it runs: events; in a pod as JSON lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Protocol, TextIO

__all__ = ["JsonLog", "Log", "SilentLog"]

MAX_FIELD = 4096
"""Longer texts are cut, so that no line outgrows what a container runtime keeps whole."""


class Log(Protocol):
    """Takes events: a name, and fields that JSON can hold."""

    def event(self, event: str, **fields: object) -> None:
        """Say that something happened."""
        ...


class SilentLog:
    """Says nothing."""

    def event(self, event: str, **fields: object) -> None:
        """Drop it."""


class JsonLog:
    """One JSON object per line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def event(self, event: str, **fields: object) -> None:
        """Write and flush: a killed pod's last words are those that count."""
        bounded = {k: v[-MAX_FIELD:] if isinstance(v, str) else v for k, v in fields.items()}
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        print(json.dumps({**line, **bounded}, default=str), file=self.stream, flush=True)
