"""The one queue between watches and reconcilers: deduplicated, serial per key, fair."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Key", "WorkQueue"]

BACKOFF_FIRST = 0.1
BACKOFF_MOST = 15.0


class Key(NamedTuple):
    """What to reconcile."""

    kind: str
    namespace: str
    name: str


class _Lane:
    """Groups in turn, first come first served in each: none can delay another's first key."""

    def __init__(self) -> None:
        self._groups: OrderedDict[str, deque[Key]] = OrderedDict()

    def push(self, group: str, key: Key) -> None:
        self._groups.setdefault(group, deque()).append(key)

    def pop(self) -> Key | None:
        if not self._groups:
            return None
        group, keys = self._groups.popitem(last=False)
        key = keys.popleft()
        if keys:
            self._groups[group] = keys
        return key


class WorkQueue:
    """Keys that wait for a reconcile.

    A key that is added while it is being reconciled runs once more afterwards, never twice at a
    time. `background` keys (the library changed, a resync) yield to all others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes = (_Lane(), _Lane())
        self._waiting: dict[Key, tuple[float, bool]] = {}
        self._again: dict[Key, tuple[str, bool]] = {}
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._later: list[tuple[float, int, Key, str]] = []
        self._due: dict[Key, float] = {}
        self._count = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key, group: str, *, background: bool = False) -> None:
        """Reconcile soon; groups take turns."""
        if key in self._active:
            _, before = self._again.get(key, (group, True))
            self._again[key] = (group, background and before)
            return
        since, before = self._waiting.get(key, (self._clock(), True))
        if key not in self._waiting or (before and not background):
            self._waiting[key] = (since, background)
            self._lanes[background].push(group, key)
            self._wake.set()

    def add_after(self, key: Key, group: str, delay: float) -> None:
        """Reconcile after a delay, unless it is due earlier already."""
        when = self._clock() + max(delay, 0.0)
        if self._due.get(key, float("inf")) <= when:
            return
        self._due[key] = when
        heapq.heappush(self._later, (when, next(self._count), key, group))
        self._wake.set()

    def retry(self, key: Key, group: str, at_least: float = 0.0) -> float:
        """Reconcile again after this key's back-off; returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = min(failures + 1, 30)
        delay = max(min(BACKOFF_FIRST * 2.0**failures, BACKOFF_MOST), at_least)
        self.add_after(key, group, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget the back-off of a key."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; `done` must follow."""
        while True:
            self._move_due()
            if (key := self._pop()) is not None:
                return key
            self._wake.clear()
            timeout = self._later[0][0] - self._clock() if self._later else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pop(self) -> Key | None:
        for lane in self._lanes:
            while (key := lane.pop()) is not None:
                # A key that moved to the front lane is still in the other one.
                if key in self._waiting:
                    del self._waiting[key]
                    self._active.add(key)
                    return key
        return None

    def done(self, key: Key) -> None:
        """The reconcile of this key ended."""
        self._active.discard(key)
        if key in self._again:
            group, background = self._again.pop(key)
            self.add(key, group, background=background)

    def oldest_age(self) -> float:
        """Seconds that the first key has waited, background keys aside; liveness watches it."""
        for since, background in self._waiting.values():
            if not background:
                return self._clock() - since
        return 0.0

    def _move_due(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            when, _, key, group = heapq.heappop(self._later)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key, group)
