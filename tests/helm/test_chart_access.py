"""Who may do what: the operator by cluster or by namespace, people by the cluster's own roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from interplay_operator.rbac import LIBRARY_RULES, RULES
from interplay_operator.settings import Settings
from tests.helm.chart import NAMESPACE, Helm, Object, identity, named, only, plurals

Right = tuple[str, str, str]
READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}


def rights(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    """(group, resource, verb) of each thing that the rules allow."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def bound(items: Sequence[Object]) -> Iterator[tuple[str, str, set[Right]]]:
    """(kind, namespace, rights) of every role that is bound to the operator's account."""
    account = only(items, "ServiceAccount")["metadata"]["name"]
    by_identity = {identity(i): i for i in items}
    for item in named(items, "ClusterRoleBinding") + named(items, "RoleBinding"):
        (subject,) = item["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}
        _, namespace, _ = identity(item)
        kind = item["roleRef"]["kind"]
        yield (
            kind,
            namespace,
            rights(by_identity[kind, namespace, item["roleRef"]["name"]]["rules"]),
        )


def test_the_operator_may_do_what_its_own_list_says(helm4: Helm) -> None:
    assert list(bound(helm4.render())) == [("ClusterRole", "", rights(RULES))]


@pytest.mark.parametrize("own", [False, True], ids=["library-apart", "library-served"])
def test_served_namespaces_need_no_right_elsewhere(helm4: Helm, own: bool) -> None:
    served = ["b", "a", *([NAMESPACE] if own else [])]
    items = helm4.render({"watchNamespaces": served, "rbac": {"aggregate": False}})
    assert named(items, "ClusterRole") == []
    found = {namespace: allowed for kind, namespace, allowed in bound(items) if kind == "Role"}
    assert set(found) == {"a", "b", NAMESPACE}
    assert all(found[n] == rights(RULES) for n in served)
    if not own:
        assert found[NAMESPACE] == rights(LIBRARY_RULES)


def test_people_get_what_the_clusters_own_roles_gain(helm4: Helm) -> None:
    gained: dict[str, set[Right]] = {}
    for role in named(helm4.render(), "ClusterRole"):
        for label in role["metadata"]["labels"]:
            if "aggregate-to-" in label:
                gained.setdefault(label.split("aggregate-to-")[1], set()).update(
                    rights(role["rules"])
                )
    ours = {("interplay.dev", r, v) for r in plurals() for v in READ}
    edited = plurals() - {"modelruns", "modes"}
    assert gained["view"] == ours
    assert gained["edit"] == ours | {("interplay.dev", r, v) for r in edited for v in WRITE}
    assert gained["admin"] == gained["edit"] | {("interplay.dev", "modes", v) for v in WRITE}


def test_without_rbac_there_are_no_roles(helm4: Helm) -> None:
    items = helm4.render({"rbac": {"create": False}, "watchNamespaces": ["a"]})
    assert [i["kind"] for i in items if "Role" in i["kind"]] == []


def test_the_operator_reads_every_setting_of_its_pod(helm4: Helm) -> None:
    pod = only(helm4.render({"watchNamespaces": ["b", "a"]}), "Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    env = {e["name"]: e.get("value", NAMESPACE) for e in container["env"]}
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    settings = Settings.from_environment(Recorder(env))
    assert read == set(env)
    assert settings.watch_namespaces == ("a", "b")
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"metrics": settings.metrics_port, "probes": settings.probes_port}
