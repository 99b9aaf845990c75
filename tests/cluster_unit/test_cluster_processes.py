"""Programs are started once, replaced when their arguments change, and only ours are ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.layout import Layout
from cluster.processes import Daemon, command_line, ensure, is_running, listens, stop, wait

LISTEN = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as s:
    s.bind(sys.argv[1]); s.listen(); time.sleep(60)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path)
    yield layout
    stop(layout, ["listener"])


def _listener(layout: Layout, *more: str) -> Daemon:
    path = str(layout.home / "s")
    layout.home.mkdir(exist_ok=True)
    return Daemon("listener", (sys.executable, "-S", "-c", LISTEN, path, *more), listens=path)


def _pid(layout: Layout) -> int:
    return int(json.loads((layout.run / "listener.json").read_text())["pid"])


def test_started_once_replaced_when_changed_and_gone_when_stopped(layout: Layout) -> None:
    daemon = _listener(layout)
    assert ensure(layout, daemon)
    wait(layout, daemon)
    first = _pid(layout)
    assert not ensure(layout, daemon)
    assert _pid(layout) == first

    changed = _listener(layout, "--more")
    assert ensure(layout, changed)
    wait(layout, changed)
    assert _pid(layout) != first
    assert "--more" in command_line(_pid(layout))

    stop(layout, ["listener"])
    assert not is_running(layout, "listener")
    assert not listens(changed.listens)


def test_a_pid_that_was_used_again_is_not_ours(layout: Layout) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        layout.run.mkdir(parents=True)
        record = {"pid": other.pid, "started": 1, "digest": ""}
        (layout.run / "listener.json").write_text(json.dumps(record))
        assert not is_running(layout, "listener")
        stop(layout, ["listener"])
        assert other.poll() is None
        other.communicate(b"\n")


def test_what_ends_at_once_is_said_with_its_last_words(layout: Layout) -> None:
    program = (sys.executable, "-S", "-c", "raise SystemExit('no such flag')")
    daemon = Daemon("listener", program, listens=str(layout.home / "s"))
    ensure(layout, daemon)
    with pytest.raises(ClusterError, match=r"(?s)^listener: ended at once.*no such flag$"):
        wait(layout, daemon)
