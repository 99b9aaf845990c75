"""Which programs the cluster is made of, and how each is built: pinned Go modules, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError

__all__ = ["MODULES", "NATIVE", "TOOLS", "Tool", "build_command", "build_digest", "named"]

MODULES = Path(__file__).resolve().parent / "tools"
"""One folder per group: a go.mod with `tool` lines, and its go.sum. Groups need not agree."""

_KUBERNETES_VERSION = "1.37.2"
_COMMON_FLAGS = ("-trimpath", "-buildvcs=false")
_STRIPPED = "-s -w"


def _kubernetes_ldflags() -> str:
    """Without these the server says v0.0.0, and clients complain."""
    major, minor, _ = _KUBERNETES_VERSION.split(".")
    values = {"gitVersion": f"v{_KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    prefix = "k8s.io/component-base/version"
    return " ".join([_STRIPPED, *(f"-X {prefix}.{k}={v}" for k, v in values.items())])


@dataclass(frozen=True)
class Tool:
    """One program: where its module lies, its package, and the flags it needs."""

    name: str
    group: str
    package: str
    ldflags: str = _STRIPPED
    tags: str = ""
    cgo: bool = False


def _kubernetes(name: str) -> Tool:
    return Tool(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _kubernetes_ldflags())


def _containerd(name: str) -> Tool:
    return Tool(name, "containerd", f"github.com/containerd/containerd/v2/cmd/{name}")


def _cni(name: str, kind: str) -> Tool:
    return Tool(name, "cni", f"github.com/containernetworking/plugins/plugins/{kind}/{name}")


# In the order in which they are wanted: an API server first.
_NODE = (
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kubectl"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    _containerd("containerd"),
    _containerd("containerd-shim-runc-v2"),
    _containerd("ctr"),
    # runc enters namespaces in C, before Go's threads start.
    Tool("runc", "runc", "github.com/opencontainers/runc", tags="seccomp", cgo=True),
    _cni("bridge", "main"),
    _cni("host-local", "ipam"),
    _cni("loopback", "main"),
    Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
)
_OTHER = (
    Tool("helm3", "helm3", "helm.sh/helm/v3/cmd/helm"),
    Tool("kind", "kind", "sigs.k8s.io/kind"),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Tool("kwokctl", "kwok", "sigs.k8s.io/kwok/cmd/kwokctl"),
)
TOOLS = _NODE + _OTHER
NATIVE = tuple(tool.name for tool in _NODE)
"""What the native node and its users need; the others are built when they are named."""


def named(names: Iterable[str]) -> list[Tool]:
    """The tools of these names, in the table's order; none named means all."""
    wanted = set(names)
    unknown = wanted - {tool.name for tool in TOOLS}
    if unknown:
        raise ClusterError(
            f"binaries: no such binary: {', '.join(sorted(unknown))};"
            f" there are {', '.join(tool.name for tool in TOOLS)}"
        )
    return [tool for tool in TOOLS if not wanted or tool.name in wanted]


def _flags(tool: Tool) -> list[str]:
    tags = ["-tags", tool.tags] if tool.tags else []
    return [*_COMMON_FLAGS, *tags, "-ldflags", tool.ldflags]


def build_command(tool: Tool, go: str, out: Path) -> list[str]:
    return [go, "build", *_flags(tool), "-o", str(out), tool.package]


def build_digest(tool: Tool, go_version: str, module: Sequence[bytes]) -> str:
    """What decides a binary's bytes: its module's pinned files, its flags, and the compiler."""
    state = hashlib.sha256()
    for part in (
        go_version.encode(),
        tool.package.encode(),
        repr((_flags(tool), tool.cgo)).encode(),
        *module,
    ):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()[:16]
