"""What both reconcilers share: the cache to read, the client to write, the queue to wake them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interplay_api.evaluation import Condition

from .announce import announced, event_manifest
from .cache import Cache, Store
from .client import Client
from .errors import AlreadyExistsError, ApiError, TakenError
from .metrics import OperatorMetrics
from .records import Meta
from .resources import EVENTS, Resource
from .settings import Settings
from .workqueue import Key, WorkQueue

__all__ = ["Context", "evaluation_key", "run_key"]

log = logging.getLogger("interplay.reconcile")


def evaluation_key(namespace: str, name: str) -> Key:
    """Queue key of an Evaluation."""
    return Key("Evaluation", namespace, name)


def run_key(namespace: str, name: str) -> Key:
    """Queue key of a ModelRun."""
    return Key("ModelRun", namespace, name)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to every reconcile."""

    settings: Settings
    cache: Cache
    client: Client
    queue: WorkQueue
    metrics: OperatorMetrics
    now: Callable[[], datetime] = _utc_now

    def wake(self, key: Key, evaluation: str, when: datetime | None) -> None:
        """Reconcile again at a time."""
        if when is not None:
            delay = (when - self.now()).total_seconds()
            self.queue.add_after(key, f"{key.namespace}/{evaluation}", delay)

    def soon(self, key: Key, evaluation: str) -> None:
        """Reconcile as soon as it is its turn."""
        self.queue.add(key, f"{key.namespace}/{evaluation}")

    async def create(
        self, resource: Resource, store: Store[Any], item: dict[str, Any], owner_uid: str
    ) -> None:
        """Create; what exists already is ours from before, or in the way."""
        try:
            store.note(await self.client.create(resource, item))
        except AlreadyExistsError:
            meta = item["metadata"]
            found = await self.client.get(resource, meta["namespace"], meta["name"])
            if Meta.of(found).owner_uid != owner_uid:
                text = f"{resource.kind} {meta['name']} exists and belongs to somebody else"
                raise TakenError(text) from None
            store.note(found)

    async def delete(self, resource: Resource, store: Store[Any], meta: Meta) -> None:
        """Delete; whether it is gone at once or later, the next pass knows."""
        left = await self.client.delete(resource, meta.namespace, meta.name, meta.uid)
        if left is None:
            store.remove(meta.key, meta.uid)
        else:
            store.note(left)

    async def announce(
        self, resource: Resource, meta: Meta, old: Iterable[Condition], new: Iterable[Condition]
    ) -> None:
        """Tell people what has turned, once it is written; a lost Event harms nothing."""
        for told in announced(resource.kind, old, new):
            event = event_manifest(resource, meta, told, self.now())
            try:
                await self.client.create(EVENTS, event)
            except AlreadyExistsError:
                continue
            except ApiError as error:
                log.warning("no Event for %s/%s: %s", meta.namespace, meta.name, error)

    async def check_current(
        self, resource: Resource, meta: Meta, status: Mapping[str, Any]
    ) -> None:
        """Raises `ConflictError` where our view of an object is old.

        Its status is written in a dry run: unlike a read, the check is against the store whatever
        stands between, and unlike a write, nothing comes of it that a crash could repeat for ever.
        """
        await self.client.replace_status(
            resource, meta.namespace, meta.name, meta.uid, meta.version, dict(status), dry_run=True
        )

    async def write_status(
        self, resource: Resource, store: Store[Any], meta: Meta, status: Mapping[str, Any]
    ) -> None:
        """Replace the status of exactly the object that was looked at."""
        store.note(
            await self.client.replace_status(
                resource, meta.namespace, meta.name, meta.uid, meta.version, dict(status)
            )
        )
