"""Programs that outlive the command that started them: each by a record that cannot lie.

A record holds the pid together with the moment the kernel started it, so that a pid that was used
again is never taken for ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .layout import Layout
from .shell import log_end

__all__ = ["Daemon", "command_line", "ensure", "is_running", "listens", "processes", "stop", "wait"]

_PROC = Path("/proc")
_PATIENCE = 60.0
"""Seconds in which a program must listen."""
_GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True)
class Daemon:
    """One program: its arguments, where it listens when it works, and the files it reads."""

    name: str
    argv: tuple[str, ...]
    listens: str
    """A socket's path, or address:port."""
    files: tuple[Path, ...] = ()
    inherits: bool = False
    """Whether it sees the person's environment; the others must not meet a proxy."""

    def digest(self) -> str:
        state = hashlib.sha256("\0".join(self.argv).encode())
        for path in self.files:
            state.update(path.read_bytes())
        return state.hexdigest()


@dataclass(frozen=True)
class _Record:
    pid: int
    started: int
    digest: str


def ensure(layout: Layout, daemon: Daemon) -> bool:
    """Start it unless it runs with the same arguments and files; says whether it was started."""
    record = _read(layout, daemon.name)
    if record and _alive(record):
        if record.digest == daemon.digest():
            return False
        stop(layout, [daemon.name])
    _claim(daemon)
    pid = _spawn(layout, daemon)
    _write(layout, daemon.name, _Record(pid, _started(pid) or 0, daemon.digest()))
    return True


def wait(layout: Layout, daemon: Daemon) -> None:
    """Until it listens; if it ended instead, say so with the end of its log."""
    deadline = time.monotonic() + _PATIENCE
    while not listens(daemon.listens):
        record = _read(layout, daemon.name)
        ended = record is None or not _alive(record)
        if ended or time.monotonic() > deadline:
            how = "ended at once" if ended else f"does not listen after {_PATIENCE:.0f} s"
            log = layout.logs / f"{daemon.name}.log"
            raise ClusterError(f"{daemon.name}: {how}; {log} ends with\n{log_end(log)}")
        time.sleep(0.1)


def is_running(layout: Layout, name: str) -> bool:
    record = _read(layout, name)
    return record is not None and _alive(record)


def stop(layout: Layout, names: Iterable[str]) -> None:
    """End these together, and forget them."""
    records = {name: record for name in names if (record := _read(layout, name))}
    living = {name: record for name, record in records.items() if _alive(record)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for record in living.values():
            if _alive(record):
                os.kill(record.pid, number)
        deadline = time.monotonic() + _GRACE
        while any(map(_alive, living.values())) and time.monotonic() < deadline:
            time.sleep(0.05)
    for name in records:
        _record_path(layout, name).unlink()


def processes() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def command_line(pid: int) -> list[str]:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [os.fsdecode(word) for word in words[:-1]]


def _spawn(layout: Layout, daemon: Daemon) -> int:
    """Start it in a session of its own: it is meant to outlive us, so nobody waits for it."""
    log = layout.logs / f"{daemon.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    path = f"{layout.bin}:{os.environ.get('PATH', os.defpath)}"
    base = dict(os.environ) if daemon.inherits else {"HOME": str(layout.home)}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawnp(
            daemon.argv[0],
            daemon.argv,
            {**base, "PATH": path},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except FileNotFoundError as e:
        raise ClusterError(f"{daemon.name}: {daemon.argv[0]}: not found") from e


def _record_path(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.json"


def _read(layout: Layout, name: str) -> _Record | None:
    try:
        return _Record(**json.loads(_record_path(layout, name).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def _write(layout: Layout, name: str, record: _Record) -> None:
    layout.run.mkdir(parents=True, exist_ok=True)
    layout.run.chmod(0o700)
    _record_path(layout, name).write_text(json.dumps(vars(record)))


def _started(pid: int) -> int | None:
    """Clock ticks from boot to the process's start; None if it is gone or a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name may hold spaces and brackets; fields are counted from its end.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _alive(record: _Record) -> bool:
    return _started(record.pid) == record.started


def _address(at: str) -> tuple[str, int]:
    host, _, port = at.rpartition(":")
    return host, int(port)


def listens(at: str) -> bool:
    """Whether a program accepts connections on this socket's path, or address:port."""
    try:
        if at.startswith("/"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(at)
        else:
            socket.create_connection(_address(at), timeout=1).close()
    except OSError:
        return False
    return True


def _claim(daemon: Daemon) -> None:
    """A stale socket goes; a port in another's hands is named."""
    if daemon.listens.startswith("/"):
        Path(daemon.listens).unlink(missing_ok=True)
        return
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(_address(daemon.listens))
    except OSError as e:
        raise ClusterError(f"{daemon.name}: {daemon.listens} is in use by another process") from e
