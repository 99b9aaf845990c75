"""Child processes that cannot outlive the test run, however it ends."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["Process", "free_ports"]

_PARENT = ThreadPoolExecutor(1, thread_name_prefix="parent of all processes")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on, all different.

    They lie below those that the kernel gives to outgoing connections: one of these could take a
    port while its server is being started again.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports


class Process:
    """One program with its log; it can be started again with the same arguments.

    The kernel kills it when the thread that started it ends (`setpriv --pdeathsig`), so also
    a killed test run leaves nothing. That thread is one for all, and lives as long as the run:
    whoever starts a program, from whatever thread, may go before it.
    """

    def __init__(self, args: Sequence[str | Path], log: Path) -> None:
        self.args = [str(a) for a in args]
        self.name = Path(self.args[0]).name
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, or None while it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else None

    @property
    def code(self) -> int | None:
        """Its exit status once it has ended by itself; negative is a signal's number."""
        return self._child.poll() if self._child else None

    def start(self) -> None:
        """Start it; the log goes on where it was."""
        guard = shutil.which("setpriv")
        prefix = [guard, "--pdeathsig", "KILL", "--"] if guard else []
        with self.log.open("ab") as log:
            self._child = _PARENT.submit(
                subprocess.Popen,
                [*prefix, *self.args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops this
            ).result()
        if guard:
            self._until_guarded(guard)

    def _until_guarded(self, guard: str) -> None:
        """Until then the guard is still to ask the kernel, and a kill of ours would miss it."""
        assert self._child
        running = Path(f"/proc/{self._child.pid}/cmdline")
        while self._child.poll() is None:
            program = running.read_bytes().partition(b"\0")[0].decode()
            if program not in (guard, ""):  # empty in the middle of an exec
                return
            time.sleep(0.001)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP and SIGCONT make a stall, SIGKILL a crash."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(number)

    def stop(self, grace: float = 10) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it is gone. Harmless twice."""
        if self._child is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
