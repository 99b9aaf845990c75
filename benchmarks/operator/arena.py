"""Where a measurement takes place: etcd, kube-apiserver, one namespace, one operator at a time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from interplay_operator.rbac import RULES
from tests.apiserver.operator import Hand, OperatorProcess
from tests.apiserver.processes import Process
from tests.apiserver.server import ROOT, ApiServer, crds

from .audit import READS, WRITES, Call, calls_of
from .http import API, Api

__all__ = ["MEASUREMENTS", "NAMESPACE", "Arena"]

SYSTEM = "interplay-system"
NAMESPACE = "load"
MEASUREMENTS = tuple(f"bench{i}" for i in range(5))
KINDS = (f"{API}/namespaces/{{}}/evaluations", f"{API}/namespaces/{{}}/modelruns")
WORKLOADS = ("/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods")
EVENTS = "/api/v1/namespaces/{}/events"
FIRST_LISTS_SECONDS = 2.0
COLLECTIONS = (*KINDS, *WORKLOADS, EVENTS)


class Arena(ApiServer):
    """An API server whose audit log has everybody's writes, and the operators' reads too."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self.fsync = fsync
        super().__init__(folder)
        self._count = 0

    def _etcd_args(self, client_port: int, peer_port: int) -> list[str | Path]:
        args = super()._etcd_args(client_port, peer_port)
        kept = [a for a in args if not (self.fsync and a == "--unsafe-no-fsync")]
        return [*kept, f"--quota-backend-bytes={8 << 30}"]

    def _apiserver_args(self, port: int, etcd_port: int) -> list[str | Path]:
        args = super()._apiserver_args(port, etcd_port)
        kept = [a for a in args if not str(a).startswith("--audit-policy-file")]
        return [*kept, f"--audit-policy-file={self._policy}", "--audit-log-maxsize=4000"]

    @property
    def _policy(self) -> Path:
        return self.folder / "audit-policy-bench.json"

    def start(self) -> None:
        """Start it with our kinds, the library of the load and the accounts."""
        operators = [self.account("operator"), self.account("naive")]
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [
                {"level": "None", "users": ["system:apiserver"]},
                {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
                {"level": "Metadata", "users": operators, "verbs": [*WRITES, *READS]},
                {"level": "Metadata", "verbs": WRITES},
            ],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._policy.write_text(json.dumps(policy))
        super().start()
        self.install(crds())
        for name in (SYSTEM, NAMESPACE):
            self.namespace(name)
        everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        self.operator_config = self.service_account(SYSTEM, "operator", RULES, cluster=True)
        self.naive_config = self.service_account(SYSTEM, "naive", everything, cluster=True)
        self.player_config = self.service_account(SYSTEM, "player", everything, cluster=True)
        self.bare_config = self.service_account(SYSTEM, "bare", everything, cluster=True)

    @staticmethod
    def account(name: str) -> str:
        """The user that an account of ours is."""
        return f"system:serviceaccount:{SYSTEM}:{name}"

    def namespace(self, name: str) -> None:
        """A namespace with the library of the load."""
        meta = {"name": name}
        self.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        hand = Hand(self.admin, name)
        for measurement in MEASUREMENTS:
            hand.measurement(measurement)

    def _log(self, name: str) -> Path:
        self._count += 1
        return self.folder / f"{name}-{self._count}.log"

    @contextmanager
    def operator(self) -> Iterator[OperatorProcess]:
        """The operator, ready."""
        log = self._log("operator")
        process = OperatorProcess(self.operator_config, SYSTEM, log)
        process.start()
        try:
            yield process
        finally:
            process.stop()
        if "Traceback" in log.read_text():
            raise RuntimeError(f"the operator's log has a traceback: {log}")

    @contextmanager
    def child(self, module: str, *args: object) -> Iterator[Process]:
        """One of our own modules as a process; it says `ready` in its log."""
        log = self._log(module)
        words = [str(a) for a in args]
        # PYTHONPATH: so that it also starts from another folder.
        start = ["/usr/bin/env", f"PYTHONPATH={ROOT}", sys.executable, "-m"]
        process = Process([*start, f"benchmarks.operator.{module}", *words], log)
        process.start()
        try:
            deadline = time.monotonic() + 60
            while "ready" not in log.read_text():
                if process.pid is None or time.monotonic() > deadline:
                    raise RuntimeError(f"{module} did not start:\n{process.tail()}")
                time.sleep(0.05)
            yield process
            if process.pid is None:
                raise RuntimeError(f"{module} ended:\n{process.tail()}")
        finally:
            process.stop()

    @contextmanager
    def serving(self, naive: bool) -> Iterator[Process]:
        """Ours or the naive one, with its first lists behind it."""
        if naive:
            with self.child("naive", self.naive_config) as process:
                time.sleep(FIRST_LISTS_SECONDS)
                yield process
        else:
            with self.operator() as operator:
                time.sleep(FIRST_LISTS_SECONDS)
                yield operator.process

    def player(self, *args: object) -> AbstractContextManager[Process]:
        """Who plays Job controller and kubelet."""
        return self.child("player", self.player_config, *args)

    def mark(self) -> int:
        """A place in the audit log."""
        return (self.folder / "audit.log").stat().st_size

    def calls(self, mark: int = 0, *, user: str = "") -> list[Call]:
        """Requests that ended since the mark, by the order of their ends."""
        found = calls_of(self.folder / "audit.log", mark)
        return [c for c in found if user in ("", c.user)]

    async def wipe(self, namespaces: Sequence[str] = (NAMESPACE,)) -> None:
        """Delete what a measurement left; nobody else is there to collect garbage."""
        async with Api(self.kubeconfig) as api:
            for path in COLLECTIONS:
                for name in namespaces:
                    query = {"propagationPolicy": "Background", "gracePeriodSeconds": "0"}
                    await api.call("DELETE", path.format(name), None, **query)
            left = [await api.listed(p.format(n)) for p in COLLECTIONS for n in namespaces]
        if any(left):
            raise RuntimeError(f"{sum(map(len, left))} objects were not deleted")
