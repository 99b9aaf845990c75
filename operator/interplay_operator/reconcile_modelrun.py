"""ModelRun: gather what is known, let `decide` decide, do it in order. I/O order only."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import replace

from interplay_api.constants import LABEL_MODELRUN_UID

from .context import Context, run_key
from .decide import ASK_AGAIN_SECONDS, decide
from .errors import ApiError, NotFoundError
from .jobs import CONTAINER, JobRequest, job_manifest
from .plan import ending, reusable_keys, startable
from .policy import Policy
from .reasons import RunCondition
from .records import EvaluationRecord, RunRecord
from .resources import EVENTS, JOBS, PODS, RUNS
from .results import missing_plan
from .steps import Ask, Evidence, Offer, RunView, Step
from .workloads import EventRecord

__all__ = ["RunReconciler"]

log = logging.getLogger("interplay.reconcile")

MAX_REMEMBERED = 2000
QUESTIONS = 6
"""A pass never asks more often than there are kinds of evidence."""
FRESH_SECONDS = 1.0
"""So soon after the server agreed to our view no other operator can have run and tidied up a Job;
a process that slept longer must look again before it creates one."""


class RunReconciler:
    """Brings one ModelRun nearer to its end."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._events: OrderedDict[str, tuple[float, tuple[EventRecord, ...]]] = OrderedDict()
        self._refusals: dict[str, str] = {}

    async def reconcile(self, namespace: str, name: str) -> None:
        """One pass."""
        cache = self._context.cache
        run = cache.runs.get(namespace, name)
        if run is None:
            return
        evaluation = cache.evaluations.get(namespace, run.evaluation)
        if (
            evaluation is None
            or evaluation.meta.uid != run.meta.owner_uid
            or evaluation.policy is None
        ):
            # Orphans and the children of what is gone are the garbage collector's.
            return
        if run.finished and not cache.jobs.by("run", run.meta.uid):
            return
        if not run.attempt and ending(run.meta.name) not in evaluation.plan:
            # Nothing starts before the plan is written, and what is superseded never does.
            return
        agreed = time.monotonic()
        view = self._view(run, evaluation, Evidence(refusal=self._refusals.get(run.meta.uid, "")))
        step = decide(view)
        for _ in range(QUESTIONS):
            if step.ask is None:
                break
            agreed = time.monotonic()
            view = self._view(run, evaluation, await self._answer(view, step))
            step = decide(view)
        await self._act(view, step, agreed)

    def forget(self, uid: str) -> None:
        """A ModelRun is gone."""
        self._refusals.pop(uid, None)

    def _view(self, run: RunRecord, evaluation: EvaluationRecord, evidence: Evidence) -> RunView:
        cache, spec, policy = self._context.cache, run.spec, evaluation.policy
        assert policy is not None
        wanted = not run.finished and not run.attempt and policy.reuse == "IfUnchanged"
        return RunView(
            run=run,
            spec=spec,
            status=run.status,
            evaluation=evaluation,
            policy=policy,
            may_start=self._may_start(run, evaluation, policy),
            evaluation_started=self._evaluation_started(evaluation, policy),
            jobs=cache.jobs.by("run", run.meta.uid),
            pods=cache.pods.by("run", run.meta.uid),
            now=self._context.now(),
            offers=self._offers(run, reusable_keys(spec) - run.done_keys) if wanted else {},
            evidence=evidence,
        )

    def _may_start(self, run: RunRecord, evaluation: EvaluationRecord, policy: Policy) -> bool:
        if run.attempt:
            return False
        if len(evaluation.plan) <= policy.parallelism:
            return True
        siblings = self._siblings(evaluation)
        return ending(run.meta.name) in startable(evaluation.plan, siblings, policy.parallelism)

    def _evaluation_started(self, evaluation: EvaluationRecord, policy: Policy) -> str:
        """When its first model started, where a deadline counts from it."""
        if policy.active_deadline_seconds is None:
            return ""
        siblings = self._siblings(evaluation)
        planned = [siblings[p] for p in evaluation.plan if p in siblings]
        return min((r.started for r in planned if r.started), default="")

    def _siblings(self, evaluation: EvaluationRecord) -> dict[str, RunRecord]:
        runs = self._context.cache.runs.by("evaluation", evaluation.meta.uid)
        return {ending(r.meta.name): r for r in runs}

    def _offers(self, run: RunRecord, keys: set[str]) -> dict[str, Offer]:
        """Finished cells of other ModelRuns of this namespace, by content key."""
        offers: dict[str, Offer] = {}
        for key in sorted(keys):
            if key in offers:
                continue
            sources = self._context.cache.runs.by("content", (run.meta.namespace, key))
            for source in sorted(sources, key=lambda r: r.meta.name):
                if source.meta.deleting or source.meta.uid == run.meta.uid:
                    continue
                for cell in source.status.cells:
                    if cell.state == "Succeeded" and cell.key in keys:
                        offers.setdefault(cell.key, Offer(source.meta.name, cell))
                break
        return offers

    async def _answer(self, view: RunView, step: Step) -> Evidence:
        client, cache = self._context.client, self._context.cache
        namespace, evidence = view.run.meta.namespace, view.evidence
        if step.ask is Ask.RUN:
            await self._context.check_current(RUNS, view.run.meta, view.status.wire())
            return replace(evidence, run_current=True)
        if step.ask is Ask.JOB:
            try:
                cache.jobs.note(await client.get(JOBS, namespace, step.about))
            except NotFoundError:
                return replace(evidence, job_gone=True)
            return evidence
        if step.ask is Ask.PODS:
            labels = f"{LABEL_MODELRUN_UID}={view.run.meta.uid}"
            page = await client.list_page(PODS, namespace, labels=labels)
            for pod in page.items:
                cache.pods.note(pod)
            return replace(evidence, pods_listed=True)
        if step.ask is Ask.LOG:
            try:
                log = await client.pod_log(namespace, step.about, CONTAINER)
            except NotFoundError:
                log = ""
            return replace(evidence, log=log)
        return replace(evidence, events=await self._events_of(namespace, step.about))

    async def _events_of(self, namespace: str, uid: str) -> tuple[EventRecord, ...]:
        """Events about one stuck object, read at most every 30 s."""
        read, events = self._events.get(uid, (float("-inf"), ()))
        if time.monotonic() - read >= ASK_AGAIN_SECONDS:
            page = await self._context.client.list_page(
                EVENTS, namespace, fields=f"involvedObject.uid={uid}"
            )
            found = [EventRecord.of(e) for e in page.items]
            events = tuple(sorted(found, key=lambda e: e.time))
            self._events[uid] = time.monotonic(), events
            if len(self._events) > MAX_REMEMBERED:
                self._events.popitem(last=False)
        return events

    async def _act(self, view: RunView, step: Step, agreed: float) -> None:
        context, meta = self._context, view.run.meta
        if step.status is not None:
            agreed = time.monotonic()
            await context.write_status(RUNS, context.cache.runs, meta, step.status.wire())
            old, new = view.status.conditions, step.status.conditions
            await context.announce(RUNS, meta, old, new)
            view = replace(view, status=step.status)
            if step.status.completion_time:
                self._tell_end(view)
        if step.create and time.monotonic() - agreed > FRESH_SECONDS:
            context.soon(run_key(meta.namespace, meta.name), view.run.evaluation)
        elif step.create:
            await self._create_job(view)
        if step.suspend is not None:
            job, on = step.suspend
            context.cache.jobs.note(
                await context.client.suspend_job(
                    job.meta.namespace, job.meta.name, job.meta.version, on
                )
            )
        for job in step.delete:
            await context.delete(JOBS, context.cache.jobs, job.meta)
        context.wake(run_key(meta.namespace, meta.name), view.run.evaluation, step.wake)

    async def _create_job(self, view: RunView) -> None:
        meta, context = view.run.meta, self._context
        whole = view.spec.plan
        plan = missing_plan(whole, view.status.cells)
        manifest = job_manifest(
            JobRequest(
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                evaluation_uid=meta.owner_uid,
                attempt=view.status.attempt,
                backoff_limit=view.policy.backoff_limit,
                spec=view.spec,
                plan=plan,
                plan_digest=view.spec.plan_digest if plan is whole else plan.digest(),
            )
        )
        try:
            await context.create(JOBS, context.cache.jobs, manifest, meta.uid)
        except ApiError as error:
            if error.is_refusal:
                # The next pass says it in a condition and counts the start deadline.
                self._refusals[meta.uid] = error.message
            raise
        self._refusals.pop(meta.uid, None)
        context.metrics.jobs.inc()

    def _tell_end(self, view: RunView) -> None:
        for done in view.status.conditions:
            if done.type in (RunCondition.COMPLETE, RunCondition.FAILED):
                self._context.metrics.finished.labels(done.reason).inc()
                name = f"{view.run.meta.namespace}/{view.run.meta.name}"
                text = f"{done.reason}: {done.message}".rstrip(": ")
                log.info("ModelRun %s: %s: %s", name, done.type, text)
