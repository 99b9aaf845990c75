"""The operator: watches feed the cache, the cache wakes the queue, workers call the reconcilers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from interplay_api.constants import LABEL_MODELRUN_UID

from .cache import Cache
from .client import Client
from .context import Context, evaluation_key, run_key
from .errors import ApiError, ConflictError
from .feed import Feed
from .metrics import OperatorMetrics
from .reconcile_evaluation import EvaluationReconciler
from .reconcile_modelrun import RunReconciler
from .records import EvaluationRecord, RunRecord
from .resources import EVALUATIONS, JOBS, PODS, RUNS, library_resource
from .schema import missing_fields
from .settings import Settings
from .watching import ListWatch
from .workloads import JobRecord, PodRecord
from .workqueue import Key, WorkQueue

__all__ = ["Operator"]

log = logging.getLogger("interplay.operator")

WORKERS = 16
RESYNC_SECONDS = 300
RETRY_SECONDS = 5
SILENT_SECONDS = 180
"""Bookmarks come every minute; a watch that is silent for three is dead."""
GATHER_SECONDS = 0.02
GATHER_SECONDS_PER_MODEL = 0.0005
"""An Evaluation looks at all its ModelRuns, so it waits a moment for more of them to change."""
UNSEEN_SECONDS = 60
STUCK_SECONDS = 60


def _asks_anew(old: EvaluationRecord, new: EvaluationRecord) -> bool:
    """Whether its ModelRuns have something new to look at."""
    return old.meta.generation != new.meta.generation or old.plan != new.plan


class Operator:
    """Everything of this process but kopf, which gives `feed` Evaluations and the library."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self.settings, self.client = settings, client
        self.metrics = OperatorMetrics()
        self.cache = Cache(settings.namespace, settings.runner_image)
        self.queue = WorkQueue()
        self.context = Context(settings, self.cache, client, self.queue, self.metrics)
        self._evaluations = EvaluationReconciler(self.context)
        self._runs = RunReconciler(self.context)
        self.feed = Feed(client, self.cache, settings.watch_namespaces)
        self.synced = asyncio.Event()
        """Set once the caches are full; work begins then."""
        self._problem = "not started"
        self.watches = [
            ListWatch(client, resource, store, namespace=namespace, labels=labels)
            for namespace in settings.watch_namespaces or ("",)
            for resource, store, labels in (
                (RUNS, self.cache.runs, ""),
                (JOBS, self.cache.jobs, LABEL_MODELRUN_UID),
                (PODS, self.cache.pods, LABEL_MODELRUN_UID),
            )
        ]
        self.watches += self._library_watches()
        client.on_request = self.metrics.on_request
        self.metrics.observe_cache(
            self.cache, self.queue, lambda: {w.name: w.silence() for w in self.watches}
        )
        self._listen()

    def _library_watches(self) -> list[ListWatch]:
        """kopf watches every kind in the same namespaces; our own may not be among them."""
        watched = self.settings.watch_namespaces
        if not watched or self.settings.namespace in watched:
            return []
        return [
            ListWatch(self.client, library_resource(kind), store, namespace=self.settings.namespace)
            for kind, store in self.cache.library.stores.items()
        ]

    # What wakes what

    def _listen(self) -> None:
        self.cache.evaluations.listener = self._evaluation_changed
        self.cache.runs.listener = self._run_changed
        self.cache.jobs.listener = self._job_changed
        self.cache.pods.listener = self._pod_changed
        self.cache.library.listener = self._library_changed

    def _evaluation_changed(
        self, old: EvaluationRecord | None, new: EvaluationRecord | None
    ) -> None:
        record = new or old
        assert record is not None
        meta = record.meta
        if new is None:
            self._evaluations.forget(meta.uid)
        self.context.soon(evaluation_key(meta.namespace, meta.name), meta.name)
        if old is None or new is None or _asks_anew(old, new):
            for run in self.cache.runs.by("evaluation", meta.uid):
                self.context.soon(run_key(meta.namespace, run.meta.name), meta.name)

    def _run_changed(self, old: RunRecord | None, new: RunRecord | None) -> None:
        record = new or old
        assert record is not None
        meta = record.meta
        if new is None:
            self._runs.forget(meta.uid)
        self.context.soon(run_key(meta.namespace, meta.name), record.evaluation)
        self._gather(meta.namespace, record.evaluation)

    def _gather(self, namespace: str, evaluation: str) -> None:
        known = self.cache.evaluations.get(namespace, evaluation)
        delay = GATHER_SECONDS + GATHER_SECONDS_PER_MODEL * len(known.plan if known else ())
        key = evaluation_key(namespace, evaluation)
        self.queue.add_after(key, f"{namespace}/{evaluation}", delay)

    def _job_changed(self, old: JobRecord | None, new: JobRecord | None) -> None:
        record = new or old
        assert record is not None
        self._wake_run(record.meta.owner_uid)

    def _pod_changed(self, old: PodRecord | None, new: PodRecord | None) -> None:
        record = new or old
        assert record is not None
        self._wake_run(record.run_uid)

    def _wake_run(self, uid: str) -> None:
        for run in self.cache.runs.by("uid", uid):
            self.context.soon(run_key(run.meta.namespace, run.meta.name), run.evaluation)

    def _library_changed(self, namespace: str) -> None:
        everybody = namespace == self.settings.namespace
        for record in self.cache.evaluations:
            meta = record.meta
            if not everybody and meta.namespace != namespace:
                continue
            key = evaluation_key(meta.namespace, meta.name)
            # Who waits for a name goes first; for the others it is but a mark.
            group = f"{meta.namespace}/{meta.name}"
            self.queue.add(key, group, background=bool(record.plan))

    # How it is

    def health(self) -> str:
        """What is wrong for good, so that a restart is due; empty where nothing is."""
        if not self.synced.is_set():
            return ""
        for watch in self.watches:
            if watch.silence() > SILENT_SECONDS:
                return f"the watch of {watch.name} is silent for {watch.silence():.0f} s"
        if self.feed.unseen() > UNSEEN_SECONDS:
            return f"kopf's watches miss a change for {self.feed.unseen():.0f} s"
        if self.queue.oldest_age() > STUCK_SECONDS:
            return f"a key waits for {self.queue.oldest_age():.0f} s"
        return ""

    def ready(self) -> str:
        """Why no work is done yet; empty where it is."""
        return "" if self.synced.is_set() else self._problem or "starting"

    # Life

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._refuse_old_crds()
            async with asyncio.TaskGroup() as group:
                for watch in self.watches:
                    group.create_task(watch.run())
                await self._sync()
                for _ in range(WORKERS):
                    group.create_task(self._work())
                group.create_task(self._resync_for_ever())
        finally:
            await self.client.close()

    async def _refuse_old_crds(self) -> None:
        while True:
            self._problem = ""
            try:
                missing = missing_fields(await self.client.served_schema())
                if missing:
                    self._problem = f"the CRDs are older than this operator: no {missing[0]}"
            except (ApiError, TimeoutError) as error:
                self._problem = f"the API server: {error}"
            if not self._problem:
                return
            log.error("%s", self._problem)
            await asyncio.sleep(RETRY_SECONDS)

    async def _sync(self) -> None:
        self._problem = "the caches are not filled yet"
        while True:
            try:
                await self.feed.resync()
                break
            except (ApiError, TimeoutError) as error:
                log.warning("first list: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        for watch in self.watches:
            await watch.synced.wait()
        self.synced.set()
        log.info(
            "ready: %d Evaluations, %d ModelRuns, %d Jobs, %d pods",
            len(self.cache.evaluations),
            len(self.cache.runs),
            len(self.cache.jobs),
            len(self.cache.pods),
        )

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.9, 1.1))
            with contextlib.suppress(ApiError, TimeoutError):
                await self.feed.resync()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._reconcile(key)
            finally:
                self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        reconciler = self._evaluations if key.kind == EVALUATIONS.kind else self._runs
        started = time.monotonic()
        try:
            await reconciler.reconcile(key.namespace, key.name)
        except Exception as error:
            # One object's trouble, whatever it is, must not stop the others'.
            outcome = self._later(key, error)
        else:
            outcome = "ok"
            self.queue.succeeded(key)
        self.metrics.reconciles.labels(key.kind, outcome).inc()
        self.metrics.reconcile_seconds.labels(key.kind).observe(time.monotonic() - started)

    def _later(self, key: Key, error: Exception) -> str:
        if isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        group = self._group(key)
        at_least = error.retry_after or 0.0 if isinstance(error, ApiError) else 0.0
        delay = self.queue.retry(key, group, at_least)
        where = f"{key.kind} {key.namespace}/{key.name}"
        if isinstance(error, ConflictError):
            log.debug("%s: %s; again in %.1f s", where, error, delay)
            return "conflict"
        if isinstance(error, ApiError | TimeoutError):
            log.warning("%s: %s; again in %.1f s", where, error, delay)
            return "api"
        log.error("%s: again in %.1f s", where, delay, exc_info=error)
        return "error"

    def _group(self, key: Key) -> str:
        if key.kind == EVALUATIONS.kind:
            return f"{key.namespace}/{key.name}"
        run = self.cache.runs.get(key.namespace, key.name)
        return f"{key.namespace}/{run.evaluation if run else key.name}"
