"""List + watch into a store: chunked lists, bookmarks, a replace on every relist; endless."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Protocol

from .cache import Store
from .client import Client, Page
from .errors import ApiError, GoneError, error_of
from .resources import Resource

__all__ = ["ListWatch", "list_into", "project_all"]

log = logging.getLogger("interplay.watch")

STREAM_SECONDS = 290
SILENCE_SECONDS = 75
"""The server sends a bookmark about every minute; a stream without any is dead."""
BACKOFF_FIRST = 0.2
BACKOFF_MOST = 5.0
TURN = 10
"""So many objects are read at a time: some 5 ms."""


class _Record(Protocol):
    @property
    def meta(self) -> Any: ...


def project_all(store: Store[Any], items: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Records of listed objects; one that cannot be read harms no other."""
    records = []
    for item in items:
        try:
            records.append(store.project(item))
        except Exception as error:
            name = item.get("metadata", {}).get("name")
            log.warning("%s: not an object that can be read: %r", name, error)
    return records


async def _pages(
    client: Client, resource: Resource, namespace: str, labels: str
) -> AsyncGenerator[Page, None]:
    """The chunks of a list; the server makes the next one while one is read."""
    page = await client.list_page(resource, namespace, labels=labels)
    while page.more:
        request = client.list_page(resource, namespace, labels=labels, more=page.more)
        following = asyncio.create_task(request)
        try:
            yield page
            page = await following
        finally:
            following.cancel()
    yield page


async def list_into(
    client: Client, resource: Resource, store: Store[Any], namespace: str = "", labels: str = ""
) -> int:
    """Replace what a store holds of a namespace by a fresh list; returns its resourceVersion."""
    records: list[Any] = []
    version = 0
    async with contextlib.aclosing(_pages(client, resource, namespace, labels)) as pages:
        async for page in pages:
            version = page.version
            for at in range(0, len(page.items), TURN):
                # Probes, watches and the next chunk's request have their turn in between.
                await asyncio.sleep(0)
                records += project_all(store, page.items[at : at + TURN])
    store.replace(records, version, namespace)
    return version


class ListWatch:
    """Keeps one store true for one namespace, or for all of them."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        store: Store[Any],
        *,
        namespace: str = "",
        labels: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._resource, self._store = client, resource, store
        self._namespace, self._labels = namespace, labels
        self._clock = clock
        self.name = f"{resource.plural}@{namespace}" if namespace else resource.plural
        self.synced = asyncio.Event()
        self.heard = clock()
        """When the server last said anything."""
        self.relists = 0
        self._version: int | None = None
        """Where to go on after a stream ends; None lists anew."""

    def silence(self) -> float:
        """Seconds since the server last said anything."""
        return self._clock() - self.heard

    async def run(self) -> None:
        """List, then watch; for ever."""
        failures = 0
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._stream(self._version)
                failures = 0
            except GoneError:
                self._version = None
            except TimeoutError:
                log.info("no word of %s for %s s: asking anew", self.name, SILENCE_SECONDS)
            except ApiError as error:
                log.warning("watch of %s broke: %s", self.name, error)
                failures += 1
                delay = min(BACKOFF_FIRST * 2 ** min(failures, 6), BACKOFF_MOST)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    def _hear(self) -> None:
        self.heard = self._clock()

    async def _list(self) -> int:
        version = await list_into(
            self._client, self._resource, self._store, self._namespace, self._labels
        )
        self.relists += 1
        self._hear()
        self.synced.set()
        return version

    async def _stream(self, version: int) -> None:
        """Apply events until the stream ends."""
        events = self._client.watch(
            self._resource, self._namespace, self._labels, version, _jittered(STREAM_SECONDS)
        )
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    event = await anext(events, None)
                if event is None:
                    return
                self._hear()
                self._version = self._apply(event)
        finally:
            await events.aclose()

    def _apply(self, event: Mapping[str, Any]) -> int:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            code, reason = item.get("code", 0), item.get("reason", "")
            raise error_of(code, reason, f"watch {self.name}: {item.get('message', '')}")
        if kind == "DELETED":
            meta = item["metadata"]
            self._store.remove((meta.get("namespace", ""), meta["name"]), meta["uid"])
        elif kind != "BOOKMARK" and not self._store.knows(item):
            for record in project_all(self._store, [item]):
                self._store.apply(record)
        return int(item["metadata"]["resourceVersion"])


def _jittered(seconds: int) -> int:
    return round(seconds * random.uniform(0.9, 1.0))
