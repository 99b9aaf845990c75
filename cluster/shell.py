"""Runs commands to their end; a failure becomes one line plus the end of what was printed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ClusterError

__all__ = ["answers", "log_end", "output", "run"]

_SHOWN = 12
"""Lines of a failed command's output that a person gets to see."""


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def output(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """The standard output of a short command."""
    command = [str(a) for a in argv]
    try:
        done = subprocess.run(
            command,
            env=_environment(env),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as e:
        raise ClusterError(f"{command[0]}: not found") from e
    except subprocess.TimeoutExpired as e:
        raise ClusterError(f"{_title(command)}: no answer in {timeout:.0f} s") from e
    if done.returncode != 0:
        raise ClusterError(_failure(command, done.returncode, done.stderr or done.stdout))
    return done.stdout


def answers(argv: Sequence[str | Path], *, timeout: float = 20.0) -> bool:
    """Whether the command is there and succeeds."""
    try:
        output(argv, timeout=timeout)
    except ClusterError:
        return False
    return True


def run(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command, its output in `log`."""
    command = [str(a) for a in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        try:
            code = subprocess.run(
                command,
                env=_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                check=False,
            ).returncode
        except FileNotFoundError as e:
            raise ClusterError(f"{command[0]}: not found") from e
    if code != 0:
        raise ClusterError(f"{_failure(command, code, log_end(log))}\n(all of it: {log})")


def log_end(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_SHOWN:])


def _title(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:3]])


def _failure(command: Sequence[str], code: int, text: str) -> str:
    end = "\n".join(text.strip().splitlines()[-_SHOWN:])
    return f"{_title(command)}: exit {code}" + (f"\n{end}" if end else "")
