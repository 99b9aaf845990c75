"""The operator's /metrics, read through the API server and parsed by the client library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.kubectl import Kubectl

__all__ = ["series"]


def series(admin: Kubectl, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
    """Samples of one name with these labels."""
    service = f"/api/v1/namespaces/{admin.namespace}/services/interplay-metrics:metrics"
    text = admin.run("get", "--raw", f"{service}/proxy/metrics")
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
