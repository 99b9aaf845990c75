"""S06 and S07: what the operator may do and no more; pods that a restricted namespace admits."""

from __future__ import annotations

import copy
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from interplay_api.catalog import Entry
from interplay_operator.jobs import JobRequest, job_manifest
from interplay_operator.rbac import RULES
from tests.apiserver.client import ApiError, Client, Object
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.specs import Maker
from tests.faults.world import World
from tests.helm.chart import NAMESPACE, Helm, named, only
from tests.operator import builders

__all__ = ["MUTATIONS", "access", "admission", "generated_pods", "questions"]

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
SPECIAL = (
    ("", "users", "impersonate"),
    ("", "groups", "impersonate"),
    ("", "serviceaccounts", "impersonate"),
    ("rbac.authorization.k8s.io", "roles", "escalate"),
    ("rbac.authorization.k8s.io", "roles", "bind"),
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
    ("", "nodes/proxy", "get"),
    ("", "pods/exec", "create"),
    ("*", "*", "*"),
)
Right = tuple[str, str, str]
PODS = 30
PACKAGE = re.compile("violates PodSecurity")


def questions(admin: Client) -> Iterator[Right]:
    """(group, resource, verb) of all that discovery names, and the verbs that it does not."""
    groups = [("", "v1")]
    for group in admin.request("GET", "/apis")["groups"]:
        groups += [(group["name"], v["version"]) for v in group["versions"]]
    seen = set(SPECIAL)
    for name, version in groups:
        root = f"/apis/{name}/{version}" if name else f"/api/{version}"
        for item in admin.request("GET", root)["resources"]:
            seen |= {(name, item["name"], verb) for verb in VERBS}
    yield from sorted(seen)


def may(admin: Client, account: tuple[str, str], right: Right, namespace: str) -> bool:
    """What the API server says that a service account may do."""
    space, name = account
    group, resource, verb = right
    plural, _, sub = resource.partition("/")
    attributes = {"group": group, "resource": plural, "subresource": sub, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{space}:{name}",
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{space}",
                "system:authenticated",
            ],
            "resourceAttributes": {**attributes, "namespace": namespace},
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(admin.request("POST", path, review)["status"]["allowed"])


def _granted(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    return {
        (g, r, v) for i in rules for g in i["apiGroups"] for r in i["resources"] for v in i["verbs"]
    }


@campaign(
    "S06", "Every right that is not granted is denied", quick=1, full=2, width=1, kind="input"
)
def access(world: World, round_: Round) -> list[Fault]:
    """The chart's account: for all namespaces, or (odd rounds) for a served one alone."""
    admin, served = world.server.admin, f"served-{secrets.token_hex(3)}"
    narrow = round_.number % 2 == 1
    with tempfile.TemporaryDirectory() as home:
        values = {"watchNamespaces": [served], "rbac": {"aggregate": False}} if narrow else {}
        items = Helm("helm4", Path(home)).render(values)
    for name in (NAMESPACE, served):
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    access_kinds = ("ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    made = [admin.apply(i) for k in access_kinds for i in named(items, k)]
    account = (NAMESPACE, only(items, "ServiceAccount")["metadata"]["name"])
    nobody, faults = (served, "nobody"), []
    granted = _granted(RULES)
    for right in questions(admin):
        group, resource, verb = right
        fault = round_.fault(f"{verb} {resource}.{group}")
        everybody = may(admin, nobody, right, served)
        if may(admin, account, right, served) != (right in granted or everybody):
            fault.violations.append(f"I11: in a served namespace: not {right in granted}")
        elsewhere = may(admin, account, right, "elsewhere")
        if elsewhere and not everybody and (narrow or right not in granted):
            fault.violations.append("I11: it may do it in another namespace")
        if may(admin, (served, "default"), right, served) and not everybody:
            fault.violations.append("I11: the account of a runner may do it")
        faults.append(fault)
    for item in reversed(made):
        admin.delete(item)
    return faults


def generated_pods(round_: Round, count: int) -> Iterator[Object]:
    """The pods that the operator would make for Modes as odd as the schema allows."""
    maker = Maker(round_.dice, edge=0.1)
    for number in range(count):
        mode = maker.manifest("Mode")["spec"]
        mode.pop("allowedNamespaces", None)
        folder = {"path": "/data/x", "claimName": "x", "subPath": "a/b"}
        entries = (
            Entry("Dataset", "folder", {"imageFolder": folder, "revision": "1"}),
            Entry("Measurement", "on-folder", {
                "category": "benefit", "entryPoint": "top1", "datasets": ["folder"],
            }),
        )  # fmt: skip
        chosen = {"names": ["top1", "on-folder"]}
        made = builders.resolved(mode, *entries, measurements=chosen, outputs={"claimName": "o"})[0]
        request = JobRequest(
            "restricted", made.name, "uid", "evaluation", 1, 3, made.spec, made.spec.plan, "0" * 64
        )
        template = job_manifest(request)["spec"]["template"]
        meta = {**template["metadata"], "name": f"pod-{number}"}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def _container(pod: Object) -> Object:
    first: Object = pod["spec"]["containers"][0]
    return first


def _security(**changed: object) -> Callable[[Object], None]:
    return lambda pod: _container(pod)["securityContext"].update(changed)


def _host_path(pod: Object) -> None:
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def _of_pod(**changed: object) -> Callable[[Object], None]:
    return lambda pod: pod["spec"]["securityContext"].update(changed)


MUTATIONS: Mapping[str, Callable[[Object], None]] = {
    "privilege escalation": _security(allowPrivilegeEscalation=True),
    "privileged": _security(privileged=True, allowPrivilegeEscalation=True),
    "a capability": _security(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    "capabilities kept": _security(capabilities={}),
    "an unmasked /proc": _security(procMount="Unmasked"),
    "a host path": _host_path,
    "may run as root": _of_pod(runAsNonRoot=False),
    "runs as root": _of_pod(runAsUser=0),
    "no seccomp": _of_pod(seccompProfile={"type": "Unconfined"}),
    "the host's network": lambda pod: pod["spec"].update(hostNetwork=True),
}


@campaign("S07", "Pods in a restricted namespace", quick=1, full=2, kind="input")
def admission(world: World, round_: Round) -> list[Fault]:
    """Ours are admitted, whatever the Mode; one change for the worse is refused."""
    admin, name = world.server.admin, f"restricted-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    meta = {"name": name, "labels": labels}
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    faults = []
    for number, pod in enumerate(generated_pods(round_, PODS)):
        pod["metadata"]["namespace"] = name
        fault = round_.fault(f"generated Mode {number}")
        fault.violations += [f"I11: {s}" for s in [_refusal(admin, pod)] if PACKAGE.search(s)]
        faults.append(fault)
    plain = _plain()
    plain["metadata"]["namespace"] = name
    fault = round_.fault("the plain Mode")
    fault.violations += [f"I11: {s}" for s in [_refusal(admin, plain)] if s]
    faults.append(fault)
    for what, change in MUTATIONS.items():
        worse, fault = copy.deepcopy(plain), round_.fault(what)
        change(worse)
        if not _refusal(admin, worse):
            fault.violations.append("I11: it was admitted")
        faults.append(fault)
    return faults


def _plain() -> Object:
    made = builders.resolved()[0]
    request = JobRequest("x", made.name, "uid", "e", 1, 3, made.spec, made.spec.plan, "0" * 64)
    template = job_manifest(request)["spec"]["template"]
    meta = {**template["metadata"], "name": "plain"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def _refusal(admin: Client, pod: Object) -> str:
    try:
        admin.create(pod, dry_run=True)
    except ApiError as error:
        return error.message
    return ""
