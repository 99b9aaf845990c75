"""The native node's life: start it, say how it is, end it without a trace."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cluster import tools
from cluster.binaries import provide
from cluster.console import say, step
from cluster.errors import ClusterError
from cluster.kubectl import kubectl
from cluster.layout import CACHE, Layout
from cluster.packages import install
from cluster.processes import ensure, is_running, stop, wait
from cluster.shell import output

from . import certificates, config, network, remains
from .addresses import NODE, REGISTRY
from .components import names, waves
from .pause import PAUSE_IMAGE, archive, compile_pause

__all__ = ["PACKAGES", "down", "registry", "status", "up"]

PACKAGES = ("docker-registry", "gcc", "iproute2", "libc6-dev", "libseccomp2", "nftables", "openssl")
_PATIENCE = 120.0
_LAST = ("kube-apiserver", "containerd", "etcd", "docker-registry")
"""Ended after all others, which write through them."""


def up(layout: Layout) -> None:
    """A Ready node and its kubeconfig; what already runs as it should is left alone."""
    layout.check()
    _hold(layout)
    install(PACKAGES)
    provide(layout, tools.NATIVE)
    _write_configuration(layout)
    if network.holder() is None:
        network.create(layout.root, layout.run / "ip-forward")
    begun = datetime.now(UTC)
    storage, server, others = waves(layout)
    with step("starting the control plane"):
        for wave in (storage, server):
            for daemon in wave:
                ensure(layout, daemon)
            for daemon in wave:
                wait(layout, daemon)
        _until("the API server is ready", lambda: kubectl(layout, "get", "--raw", "/readyz"))
    _load_pause(layout)
    with step("starting the node"):
        started = [ensure(layout, daemon) for daemon in others]
        for daemon in others:
            wait(layout, daemon)
        fresh = begun if any(started) else datetime.fromtimestamp(0, UTC)
        _until("the node is Ready", lambda: _check_ready(layout, fresh))
        _until("accounts", lambda: kubectl(layout, "get", "serviceaccount", "default"))


def down(layout: Layout) -> None:
    """End everything of this checkout's node; images and the API server's state stay on disk."""
    ours = network.holder() == layout.root
    stop(layout, [name for name in names(layout) if name not in _LAST])
    if ours:
        with step("ending the pods"):
            remains.pods_end(layout)
    with step("stopping the control plane"):
        stop(layout, _LAST[:2])
        stop(layout, _LAST[2:])
    remains.unmount_below(layout.home)
    remains.unmount_below(CACHE)
    if ours:
        remains.sweep(layout)
        network.remove(layout.run / "ip-forward")
    layout.kubeconfig.unlink(missing_ok=True)


def status(layout: Layout) -> list[tuple[str, bool]]:
    return [(name, is_running(layout, name)) for name in names(layout)]


def _hold(layout: Layout) -> None:
    """Only one native node fits on a machine: its bridge says whose it is."""
    holder = network.holder()
    if holder is None or holder == layout.root:
        return
    other = Layout(holder)
    if any(running for _, running in status(other)):
        raise ClusterError(
            f"up: the cluster of {holder} is running on this machine;"
            f" end it with `python3 -m cluster down` in that folder"
        )
    say(f"removing what is left of the cluster of {holder}")
    down(other)


def _write_configuration(layout: Layout) -> None:
    certificates.issue(layout.pki)
    for path, text in config.files(layout).items():
        _write(path, text)
    kubeconfigs = {
        "admin": layout.kubeconfig,
        **{
            user: layout.config / f"{user}.kubeconfig"
            for user in ("controller-manager", "scheduler", "kubelet", "proxy")
        },
    }
    authority = (layout.pki / "ca.crt").read_bytes()
    for user, path in kubeconfigs.items():
        pair = [(layout.pki / f"{user}.{end}").read_bytes() for end in ("crt", "key")]
        _write(path, config.kubeconfig(authority, *pair), mode=0o600)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    # kube-proxy ends when its file is written, even with the same text.
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.write_text(text)


def _load_pause(layout: Layout) -> None:
    ctr = [layout.tool("ctr"), f"--address={layout.containerd_socket}", "--namespace=k8s.io"]
    if PAUSE_IMAGE in output([*ctr, "images", "list", "--quiet"]).split():
        return
    program, packed = layout.home / "pause", layout.home / "pause.tar.gz"
    compile_pause(program)
    packed.write_bytes(archive(program.read_bytes()))
    output([*ctr, "images", "import", str(packed)])


def _check_ready(layout: Layout, since: datetime) -> None:
    """Ready, with a lease renewed since: what a stopped node said last still stands in etcd."""
    node = json.loads(kubectl(layout, "get", "node", NODE, "--output", "json"))
    [ready] = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
    lease = ["get", "lease", NODE, "--namespace=kube-node-lease", "--output", "json"]
    renewed = datetime.fromisoformat(json.loads(kubectl(layout, *lease))["spec"]["renewTime"])
    if ready["status"] != "True" or renewed < since:
        raise ClusterError(f"node {NODE}: {ready['message']}")


def _until(what: str, check: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            check()
        except ClusterError as e:
            if time.monotonic() > deadline:
                raise ClusterError(f"up: waited {_PATIENCE:.0f} s for: {what}\n{e}") from e
            time.sleep(0.3)
        else:
            return


def registry(layout: Layout) -> str:
    """Where images go: the registry among the node's own programs."""
    if not is_running(layout, "docker-registry"):
        raise ClusterError("images: the registry does not run: run `python3 -m cluster up` first")
    return REGISTRY
