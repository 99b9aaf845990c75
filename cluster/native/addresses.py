"""The native node's names, addresses and ports, none of them reachable from outside."""

__all__ = [
    "BRIDGE",
    "CLUSTER_CIDR",
    "CONTROLLER_PORT",
    "GATEWAY",
    "KUBELET_PORT",
    "NODE",
    "PROXY_HEALTH_PORT",
    "PROXY_METRICS_PORT",
    "REGISTRY",
    "REGISTRY_PORT",
    "SCHEDULER_PORT",
    "SERVER",
    "SERVER_PORT",
    "SERVICE_CIDR",
    "SERVICE_FIRST",
]

NODE = "interplay"
BRIDGE = "interplay0"
"""The one link whose presence says that a native node holds this machine."""

GATEWAY = "10.88.0.1"
"""The bridge's own address: the API server's, the kubelet's, and the pods' way out."""
CLUSTER_CIDR = "10.88.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_FIRST = "10.96.0.1"
"""Kubernetes gives its own API the first address of the service range."""

SERVER_PORT = 6443
SERVER = f"https://{GATEWAY}:{SERVER_PORT}"
KUBELET_PORT = 10250
CONTROLLER_PORT = 10257
SCHEDULER_PORT = 10259
PROXY_METRICS_PORT = 10249
PROXY_HEALTH_PORT = 10256
REGISTRY_PORT = 5055
REGISTRY = f"127.0.0.1:{REGISTRY_PORT}"
