"""Prometheus: what the operator did, and the numbers of all live Evaluations.

Counters carry no names of objects. Everything with a name comes from collectors over the cache, so
nothing of a deleted Evaluation remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector
from prometheus_client import generate_latest as generate
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .cache import Cache
from .plan import ending
from .records import RunRecord
from .workqueue import WorkQueue

__all__ = ["MAX_VALUES", "OperatorMetrics", "ValueCollector"]

MAX_VALUES = 20_000
"""Numbers that are shown; above it the oldest are left out, and a gauge says how many."""
VALUE_LABELS = (
    "namespace",
    "evaluation",
    "model",
    "measurement",
    "category",
    "dataset",
    "split",
    "metric",
)
STATES = ("pending", "running", "succeeded", "failed")


class OperatorMetrics:
    """The registry and the counters that the rest of the operator raises."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.reconciles = Counter(
            "interplay_reconciles_total",
            "Reconciles by kind and outcome.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "interplay_reconcile_seconds",
            "Wall time of a reconcile.",
            ("kind",),
            registry=self.registry,
        )
        self.requests = Counter(
            "interplay_api_requests_total",
            "Requests to the API server; code 0 had no answer.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self.jobs = Counter("interplay_jobs_created_total", "Jobs created.", registry=self.registry)
        self.finished = Counter(
            "interplay_modelruns_finished_total",
            "ModelRuns that ended, by reason.",
            ("reason",),
            registry=self.registry,
        )

    def on_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request."""
        self.requests.labels(verb, resource, str(code)).inc()

    def observe_cache(
        self, cache: Cache, queue: WorkQueue, silences: Callable[[], dict[str, float]]
    ) -> None:
        """Show the cache's objects and the state of queue and watches."""
        self.registry.register(ValueCollector(cache))
        self.registry.register(_StateCollector(cache, queue, silences))

    def render(self) -> bytes:
        """The whole page in the text format."""
        return bytes(generate(self.registry))


class ValueCollector(Collector):
    """The numbers of finished ModelRuns: value, 95 % interval, n."""

    def __init__(self, cache: Cache, limit: int = MAX_VALUES) -> None:
        self._cache, self._limit = cache, limit

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One series per value, the newest ModelRuns first."""
        value = GaugeMetricFamily("interplay_value", "A measured number.", labels=VALUE_LABELS)
        low = GaugeMetricFamily(
            "interplay_value_low", "Lower end of its 95 % interval.", labels=VALUE_LABELS
        )
        high = GaugeMetricFamily(
            "interplay_value_high", "Upper end of its 95 % interval.", labels=VALUE_LABELS
        )
        samples = GaugeMetricFamily(
            "interplay_value_samples", "Samples behind it.", labels=VALUE_LABELS
        )
        left_out, room = 0, self._limit
        runs = [r for r in self._cache.runs if r.complete and self._planned(r)]
        for run in sorted(runs, key=lambda r: (r.meta.created, r.meta.key), reverse=True):
            if run.value_count > room:
                left_out += run.value_count
                continue
            room -= run.value_count
            for labels, item in _values(run):
                value.add_metric(labels, item["value"])
                if "low" in item and "high" in item:
                    low.add_metric(labels, item["low"])
                    high.add_metric(labels, item["high"])
                if "n" in item:
                    samples.add_metric(labels, item["n"])
        yield from (value, low, high, samples)
        yield GaugeMetricFamily(
            "interplay_values_left_out", "Numbers above the limit.", value=left_out
        )

    def _planned(self, run: RunRecord) -> bool:
        """Whether its Evaluation says so: one of an older plan would give a series twice."""
        owner = self._cache.evaluations.get(run.meta.namespace, run.evaluation)
        mine = owner is not None and owner.meta.uid == run.meta.owner_uid
        return mine and owner is not None and ending(run.meta.name) in owner.plan


def _values(run: RunRecord) -> Iterator[tuple[list[str], dict[str, Any]]]:
    spec, status = run.packed_spec.unpack(), run.packed_status.unpack()
    splits = {d["name"]: d["spec"].get("split", "") for d in spec["plan"]["datasets"]}
    kinds = {c["measurement"]: c["category"] for c in spec["plan"]["cells"]}
    for cell in status.get("cells", ()):
        name, dataset = cell["measurement"], cell["dataset"]
        prefix = [run.meta.namespace, run.evaluation, run.model, name, kinds.get(name, "")]
        for item in cell.get("values", ()):
            if "value" in item:
                yield [*prefix, dataset, splits.get(dataset, ""), item["metric"]], item


class _StateCollector(Collector):
    """Models by state, and how the operator itself is."""

    def __init__(
        self, cache: Cache, queue: WorkQueue, silences: Callable[[], dict[str, float]]
    ) -> None:
        self._cache, self._queue, self._silences = cache, queue, silences

    def collect(self) -> Iterator[GaugeMetricFamily]:
        models = GaugeMetricFamily(
            "interplay_evaluation_models",
            "Models of an Evaluation by state.",
            labels=("namespace", "evaluation", "state"),
        )
        for evaluation in self._cache.evaluations:
            meta = evaluation.meta
            runs = self._cache.runs.by("evaluation", meta.uid)
            plan = set(evaluation.plan)
            mine = [r for r in runs if ending(r.meta.name) in plan]
            counts = {
                "running": sum(r.live for r in mine),
                "succeeded": sum(r.complete for r in mine),
                "failed": sum(r.failed for r in mine),
            }
            counts["pending"] = len(mine) - sum(counts.values())
            for state in STATES:
                models.add_metric([meta.namespace, meta.name, state], counts[state])
        yield models
        yield GaugeMetricFamily(
            "interplay_queue_length", "Keys that wait for a reconcile.", value=len(self._queue)
        )
        silent = GaugeMetricFamily(
            "interplay_watch_silence_seconds",
            "Since a watch last heard of the API server.",
            labels=("watch",),
        )
        for name, seconds in sorted(self._silences().items()):
            silent.add_metric([name], seconds)
        yield silent
