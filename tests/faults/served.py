"""An operator that serves namespaces of a world, and what tells that it is well."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.apiserver.operator import Hand, OperatorProcess
from tests.faults.world import SYSTEM, World

__all__ = ["Served"]


class Served:
    """Use it as a context manager; `problems` then tells how the operator fared."""

    def __init__(self, world: World, namespaces: int = 1) -> None:
        self.world = world
        self.namespaces = [world.namespace() for _ in range(namespaces)]
        self.folder = world.folder / self.namespaces[0]
        self.folder.mkdir()
        own = self.folder / "kubeconfig"
        own.write_text(world.server.kubeconfig_text(world.token()))
        self.log = self.folder / "operator.log"
        self.operator = OperatorProcess(own, SYSTEM, self.log, self.namespaces)
        self.hands = [Hand(world.server.admin, n) for n in self.namespaces]
        self.pid: int | None = None

    @property
    def hand(self) -> Hand:
        """Of the first namespace."""
        return self.hands[0]

    def __enter__(self) -> Self:
        try:
            self.operator.start()
        except BaseException:
            self.operator.stop()
            raise
        self.pid = self.operator.process.pid
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.operator.stop()
        for namespace in self.namespaces:
            self.world.observer.forget(namespace)

    def families(self) -> dict[str, Metric]:
        """/metrics as Prometheus reads it, by name."""
        return {m.name: m for m in text_string_to_metric_families(self.operator.metrics())}

    def problems(self) -> list[str]:
        """What no input may cause: an end, an error that nobody foresaw, a key that waits."""
        if self.operator.process.pid != self.pid:
            return [f"the operator ended: {self.operator.process.tail(5)}"]
        found = []
        families = self.families()
        failed = [
            s for s in families["interplay_reconciles"].samples
            if s.labels.get("outcome") == "error" and s.name.endswith("_total") and s.value
        ]  # fmt: skip
        found += [f"{s.value:.0f} reconciles of {s.labels['kind']} raised" for s in failed]
        said = self.log.read_text(errors="replace")
        found += [f"in its log: {word}" for word in ("Traceback", "cannot be read") if word in said]
        status, text = self.operator.get(self.operator.probes, "healthz")
        if status != 200:
            found.append(f"/healthz says {status} {text}")
        if not self.settles(self._is_idle):
            found.append("its queue does not become empty")
        return found

    def _is_idle(self) -> bool:
        return self.families()["interplay_queue_length"].samples[0].value == 0

    def settles(self, look: Callable[[], bool], seconds: float = 30) -> bool:
        """Whether something becomes true."""
        deadline = time.monotonic() + seconds
        while not look():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True
