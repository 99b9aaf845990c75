"""Evaluation: resolve once, create its ModelRuns, fold them into one status. I/O order only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from interplay_api.constants import LABEL_ALLOW
from interplay_api.evaluation import EvaluationStatus
from interplay_api.resolve import Problem, ResolvedRun, ResolveError

from . import plan as planning
from . import status as statuses
from .conditions import after
from .context import Context, evaluation_key, run_key
from .errors import ApiError, ConflictError, NotFoundError, TakenError
from .policy import Policy
from .records import EvaluationRecord, RunRecord
from .resources import EVALUATIONS, RUNS

__all__ = ["EvaluationReconciler"]

COALESCE_SECONDS = 5.0
"""Counts and numbers are written at most this often; a condition that turns is written at once."""
LOOK_AGAIN_SECONDS = 30
CREATES_AT_ONCE = 16
SMALL = 4
"""So many named models are resolved at once: a thread would hold up the loop for longer."""


class EvaluationReconciler:
    """Brings one Evaluation nearer to what its spec says."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._written: dict[str, float] = {}
        self._library: dict[str, tuple[str, bool]] = {}
        """By uid: the library that was compared, and whether it would plan otherwise."""

    async def reconcile(self, namespace: str, name: str) -> None:
        """One pass."""
        record = self._context.cache.evaluations.get(namespace, name)
        if record is None or record.meta.deleting:
            return
        if record.policy is None:
            if not record.final:
                status = statuses.refuse(record, record.problem, self._context.now())
                await self._write_and_announce(record, status)
        elif record.final:
            await self._after_the_end(record, record.policy)
        else:
            await self._go_on(record, record.policy)

    def forget(self, uid: str) -> None:
        """An Evaluation is gone."""
        self._written.pop(uid, None)
        self._library.pop(uid, None)

    async def _go_on(self, record: EvaluationRecord, policy: Policy) -> None:
        runs = self._runs(record)
        lost: frozenset[str] = frozenset()
        if record.frozen:
            plan, library = record.plan, record.library_digest
            if any(p not in runs for p in plan):
                lost = await self._heal(record, runs)
        else:
            library = self._context.cache.library.digest(record.meta.namespace)
            try:
                made = await self._draft(record)
            except ResolveError as error:
                await self._wait_for_names(record, policy, error.problems)
                return
            plan = made.plan
            new = [r for r in made.runs if planning.ending(r.name) not in runs]
            if problems := await self._create(record, new):
                await self._wait_for_names(record, policy, problems)
                return
        view = statuses.Fold(
            evaluation=record,
            suspend=policy.suspend,
            plan=plan,
            library_digest=library,
            runs=self._runs(record),
            lost=lost,
            library_changed=record.frozen and await self._library_changed(record),
            now=self._context.now(),
        )
        status = statuses.fold(view)
        written = await self._write(record, status)
        try:
            await self._follow_up(record, policy)
        finally:
            # Last: no Job waits for an Event.
            if written:
                await self._announce(record, status)

    async def _follow_up(self, record: EvaluationRecord, policy: Policy) -> None:
        """What may only happen once the plan is written: old ModelRuns go, new ones start."""
        context = self._context
        meta = record.meta
        known = context.cache.evaluations.get(*meta.key)
        if known is None or known.meta.uid != meta.uid or known.observed != meta.generation:
            return
        every = context.cache.runs.by("evaluation", meta.uid)
        reuse = policy.reuse == "IfUnchanged"
        for run in planning.superseded(known.plan, every, meta.generation, reuse):
            await context.client.delete(
                RUNS, meta.namespace, run.meta.name, run.meta.uid, run.meta.version
            )
        if policy.suspend or known.finished:
            return
        runs = self._runs(record)
        for ending in planning.startable(known.plan, runs, policy.parallelism):
            context.soon(run_key(meta.namespace, runs[ending].meta.name), meta.name)

    async def _after_the_end(self, record: EvaluationRecord, policy: Policy) -> None:
        """Final for this generation: only the library's mark, the tidying and the TTL are left."""
        context, meta = self._context, record.meta
        if record.plan:
            changed = await self._library_changed(record)
            # At a start thousands of finished ones come by: unpacked is what changes.
            if changed != record.library_marked:
                status = statuses.mark_library(record, changed, context.now())
                await self._write_and_announce(record, status)
            await self._follow_up(record, policy)
        ttl = policy.ttl_seconds_after_finished
        if ttl is None:
            return
        end = after(record.status.completion_time, ttl)
        if end and context.now() >= end:
            await context.client.delete(
                EVALUATIONS, meta.namespace, meta.name, meta.uid, meta.version
            )
        else:
            context.wake(evaluation_key(meta.namespace, meta.name), meta.name, end)

    async def _draft(self, record: EvaluationRecord) -> planning.Draft:
        """Resolve; beside the event loop where it may be a sweep of a thousand models."""
        cache, meta, spec = self._context.cache, record.meta, record.spec
        resolve = partial(
            planning.draft,
            meta.name,
            meta.namespace,
            spec,
            cache.library.catalog(meta.namespace),
            cache.library.modes(),
            self._context.settings.runner_image,
        )
        small = len(spec.models) <= SMALL and not any(m.selector for m in spec.models)
        made = resolve() if small else await asyncio.to_thread(resolve)
        problems = [
            Problem(field, text)
            for claim, field in planning.claims(made.runs).items()
            if (text := await self._claim_problem(meta.namespace, claim))
        ]
        if problems:
            raise ResolveError(problems)
        return made

    async def _claim_problem(self, namespace: str, claim: str) -> str:
        try:
            labels = await self._context.client.claim_labels(namespace, claim)
        except NotFoundError:
            return f"no PersistentVolumeClaim is called {claim}"
        if labels.get(LABEL_ALLOW) != "evaluation":
            return f"claim {claim} lacks the label {LABEL_ALLOW}=evaluation"
        return ""

    async def _wait_for_names(
        self, record: EvaluationRecord, policy: Policy, problems: Sequence[Problem]
    ) -> None:
        status = statuses.unresolved(record, policy, problems, self._context.now())
        await self._write_and_announce(record, status)
        deadline = after(status.unresolved_since, policy.start_deadline_seconds)
        # Claims are not watched, so they are looked at again.
        again = self._context.now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
        key = evaluation_key(record.meta.namespace, record.meta.name)
        self._context.wake(key, record.meta.name, min(again, deadline or again))

    async def _heal(self, record: EvaluationRecord, runs: dict[str, RunRecord]) -> frozenset[str]:
        """ModelRuns of the plan are missing: make them again, or say which cannot be."""
        missing = {p for p in record.plan if p not in runs}
        try:
            made = {planning.ending(r.name): r for r in (await self._draft(record)).runs}
        except ResolveError:
            made = {}
        if await self._create(record, [made[p] for p in record.plan if p in missing and p in made]):
            again = self._context.now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
            key = evaluation_key(record.meta.namespace, record.meta.name)
            self._context.wake(key, record.meta.name, again)
        return frozenset(missing - set(made))

    async def _create(self, record: EvaluationRecord, runs: Sequence[ResolvedRun]) -> list[Problem]:
        """Create ModelRuns; returns why some cannot be, as long as nobody does something."""
        problems: list[Problem] = []
        slots = asyncio.Semaphore(CREATES_AT_ONCE)

        async def create(run: ResolvedRun) -> None:
            async with slots:
                manifest = planning.modelrun_manifest(record.meta, run)
                try:
                    await self._context.create(
                        RUNS, self._context.cache.runs, manifest, record.meta.uid
                    )
                except ApiError as error:
                    if not error.is_refusal:
                        raise
                    field = "metadata.name" if isinstance(error, TakenError) else "spec"
                    problems.append(Problem(field, error.message))

        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(create(run))
        return problems

    async def _library_changed(self, record: EvaluationRecord) -> bool:
        """Whether today's library would make another plan; asked once per library."""
        today = self._context.cache.library.digest(record.meta.namespace)
        if today == record.library_digest:
            return False
        compared, changed = self._library.get(record.meta.uid, ("", False))
        if compared != today:
            try:
                changed = (await self._draft(record)).plan != record.plan
            except ResolveError:
                changed = True
            self._library[record.meta.uid] = today, changed
        return changed

    def _runs(self, record: EvaluationRecord) -> dict[str, RunRecord]:
        mine = self._context.cache.runs.by("evaluation", record.meta.uid)
        return {planning.ending(r.meta.name): r for r in mine if not r.meta.deleting}

    async def _write_and_announce(self, record: EvaluationRecord, status: EvaluationStatus) -> None:
        if await self._write(record, status):
            await self._announce(record, status)

    async def _announce(self, record: EvaluationRecord, status: EvaluationStatus) -> None:
        await self._context.announce(
            EVALUATIONS, record.meta, record.status.conditions, status.conditions
        )

    async def _write(self, record: EvaluationRecord, status: EvaluationStatus) -> bool:
        """Write what changed, if it did; what only counts on waits for its turn."""
        old, meta = record.status, record.meta
        if status == old:
            return False
        waited = time.monotonic() - self._written.get(meta.uid, float("-inf"))
        if _turning(old) == _turning(status) and waited < COALESCE_SECONDS:
            group = f"{meta.namespace}/{meta.name}"
            key = evaluation_key(meta.namespace, meta.name)
            self._context.queue.add_after(key, group, COALESCE_SECONDS - waited)
            return False
        try:
            await self._context.write_status(
                EVALUATIONS, self._context.cache.evaluations, meta, status.wire()
            )
        except ConflictError:
            await self._refresh(record)
            raise
        self._written[meta.uid] = time.monotonic()
        return True

    async def _refresh(self, record: EvaluationRecord) -> None:
        """kopf feeds this kind, and its watch may be the one that is behind."""
        meta = record.meta
        try:
            found = await self._context.client.get(EVALUATIONS, meta.namespace, meta.name)
        except NotFoundError:
            self._context.cache.evaluations.remove(meta.key, meta.uid)
        else:
            self._context.cache.evaluations.note(found)


def _turning(status: EvaluationStatus) -> tuple[object, ...]:
    """What is written at once when it changes."""
    turned = tuple((c.type, c.status) for c in status.conditions)
    return turned, status.observed_generation, tuple(status.plan), status.spec_digest
