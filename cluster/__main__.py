"""`python3 -m cluster COMMAND`: a Kubernetes for the demo and the tests, and its images."""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import binaries, choose, gpus, images
from .console import say
from .errors import ClusterError, UnavailableError
from .layout import Layout, checkout

__all__ = ["main"]

_UNAVAILABLE = 3
"""The exit code that says: go on without a cluster."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    layout = checkout()
    try:
        return _run(layout, options)
    except UnavailableError as e:
        say(str(e))
        return _UNAVAILABLE
    except ClusterError as e:
        say(str(e))
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, or see that it runs; exit 3 if none can be had")
    commands.add_parser("down", help="end it and leave nothing running, mounted or linked")
    commands.add_parser("status", help="one line per component")
    commands.add_parser("images", help="build and push the images; prints name=reference")
    build = commands.add_parser("binaries", help="build programs into .cluster/bin")
    build.add_argument("name", nargs="*", help="default: all")
    fake = commands.add_parser("fake-gpus", help="let the nodes announce GPUs that are not there")
    fake.add_argument("count", type=int, choices=range(65), metavar="N")
    return parser


def _run(layout: Layout, options: argparse.Namespace) -> int:
    match options.command:
        case "binaries":
            binaries.provide(layout, options.name)
        case "up":
            with _alone(layout):
                _up(layout)
        case "down":
            with _alone(layout):
                _down(layout)
        case "status":
            return _status(layout)
        case "images":
            with _alone(layout):
                _images(layout)
        case "fake-gpus":
            choose.provider(layout)
            gpus.announce(layout, options.count)
    return 0


def _up(layout: Layout) -> None:
    begun = time.monotonic()
    name = choose.chosen()
    _leave_other(layout, name)
    layout.provider.write_text(f"{name}\n")
    choose.PROVIDERS[name].up(layout)
    say(f"cluster up ({name}, {time.monotonic() - begun:.0f} s): {layout.kubeconfig}")


def _leave_other(layout: Layout, name: str) -> None:
    """Where Docker came or went since the last `up`, the old cluster must not stay unseen."""
    try:
        before = choose.provider(layout)
    except ClusterError:
        return
    if before != name:
        say(f"ending the {before} cluster: this one is {name}")
        choose.PROVIDERS[before].down(layout)


def _down(layout: Layout) -> None:
    try:
        name = choose.provider(layout)
    except ClusterError:
        say("no cluster")
        return
    choose.PROVIDERS[name].down(layout)
    layout.provider.unlink()
    say("cluster down")


def _status(layout: Layout) -> int:
    components = choose.PROVIDERS[choose.provider(layout)].status(layout)
    for name, running in components:
        print(f"{name:<28}{'running' if running else 'not running'}")
    return 0 if all(running for _, running in components) else 1


def _images(layout: Layout) -> None:
    registry = choose.PROVIDERS[choose.provider(layout)].registry(layout)
    for name, reference in images.provide(layout, registry).items():
        print(f"{name}={reference}")


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """One command at a time changes a checkout's cluster."""
    layout.home.mkdir(exist_ok=True)
    with (layout.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `python3 -m cluster` in this folder")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
