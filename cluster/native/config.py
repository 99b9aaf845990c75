"""What the native node's programs read: kubeconfigs and configuration files, as text."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from cluster.layout import CACHE, Layout

from .addresses import (
    BRIDGE,
    CLUSTER_CIDR,
    GATEWAY,
    KUBELET_PORT,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    REGISTRY,
    SERVER,
)
from .pause import PAUSE_IMAGE

__all__ = ["files", "kubeconfig"]


def files(layout: Layout) -> dict[Path, str]:
    """Every configuration file, by path. Kubernetes and CNI read JSON where YAML is usual."""
    config = layout.config
    return {
        config / "kubelet.json": _json(_kubelet(layout)),
        config / "kube-proxy.json": _json(_proxy(layout)),
        config / "registry.json": _json(_registry()),
        config / "containerd.toml": _containerd(layout),
        config / "cni" / "interplay.conflist": _json(_cni(layout)),
    }


def kubeconfig(authority: bytes, certificate: bytes, key: bytes) -> str:
    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    name = "interplay"
    cluster = {"server": SERVER, "certificate-authority-data": text(authority)}
    user = {"client-certificate-data": text(certificate), "client-key-data": text(key)}
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _kubelet(layout: Layout) -> dict[str, object]:
    pki = layout.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": GATEWAY,
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        # kube-proxy speaks nftables; iptables need not be there.
        "makeIPTablesUtilChains": False,
        # There is no cluster DNS, and the host's resolver may be unreachable from a pod.
        "resolvConf": "",
        # A developer's disk may be full to any degree: that evicts no pod and removes no image.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(layout.logs / "pods"),
        "volumePluginDir": str(layout.home / "kubelet" / "volume-plugins"),
    }


def _proxy(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(layout.config / "proxy.kubeconfig")},
        "clusterCIDR": CLUSTER_CIDR,
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        # Two pods on one bridge: without it the answer would come back past the address
        # translation, unless the kernel filters bridges, which not every one can.
        "nftables": {"masqueradeAll": True},
        # Zero leaves the machine's own connection tracking settings alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _registry() -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(CACHE / "registry")},
            "delete": {"enabled": True},
        },
        "http": {"addr": REGISTRY},
    }


def _cni(layout: Layout) -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "interplay",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isDefaultGateway": True,
                "hairpinMode": True,
                "ipMasq": True,
                "ipMasqBackend": "nftables",
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.home / "cni" / "addresses"),
                    "ranges": [[{"subnet": CLUSTER_CIDR, "gateway": GATEWAY}]],
                },
            }
        ],
    }


def _containerd(layout: Layout) -> str:
    home = layout.home / "containerd"
    return f"""\
version = 3
root = "{home}/root"
state = "{home}/state"
# These would make folders outside of ours, or have nothing to do here.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{layout.containerd_socket}"

[plugins.'io.containerd.cri.v1.images']
  # The runner's layers are 6 GB: unpacked they are enough.
  discard_unpacked_layers = true
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
  # Inside VMs and containers root often lacks CAP_SYS_RESOURCE, without which runc would fail.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{layout.bin}"]
    conf_dir = "{layout.config}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "{layout.bin}/runc"
      Root = "{home}/runc"
      SystemdCgroup = false
"""
