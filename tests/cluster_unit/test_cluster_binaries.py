"""Which programs are built, from which pinned modules, under which cache key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster import tools
from cluster.errors import ClusterError
from cluster.toolchain import MINIMUM


def _go_mod(group: str) -> str:
    return (tools.MODULES / group / "go.mod").read_text()


def test_every_tool_is_a_tool_of_its_pinned_module() -> None:
    for tool in tools.TOOLS:
        assert re.search(rf"^(tool )?\s*{re.escape(tool.package)}$", _go_mod(tool.group), re.M)
        assert (tools.MODULES / tool.group / "go.sum").stat().st_size > 0


def test_no_module_needs_a_newer_go_than_is_asked_for() -> None:
    lines = [re.search(r"^go (\S+)$", _go_mod(tool.group), re.M) for tool in tools.TOOLS]
    needed = [tuple(map(int, line.group(1).split("."))) for line in lines if line]
    assert len(needed) == len(tools.TOOLS)
    assert max(needed) == MINIMUM


def test_the_server_says_the_version_of_its_module() -> None:
    version = re.search(r"k8s\.io/kubernetes (v\S+)", _go_mod("kubernetes"))
    assert version
    [server] = tools.named(["kube-apiserver"])
    command = tools.build_command(server, "go", Path("out"))
    assert f"-X k8s.io/component-base/version.gitVersion={version.group(1)}" in command[-4]
    assert command[-3:] == ["-o", "out", "k8s.io/kubernetes/cmd/kube-apiserver"]


def test_the_cache_key_follows_module_flags_and_compiler() -> None:
    [runc], [etcd] = tools.named(["runc"]), tools.named(["etcd"])
    keys = {
        tools.build_digest(etcd, "go1.26.8 linux/amd64", [b"mod", b"sum"]),
        tools.build_digest(runc, "go1.26.8 linux/amd64", [b"mod", b"sum"]),
        tools.build_digest(etcd, "go1.26.9 linux/amd64", [b"mod", b"sum"]),
        tools.build_digest(etcd, "go1.26.8 linux/amd64", [b"mods", b"um"]),
    }
    assert len(keys) == 4


def test_an_unknown_binary_is_named() -> None:
    with pytest.raises(ClusterError, match=r"no such binary: kubelett; there are etcd, .*kubelet"):
        tools.named(["kubelett", "etcd"])
