"""A real etcd and kube-apiserver as child processes, for tests of everything but pods."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from urllib3.exceptions import HTTPError

from tests.apiserver.client import ApiError, Client, Object
from tests.apiserver.processes import Process, free_ports

__all__ = ["BINARIES", "ROOT", "ApiServer", "Write", "crds", "missing_binaries"]

ROOT = Path(__file__).resolve().parents[2]
BINARIES = ROOT / ".cluster" / "bin"
START_SECONDS = 90

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
    ],
}


def missing_binaries() -> str:
    """Why no server can be started here, or nothing."""
    missing = [n for n in ("etcd", "kube-apiserver") if not (BINARIES / n).is_file()]
    if not missing:
        return ""
    return f"{' and '.join(missing)} missing: python3 -m cluster binaries etcd kube-apiserver"


def crds() -> list[Object]:
    """The committed CustomResourceDefinitions."""
    return [yaml.safe_load(p.read_text()) for p in sorted((ROOT / "crds").glob("*.yaml"))]


@dataclass(frozen=True, slots=True)
class Write:
    """One write that somebody asked for, from the audit log."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int


class ApiServer:
    """etcd and kube-apiserver on loopback ports of their own, everything else below `folder`.

    RBAC is on; `admin` is in system:masters. No controllers run: a test plays their part. Both
    processes can be stopped, stalled and started again (`etcd`, `apiserver`, `restart`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        client_port, peer_port, port = free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        self.token = secrets.token_hex(16)
        self.etcd = Process(self._etcd_args(client_port, peer_port), folder / "etcd.log")
        self.apiserver = Process(
            self._apiserver_args(port, client_port), folder / "kube-apiserver.log"
        )
        self.admin: Client

    @property
    def ca(self) -> Path:
        """The certificate that the server made for itself at its first start, and its issuer."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    def _etcd_args(self, client_port: int, peer_port: int) -> list[str | Path]:
        client, peer = (f"http://127.0.0.1:{p}" for p in (client_port, peer_port))
        return [
            BINARIES / "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _apiserver_args(self, port: int, etcd_port: int) -> list[str | Path]:
        key = self.folder / "service-account.key"
        return [
            BINARIES / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--cert-dir={self.folder / 'certs'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            # Its controller is not here to make the default accounts that it asks for.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self.folder / 'audit-policy.json'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--audit-log-mode=blocking",
            "--shutdown-delay-duration=0s",
            "--profiling=false",
        ]

    def start(self) -> None:
        """Start both; returns when the server is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")
        (self.folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
        key = self.folder / "service-account.key"
        if not key.exists():
            command = ["openssl", "genrsa", "-out", str(key), "2048"]
            subprocess.run(command, check=True, capture_output=True)
        try:
            self.etcd.start()
            self.apiserver.start()
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        self.kubeconfig.write_text(self.kubeconfig_text(self.token))

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for process in (self.etcd, self.apiserver):
                if process.pid is None:
                    raise RuntimeError(f"{process.name} ended at its start:\n{process.tail()}")
            if self.ca.exists():
                self.admin = Client(self.url, str(self.ca), self.token)
                if self.is_ready():
                    return
            time.sleep(0.1)
        raise TimeoutError(f"not ready after {START_SECONDS} s:\n{self.apiserver.tail()}")

    def is_ready(self) -> bool:
        """Whether it serves, its own namespaces and roles included."""
        try:
            self.admin.request("GET", "/api/v1/namespaces/kube-system")
            self.admin.request("GET", "/readyz")
        except (ApiError, HTTPError):
            return False
        return True

    def revision(self) -> int:
        """Where the store is now."""
        answer = self.admin.request("GET", "/api/v1/namespaces", limit="1")
        return int(answer["metadata"]["resourceVersion"])

    def stop(self) -> None:
        """End both; nothing of them is left."""
        if hasattr(self, "admin"):
            self.admin.close()
        self.apiserver.stop()
        self.etcd.stop()

    def restart(self) -> None:
        """Kill the API server and start it anew on the same port, with the same data."""
        self.apiserver.signal(signal.SIGKILL)
        self.apiserver.stop()
        self.apiserver.start()
        self._wait_ready()

    def writes(self, *, user: str = "") -> list[Write]:
        """Every write since the start, oldest first; `user` narrows it to one."""
        found = []
        for line in (self.folder / "audit.log").read_text().splitlines():
            event = json.loads(line)
            ref = event.get("objectRef", {})
            resource = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
            name, code = ref.get("name", ""), event["responseStatus"]["code"]
            who = event["user"]["username"]
            if user in ("", who):
                found.append(
                    Write(who, event["verb"], resource, ref.get("namespace", ""), name, code)
                )
        return found

    def install(self, manifests: Iterable[Object]) -> None:
        """Apply CustomResourceDefinitions and wait until they are established."""
        crds = [self.admin.apply(m) for m in manifests]
        deadline = time.monotonic() + START_SECONDS
        for crd in crds:
            while not _established(self.admin.request("GET", self.admin.path_of(crd))):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{crd['metadata']['name']} is not established")
                time.sleep(0.05)

    def service_account(
        self,
        namespace: str,
        name: str,
        rules: Sequence[Mapping[str, Any]] = (),
        *,
        cluster: bool = False,
    ) -> Path:
        """A kubeconfig of a service account that may do what `rules` say and nothing else.

        The rules hold in its namespace, or everywhere with `cluster`. The account's user name is
        `system:serviceaccount:<namespace>:<name>`.
        """
        meta = {"name": name, "namespace": namespace}
        self.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        for item in _grant(namespace, name, rules, cluster) if rules else ():
            self.admin.apply(item)
        path = self.folder / f"{namespace}-{name}.kubeconfig"
        path.write_text(self.kubeconfig_text(self.account_token(namespace, name)))
        return path

    def account_token(self, namespace: str, name: str) -> str:
        """A token of an existing service account, good for an hour."""
        account = self.admin.path("v1", "ServiceAccount", namespace, name)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token: str = self.admin.request("POST", f"{account}/token", request)["status"]["token"]
        return token

    def client(self, token: str) -> Client:
        """A client for another user's token."""
        return Client(self.url, str(self.ca), token)

    def kubeconfig_text(self, token: str) -> str:
        """A kubeconfig for whoever has the token."""
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": ca}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {"token": token}}],
            }
        )


def _established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _grant(
    namespace: str, name: str, rules: Sequence[Mapping[str, Any]], cluster: bool
) -> list[Object]:
    prefix = "Cluster" if cluster else ""
    meta = {"name": f"{namespace}-{name}"} if cluster else {"name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    ref = {"apiGroup": group, "kind": f"{prefix}Role", "name": meta["name"]}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    base = {"apiVersion": f"{group}/v1", "metadata": meta}
    return [
        {**base, "kind": f"{prefix}Role", "rules": list(rules)},
        {**base, "kind": f"{prefix}RoleBinding", "roleRef": ref, "subjects": [subject]},
    ]
