"""Conditions and times, as the API conventions want them; the clock is always handed in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from interplay_api.evaluation import Condition

__all__ = ["after", "bounded", "condition", "parse_time", "stamp", "with_conditions"]

MAX_MESSAGE = 1024


def stamp(now: datetime) -> str:
    """RFC 3339 in UTC, in seconds, as Kubernetes writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str | None) -> datetime | None:
    """The time that a status or a pod speaks of; None where it is not one."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def after(text: str | None, seconds: float | None) -> datetime | None:
    """A deadline: so many seconds after a written time, where both are given."""
    start = parse_time(text)
    return start + timedelta(seconds=seconds) if start and seconds is not None else None


def bounded(text: str, limit: int = MAX_MESSAGE) -> str:
    """One line of printable text of at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def condition(type_: str, on: bool, reason: str, message: str = "") -> Condition:
    """A condition without its times; `with_conditions` adds them."""
    return Condition(
        type=type_,
        status="True" if on else "False",
        reason=reason,
        message=bounded(message),
        last_transition_time="",
    )


def with_conditions(
    old: Iterable[Condition], new: Iterable[Condition], generation: int, now: datetime
) -> list[Condition]:
    """The new conditions; the time of one moves only when its status changes."""
    before = {c.type: c for c in old}
    stamped = []
    for item in new:
        known = before.get(item.type)
        same = known is not None and known.status == item.status
        time = known.last_transition_time if known and same else stamp(now)
        stamped.append(
            item.model_copy(
                update={"last_transition_time": time, "observed_generation": generation}
            )
        )
    return stamped
