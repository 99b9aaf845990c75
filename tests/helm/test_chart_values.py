"""values.schema.json: what it refuses, and that the refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.chart import Helm

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("replicas", {"replicas": 2}),
    ("digset", {"image": {"runner": {"digset": "sha256:" + "a" * 64}}}),
    ("serviceMonitr", {"metrics": {"serviceMonitr": {"enabled": True}}}),
    ("digest", {"image": {"operator": {"digest": "abc"}}}),
    ("tag", {"image": {"operator": {"tag": 1.2}}}),
    ("repository", {"image": {"runner": {"repository": "x y"}}}),
    ("watchNamespaces", {"watchNamespaces": "a,b"}),
    ("watchNamespaces", {"watchNamespaces": ["team-*"]}),
    ("logFormat", {"logFormat": "xml"}),
    ("enabled", {"crds": {"enabled": "yes"}}),
    ("podLabels", {"podLabels": {"app.kubernetes.io/managed-by": "interplay"}}),
    ("serviceAccount.name", {"serviceAccount": {"create": False}}),
    ("resources", {"resources": {"limit": {"cpu": 1}}}),
]


@pytest.mark.parametrize(("field", "values"), REFUSED, ids=[f for f, _ in REFUSED])
def test_wrong_value_is_refused_by_name(helm: Helm, field: str, values: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError) as refusal:
        helm.render(values)
    assert field in str(refusal.value)


def test_a_parent_chart_may_set_global(helm4: Helm) -> None:
    assert helm4.render({"global": {"clusterDomain": "cluster.local"}})
