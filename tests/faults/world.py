"""One API server with a real garbage collector, shared by the scenarios of a campaign."""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from pathlib import Path

from interplay_operator.rbac import RULES
from tests.apiserver.processes import Process
from tests.apiserver.server import BINARIES, ApiServer, crds, missing_binaries
from tests.faults.observer import AuditLog, Observer

__all__ = ["ACCOUNT", "World", "missing"]

SYSTEM = "interplay-faults"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:operator"
COLLECTOR = "kube-controller-manager"


def missing() -> str:
    """Why no world can be made here, or nothing."""
    if reason := missing_binaries():
        return reason
    if not (BINARIES / COLLECTOR).is_file():
        return f"{COLLECTOR} missing: python3 -m cluster binaries {COLLECTOR}"
    return ""


class World:
    """etcd, API server, garbage collector, observer and audit log; namespaces on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ApiServer(folder)
        # Old revisions stay readable; campaigns compact themselves.
        self.server.apiserver.args.append("--etcd-compaction-interval=0")
        self.collector = Process(
            [
                BINARIES / COLLECTOR,
                f"--kubeconfig={self.server.kubeconfig}",
                "--controllers=garbage-collector-controller",
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
            folder / "collector.log",
        )
        self.observer = Observer(self.server)
        self.audit = AuditLog(folder / "audit.log")

    def start(self) -> None:
        """Start everything; what was started is ended again where that fails."""
        self.server.start()
        try:
            self.server.install(crds())
            self.collector.start()
            meta = {"name": SYSTEM}
            self.server.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
            self.server.service_account(SYSTEM, "operator", RULES, cluster=True)
            self.observer.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything."""
        self.observer.stop()
        self.collector.stop()
        self.server.stop()

    def revive(self) -> None:
        """Start what has ended: an API server may give up on its etcd long after that was back."""
        while True:
            # First: while its etcd is away an API server takes half a minute to say so.
            for process in (self.server.etcd, self.server.apiserver):
                if process.pid is None:
                    process.start()
            if self.server.is_ready():
                return
            time.sleep(0.1)

    def namespace(self) -> str:
        """A new one, whose history is kept."""
        name = f"f-{secrets.token_hex(4)}"
        self.observer.track(name)
        meta = {"name": name}
        self.server.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        return name

    def token(self) -> str:
        """A fresh token of the operator's account, good for an hour."""
        return self.server.account_token(SYSTEM, "operator")

    def compact(self, revision: int) -> None:
        """Forget what the store held before a revision."""
        args = self.server.etcd.args
        url = next(a for a in args if a.startswith("--listen-client-urls=")).partition("=")[2]
        body = json.dumps({"revision": str(revision), "physical": True}).encode()
        with urllib.request.urlopen(f"{url}/v3/kv/compaction", data=body, timeout=30) as answer:
            answer.read()
