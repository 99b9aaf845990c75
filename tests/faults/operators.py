"""The operator as Kubernetes runs it: started again whenever it ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.apiserver.operator import OperatorProcess

__all__ = ["Supervised"]

PAGE = os.sysconf("SC_PAGE_SIZE")


class Supervised(threading.Thread):
    """One operator process and the thread that restarts it."""

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        log: Path,
        module: str = "interplay_operator",
        env: Sequence[str] = (),
        beside: Sequence[str] = (),
    ) -> None:
        super().__init__(name=f"operator {namespace}")
        self.operator = OperatorProcess(kubeconfig, namespace, log, [namespace, *beside])
        args = self.operator.process.args
        args[-1] = module
        args[1:1] = env
        self.log = log
        self.held = threading.Event()
        """While set, an operator that ended is not started again."""
        self.ready_at = 0.0
        self.starts = 0
        self.kills = 0
        self.peak = 0.0
        """Most memory seen, in MB."""
        self._quit = threading.Event()

    @property
    def ready(self) -> bool:
        """Whether it runs and said so."""
        return self.ready_at > 0 and self.operator.process.pid is not None

    @property
    def exits(self) -> int:
        """How often it ended though nobody killed it."""
        alive = self.operator.process.pid is not None
        return max(self.starts - alive - self.kills, 0)

    def run(self) -> None:
        """Start it again and again, until `finish`."""
        process = self.operator.process
        while not self._quit.is_set():
            if process.pid is None and not self.held.is_set():
                self.ready_at = 0.0
                process.stop()
                process.start()
                self.starts += 1
            if self.operator.process.pid is not None:
                self._look()
            self._quit.wait(0.05)
        process.stop()

    def _look(self) -> None:
        try:
            if not self.ready_at and self.operator.get(self.operator.probes, "readyz")[0] == 200:
                self.ready_at = time.monotonic()
            statm = Path(f"/proc/{self.operator.process.pid}/statm").read_text()
            self.peak = max(self.peak, int(statm.split()[1]) * PAGE / 1e6)
        except (AssertionError, OSError):
            # It was killed meanwhile.
            self.ready_at = 0.0

    def until_ready(self, seconds: float = 60) -> None:
        """Wait for its word."""
        deadline = time.monotonic() + seconds
        while not self.ready:
            if time.monotonic() > deadline:
                raise AssertionError(f"no operator within {seconds} s:\n{self.tail()}")
            time.sleep(0.02)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it now; from any thread."""
        self.kills += 1
        self.ready_at = 0.0
        self.operator.process.signal(number)

    def tail(self) -> str:
        """The end of its log."""
        return self.operator.process.tail(30)

    def finish(self) -> None:
        """End it for good."""
        self._quit.set()
        if self.is_alive():
            self.join()
