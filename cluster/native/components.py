"""The native node's programs with their arguments, in the waves in which they start."""

from __future__ import annotations

from pathlib import Path

from cluster.layout import Layout
from cluster.processes import Daemon

from .addresses import (
    CONTROLLER_PORT,
    GATEWAY,
    KUBELET_PORT,
    NODE,
    PROXY_METRICS_PORT,
    REGISTRY,
    SCHEDULER_PORT,
    SERVER_PORT,
    SERVICE_CIDR,
)

__all__ = ["ADMISSION", "names", "waves"]

ADMISSION = ("NodeRestriction", "OwnerReferencesPermissionEnforcement")
"""Beside the defaults. The second holds a controller to `update` on its owners' finalizers."""


def waves(layout: Layout) -> tuple[tuple[Daemon, ...], ...]:
    """Storage and runtime, then the API server, then everything that talks to it."""
    return (
        (_registry(layout), _etcd(layout), _containerd(layout)),
        (_apiserver(layout),),
        (
            _controller_manager(layout),
            _scheduler(layout),
            _kubelet(layout),
            _proxy(layout),
        ),
    )


def names(layout: Layout) -> list[str]:
    return [daemon.name for wave in waves(layout) for daemon in wave]


def _registry(layout: Layout) -> Daemon:
    config = layout.config / "registry.json"
    return Daemon(
        "docker-registry",
        ("docker-registry", "serve", str(config)),
        listens=REGISTRY,
        files=(config,),
    )


def _etcd(layout: Layout) -> Daemon:
    # On sockets in a folder of root's: nobody else can read or write the cluster's state.
    clients = f"unix://{layout.etcd_socket}"
    peers = f"unix://{layout.run}/etcd-peer.sock"
    member = "http://127.0.0.1:1"
    return Daemon(
        "etcd",
        (
            str(layout.bin / "etcd"),
            f"--data-dir={layout.home}/etcd",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            # The only member: its peer address is a name that nobody dials.
            f"--initial-advertise-peer-urls={member}",
            f"--initial-cluster=default={member}",
            "--auto-compaction-retention=1h",
        ),
        listens=str(layout.etcd_socket),
    )


def _containerd(layout: Layout) -> Daemon:
    config = layout.config / "containerd.toml"
    return Daemon(
        "containerd",
        (str(layout.bin / "containerd"), f"--config={config}"),
        listens=str(layout.containerd_socket),
        files=(config,),
        # It pulls images, so it needs the proxies that the person has set.
        inherits=True,
    )


def _apiserver(layout: Layout) -> Daemon:
    pki = layout.pki
    return Daemon(
        "kube-apiserver",
        (
            str(layout.bin / "kube-apiserver"),
            f"--etcd-servers=unix://{layout.etcd_socket}",
            f"--bind-address={GATEWAY}",
            f"--advertise-address={GATEWAY}",
            f"--secure-port={SERVER_PORT}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--authorization-mode=Node,RBAC",
            f"--enable-admission-plugins={','.join(ADMISSION)}",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            # The node's name does not resolve.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/service-accounts.key",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
        ),
        listens=f"{GATEWAY}:{SERVER_PORT}",
    )


def _controller_manager(layout: Layout) -> Daemon:
    kubeconfig = layout.config / "controller-manager.kubeconfig"
    return Daemon(
        "kube-controller-manager",
        (
            str(layout.bin / "kube-controller-manager"),
            *_as_client(kubeconfig, CONTROLLER_PORT),
            "--use-service-account-credentials",
            f"--root-ca-file={layout.pki}/ca.crt",
            f"--service-account-private-key-file={layout.pki}/service-accounts.key",
        ),
        listens=f"127.0.0.1:{CONTROLLER_PORT}",
    )


def _scheduler(layout: Layout) -> Daemon:
    kubeconfig = layout.config / "scheduler.kubeconfig"
    return Daemon(
        "kube-scheduler",
        (str(layout.bin / "kube-scheduler"), *_as_client(kubeconfig, SCHEDULER_PORT)),
        listens=f"127.0.0.1:{SCHEDULER_PORT}",
    )


def _as_client(kubeconfig: Path, port: int) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        # There is one of each; waiting for an old lease would only delay a restart.
        "--leader-elect=false",
    )


def _kubelet(layout: Layout) -> Daemon:
    config = layout.config / "kubelet.json"
    return Daemon(
        "kubelet",
        (
            str(layout.bin / "kubelet"),
            f"--config={config}",
            f"--kubeconfig={layout.config}/kubelet.kubeconfig",
            f"--root-dir={layout.home}/kubelet",
            f"--cert-dir={layout.home}/kubelet/pki",
            f"--hostname-override={NODE}",
            f"--node-ip={GATEWAY}",
        ),
        listens=f"{GATEWAY}:{KUBELET_PORT}",
        files=(config,),
    )


def _proxy(layout: Layout) -> Daemon:
    config = layout.config / "kube-proxy.json"
    return Daemon(
        "kube-proxy",
        (
            str(layout.bin / "kube-proxy"),
            f"--config={config}",
            f"--hostname-override={NODE}",
        ),
        listens=f"127.0.0.1:{PROXY_METRICS_PORT}",
        files=(config,),
    )
