"""Operators that start for one namespace each: with few rights, and against an odd server."""

from __future__ import annotations

from pathlib import Path

import pytest

from interplay_api.constants import API_VERSION
from interplay_operator.rbac import LIBRARY_RULES, RULES
from tests.apiserver.operator import Hand, OperatorProcess, until
from tests.apiserver.proxy import PASS, Harm, Proxy, Request
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver


def test_roles_in_the_served_namespaces_are_enough(
    server: ApiServer, namespace: str, tmp_path: Path
) -> None:
    system = f"{namespace}-system"
    server.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": system}})
    kubeconfig = server.service_account(system, "operator", LIBRARY_RULES)
    _grant(server, namespace, system)
    alone = OperatorProcess(kubeconfig, system, tmp_path / "operator.log", [namespace])
    alone.start()
    try:
        admins = Hand(server.admin, system)
        admins.library("Mode", "special", {"podLabels": {"team": "vision"}})
        hand = Hand(server.admin, namespace)
        hand.evaluation("narrow", mode="special")
        job = hand.job()
        assert job["spec"]["template"]["metadata"]["labels"]["team"] == "vision"
        hand.finish(job)
        hand.until("narrow", "Complete")
        assert alone.get(alone.probes, "healthz") == (200, "ok")
    finally:
        alone.stop()
    assert "Forbidden" not in (tmp_path / "operator.log").read_text()


def test_kopf_asks_again_after_a_404(server: ApiServer, namespace: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def judge(request: Request) -> Harm:
        if request.path != f"/apis/{API_VERSION}":
            return PASS
        asked.append(request.path)
        return Harm(status=404, reason="NotFound") if len(asked) == 1 else PASS

    proxy = Proxy(server)
    proxy.judge = judge
    proxy.start()
    log = tmp_path / "operator.log"
    alone = OperatorProcess(proxy.kubeconfig(tmp_path / "kubeconfig"), namespace, log, [namespace])
    try:
        alone.start()
        until("kopf asks again", lambda: len(asked) > 1)
        hand = Hand(server.admin, namespace)
        hand.evaluation("late")
        hand.finish(hand.job())
        hand.until("late", "Complete")
    finally:
        alone.stop()
        proxy.stop()


def _grant(server: ApiServer, namespace: str, system: str) -> None:
    """Give the account of another namespace the rights that a served namespace needs."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": "operator", "namespace": namespace}
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": system}
    base = {"apiVersion": f"{group}/v1", "metadata": meta}
    server.admin.apply({**base, "kind": "Role", "rules": RULES})
    ref = {"apiGroup": group, "kind": "Role", "name": "operator"}
    server.admin.apply({**base, "kind": "RoleBinding", "roleRef": ref, "subjects": [subject]})
