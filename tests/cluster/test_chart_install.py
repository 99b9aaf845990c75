"""A release of one namespace on the real cluster, by both helms: it starts, serves, and goes.

Definitions and aggregated roles are those of the other release (`chart`), which is left alone here;
tests/helm/test_chart_install.py installs and removes them on an API server of its own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubectl import Kubectl
from tests.helm.chart import BINARIES, CHART, Helm, identity

KINDS = "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings,networkpolicies,\
configmaps,secrets,endpointslices"
ROLES = "rbac.authorization.k8s.io"
ASKED = [(v, r) for v in ("get", "create") for r in ("evaluations", "modelruns", "modes")]
ASKED += [("patch", "evaluations/status"), ("patch", "modelruns/status")]
VIEW = {(verb, resource) for verb, resource in ASKED if verb == "get"}
EDIT = VIEW | {("create", "evaluations")}
ALLOWED = {"view": VIEW, "edit": EDIT, "admin": EDIT | {("create", "modes")}}
"""What each of the cluster's roles may do, of what is asked."""


@pytest.fixture(params=sorted(BINARIES))
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    """Each helm major in turn."""
    return Helm(request.param, tmp_path)


@pytest.fixture
def values(images: dict[str, str], kubectl: Kubectl) -> dict[str, Any]:
    """Values of a release that serves the test's namespace alone."""
    parts = {name: reference.split("@") for name, reference in images.items()}
    return {
        "image": {n: {"repository": repo, "digest": digest} for n, (repo, digest) in parts.items()},
        "watchNamespaces": [kubectl.namespace],
        "crds": {"enabled": False},
        "rbac": {"aggregate": False},
    }


@pytest.fixture
def release(helm: Helm, kubectl: Kubectl) -> Iterator[str]:
    """A release name, gone afterwards."""
    name = f"t-{secrets.token_hex(4)}"
    yield name
    helm.run(
        "uninstall", name, "--ignore-not-found", "--namespace", kubectl.namespace,
        kubeconfig=kubectl.kubeconfig,
    )  # fmt: skip


def seen(kubectl: Kubectl) -> set[tuple[str, str, str]]:
    """What is in the namespace."""
    return {identity(item) for item in kubectl.list(KINDS)}


def test_a_release_starts_is_upgraded_and_leaves_nothing(
    helm: Helm, kubectl: Kubectl, release: str, values: dict[str, Any]
) -> None:
    def run(*args: str | Path, **more: Any) -> None:
        scope = ("--namespace", kubectl.namespace, "--wait", "--timeout", "3m")
        helm.run(*args, *scope, kubeconfig=kubectl.kubeconfig, values={**values, **more})

    before = seen(kubectl)
    run("install", release, CHART)
    serves(kubectl, f"{release}-interplay")
    run("upgrade", release, CHART, logFormat="text")
    serves(kubectl, f"{release}-interplay")

    scope = ("--namespace", kubectl.namespace, "--wait", "--timeout", "2m")
    helm.run("uninstall", release, *scope, kubeconfig=kubectl.kubeconfig)
    kubectl.until("nothing is left", lambda: {"left": []} if seen(kubectl) == before else None, 60)
    label = f"app.kubernetes.io/instance={release}"
    assert kubectl.run("get", "clusterroles,clusterrolebindings", "-l", label, "-o", "name") == ""


def serves(kubectl: Kubectl, fullname: str) -> None:
    """Its one pod is ready, was never refused anything, and its Service leads to its metrics."""
    kubectl.run("rollout", "status", f"deployment/{fullname}", "--timeout=60s")
    metrics = f"/api/v1/namespaces/{kubectl.namespace}/services/{fullname}-metrics:metrics/proxy"
    assert "# TYPE interplay_" in kubectl.run("get", "--raw", f"{metrics}/metrics")
    assert "forbidden" not in kubectl.run("logs", f"deployment/{fullname}").lower()


@pytest.mark.parametrize("role", ALLOWED)
def test_the_clusters_own_roles_know_our_kinds(kubectl: Kubectl, role: str) -> None:
    meta = {"name": role, "namespace": kubectl.namespace}
    subject = {"kind": "User", "name": role, "apiGroup": ROLES}
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": ROLES}
    kubectl.apply(
        {
            "apiVersion": f"{ROLES}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "subjects": [subject],
            "roleRef": reference,
        }
    )

    def answers() -> dict[str, Any] | None:
        return {"as": "said"} if {a for a in ASKED if may(kubectl, role, *a)} == allowed else None

    allowed = ALLOWED[role]
    kubectl.until(f"{role} may do {sorted(allowed)} and no more", answers, timeout=30)


def may(kubectl: Kubectl, user: str, verb: str, resource: str) -> bool:
    """What the API server's own authorizer says."""
    name, _, subresource = resource.partition("/")
    what = {"namespace": kubectl.namespace, "verb": verb, "group": "interplay.dev"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "resourceAttributes": {**what, "resource": name, "subresource": subresource},
        },
    }
    answer = kubectl.run("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    return bool(json.loads(answer)["status"]["allowed"])
