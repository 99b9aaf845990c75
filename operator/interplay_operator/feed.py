"""Evaluations and the library, as kopf tells of them, and the slow resync that checks on kopf.

kopf relists without saying what vanished meanwhile, and a watch of its may go silent unseen. So a
list replaces these records now and then, and what it shows and kopf never did is remembered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from interplay_api.catalog import LIBRARY_KINDS

from .cache import Cache, Store
from .client import Client
from .resources import EVALUATIONS, Resource, library_resource
from .watching import list_into, project_all

__all__ = ["Feed"]

ObjectKey = tuple[str, str, str]


class Feed:
    """The kopf-fed part of the cache."""

    def __init__(self, client: Client, cache: Cache, namespaces: Sequence[str]) -> None:
        self._client = client
        self._namespaces = tuple(namespaces)
        stores: dict[str, Store[Any]] = {kind: cache.library.stores[kind] for kind in LIBRARY_KINDS}
        # The library first: no Evaluation should meet half of it.
        self._kinds: dict[str, tuple[Resource, Store[Any]]] = {
            **{kind: (library_resource(kind), store) for kind, store in stores.items()},
            EVALUATIONS.kind: (EVALUATIONS, cache.evaluations),
        }
        self._told: dict[ObjectKey, int] = {}
        """The last resourceVersion that kopf told of each object."""
        self._untold: dict[ObjectKey, tuple[int, float]] = {}
        """Versions that a resync found first, and when."""

    def take(self, kind: str, type_: str | None, item: Mapping[str, Any]) -> None:
        """Take one event from kopf."""
        store = self._kinds[kind][1]
        meta = item["metadata"]
        key = kind, meta.get("namespace", ""), meta["name"]
        version = int(meta["resourceVersion"])
        self._told[key] = max(version, self._told.get(key, 0))
        if self._untold.get(key, (version + 1, 0.0))[0] <= version:
            del self._untold[key]
        if type_ == "DELETED":
            self._told.pop(key, None)
            self._untold.pop(key, None)
            store.remove(key[1:], meta["uid"])
            return
        if not store.knows(item):
            for record in project_all(store, [item]):
                store.apply(record)

    async def resync(self) -> None:
        """List everything anew."""
        for resource, store in self._kinds.values():
            for namespace in self._namespaces or ("",):
                await list_into(self._client, resource, store, namespace)
            if self._told:
                self._compare(resource.kind, store)

    def unseen(self) -> float:
        """Seconds since a resync found what kopf has not told of to this day."""
        since = [found for _, found in self._untold.values()]
        return time.monotonic() - min(since) if since else 0.0

    def _compare(self, kind: str, store: Store[Any]) -> None:
        now, found = time.monotonic(), {}
        for record in store:
            meta = record.meta
            key = kind, meta.namespace, meta.name
            told_here = not self._namespaces or meta.namespace in self._namespaces
            if told_here and self._told.get(key, 0) < meta.version:
                found[key] = meta.version, self._untold.get(key, (0, now))[1]
        others = {k: v for k, v in self._untold.items() if k[0] != kind}
        self._untold = others | found
        gone = [k for k in self._told if k[0] == kind and store.get(*k[1:]) is None]
        for key in gone:
            del self._told[key]
