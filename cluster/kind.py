"""kind, where Docker answers: a cluster in one container, and a registry beside it.

The registry is what kind's own guide makes: a container on loopback for pushing, on kind's network
for pulling, and a hosts.toml in the node that leads from the one name to the other.
"""

from __future__ import annotations

import json

from .binaries import provide
from .console import step
from .errors import ClusterError
from .kubectl import kubectl
from .layout import Layout
from .shell import answers, output, run

__all__ = ["BINARIES", "REGISTRY", "configuration", "down", "registry", "status", "up"]

BINARIES = ("kind", "kubectl", "helm")
NAME = "interplay"
REGISTRY_CONTAINER = "interplay-registry"
REGISTRY_IMAGE = "docker.io/library/registry:2"
REGISTRY_PORT = 5055
REGISTRY = f"127.0.0.1:{REGISTRY_PORT}"
_HOSTS = "/etc/containerd/certs.d"


def up(layout: Layout) -> None:
    provide(layout, BINARIES)
    kind = layout.tool("kind")
    kubeconfig = f"--kubeconfig={layout.kubeconfig}"
    if NAME not in output([kind, "get", "clusters"]).split():
        config = layout.config / "kind.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps(configuration(), indent=2) + "\n")
        create = [kind, "create", "cluster", "--name", NAME, "--wait", "120s"]
        with step("creating the kind cluster"):
            run([*create, f"--config={config}", kubeconfig], layout.logs / "kind.log")
    output([kind, "export", "kubeconfig", "--name", NAME, kubeconfig])
    _provide_registry(layout)
    kubectl(layout, "wait", "node", "--all", "--for=condition=Ready", "--timeout=120s")


def down(layout: Layout) -> None:
    if (layout.bin / "kind").exists():
        with step("deleting the kind cluster"):
            delete = [layout.tool("kind"), "delete", "cluster", "--name", NAME]
            output([*delete, f"--kubeconfig={layout.kubeconfig}"])
    answers(["docker", "rm", "--force", "--volumes", REGISTRY_CONTAINER])


def status(layout: Layout) -> list[tuple[str, bool]]:
    containers = [*_nodes(layout), REGISTRY_CONTAINER]
    return [(name, _runs(name)) for name in containers]


def registry(layout: Layout) -> str:
    del layout
    return REGISTRY


def configuration() -> dict[str, object]:
    """One node; the API server holds controllers to their rights as the native node's does."""
    admission = {"name": "enable-admission-plugins"}
    admission["value"] = "NodeRestriction,OwnerReferencesPermissionEnforcement"
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": [admission]},
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "kubeadmConfigPatches": [json.dumps(patch)]}],
    }


def _provide_registry(layout: Layout) -> None:
    if not _runs(REGISTRY_CONTAINER):
        answers(["docker", "rm", "--force", REGISTRY_CONTAINER])
        start = ["docker", "run", "--detach", "--name", REGISTRY_CONTAINER]
        with step("starting the registry"):
            output([*start, f"--publish={REGISTRY}:5000", REGISTRY_IMAGE])
    if "kind" not in _networks(REGISTRY_CONTAINER):
        output(["docker", "network", "connect", "kind", REGISTRY_CONTAINER])
    hosts = f'[host."http://{REGISTRY_CONTAINER}:5000"]\n'
    script = f"mkdir -p {_HOSTS}/{REGISTRY} && cat > {_HOSTS}/{REGISTRY}/hosts.toml"
    for node in _nodes(layout):
        output(["docker", "exec", "--interactive", node, "sh", "-c", script], stdin=hosts)


def _nodes(layout: Layout) -> list[str]:
    return output([layout.tool("kind"), "get", "nodes", "--name", NAME]).split()


def _runs(container: str) -> bool:
    query = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    try:
        return output(query).strip() == "true"
    except ClusterError:
        return False


def _networks(container: str) -> set[str]:
    query = ["docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", container]
    return set(json.loads(output(query)))
