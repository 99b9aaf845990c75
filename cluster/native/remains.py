"""Ends what pods leave on a machine when their node stops: processes, mounts, cgroups, links."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cluster.layout import Layout
from cluster.processes import command_line, listens, processes
from cluster.shell import answers, output

__all__ = ["mounts_below", "pods_end", "sweep", "unmount_below"]

_CGROUPS = Path("/sys/fs/cgroup")
# Paths that cannot be configured.
_CONTAINER_LOGS = Path("/var/log/containers")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_NETWORK_RESULTS = Path("/var/lib/cni/results")
_SHIM_SOCKETS = Path("/run/containerd/s")
_GRACE = 5.0


def pods_end(layout: Layout) -> None:
    """End every process of a pod: first asked, then killed. containerd may still be there."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        _signal(_pod_processes(), number)
        if _gone(_pod_processes, patience):
            break
    # With their containers gone the shims leave by themselves, as long as containerd answers.
    if not _gone(lambda: _shims(layout), _GRACE):
        _signal(_shims(layout), signal.SIGKILL)


def sweep(layout: Layout) -> None:
    """Remove what processes cannot take along."""
    unmount_below(layout.home)
    for top in _pod_cgroups():
        # Deepest first: a cgroup with children cannot go.
        for folder, _, _ in os.walk(top, topdown=False):
            Path(folder).rmdir()
    for link in _CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(layout.home):
            link.unlink()
    (_DEVICE_PLUGINS / "kubelet.sock").unlink(missing_ok=True)
    for stale in _SHIM_SOCKETS.glob("*"):
        if not listens(str(stale)):
            stale.unlink()
    for result in _NETWORK_RESULTS.glob("interplay-*-eth0"):
        pod = result.name.removeprefix("interplay-").removesuffix("-eth0")
        (_NETWORK_RESULTS / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)
        result.unlink()
    _remove_empty(_CONTAINER_LOGS)
    for place in (_DEVICE_PLUGINS, _NETWORK_RESULTS, _SHIM_SOCKETS):
        _remove_empty(place, place.parent)


def _remove_empty(*folders: Path) -> None:
    """Folders that another program uses as well are not empty, and stay."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def unmount_below(folder: Path) -> None:
    for mount in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        if not answers(["umount", mount]):
            output(["umount", "--lazy", mount])


def mounts_below(folder: Path, mountinfo: str) -> list[Path]:
    """Mount points inside the folder, the latest first: the order in which they can go."""
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def _unescaped(text: str) -> str:
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text


def _pod_cgroups() -> list[Path]:
    """The kubelet's own top folder, in each hierarchy of version 1 or the one of version 2."""
    return [p for p in (_CGROUPS / "kubepods", *_CGROUPS.glob("*/kubepods")) if p.is_dir()]


def _pod_processes() -> set[int]:
    found: set[int] = set()
    for top in _pod_cgroups():
        for listing in top.rglob("cgroup.procs"):
            try:
                found.update(map(int, listing.read_text().split()))
            except OSError:
                continue  # the pod ended while we looked
    return found


def _shims(layout: Layout) -> set[int]:
    """Shims of this checkout: each names containerd's socket in its arguments."""
    socket = str(layout.containerd_socket)
    return {
        pid
        for pid in processes()
        if (words := command_line(pid))
        and Path(words[0]).name.startswith("containerd-shim")
        and socket in words
    }


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _gone(find: Callable[[], set[int]], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while find():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
