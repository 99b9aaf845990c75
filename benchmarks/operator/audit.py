"""Who asked the API server for what, and when it was done: the audit log is every clock here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = ["READS", "WRITES", "Call", "calls_of"]

WRITES = ["create", "update", "patch", "delete", "deletecollection"]
READS = ["get", "list", "watch"]


@dataclass(frozen=True, slots=True)
class Call:
    """One finished request of somebody, from the audit log; times are the server's."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    received: float
    done: float

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.verb in WRITES

    @property
    def evaluation(self) -> str:
        """Names begin with the Evaluation's, which holds no hyphen here."""
        return self.name.partition("-")[0].partition(".")[0]


def calls_of(log: Path, mark: int = 0) -> list[Call]:
    """Requests in the log behind a place in it, by the order of their ends."""
    with log.open() as lines:
        lines.seek(mark)
        found = [_call(json.loads(line)) for line in lines if line.endswith("\n")]
    return sorted(found, key=lambda c: c.done)


def _call(event: dict[str, object]) -> Call:
    ref: dict[str, str] = event.get("objectRef") or {}  # type: ignore[assignment]
    user: dict[str, str] = event["user"]  # type: ignore[assignment]
    status: dict[str, int] = event.get("responseStatus") or {}  # type: ignore[assignment]
    return Call(
        user=user["username"],
        verb=str(event["verb"]),
        resource="/".join(filter(None, (ref.get("resource"), ref.get("subresource")))),
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=status.get("code", 0),
        received=_time(str(event["requestReceivedTimestamp"])),
        done=_time(str(event["stageTimestamp"])),
    )


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
