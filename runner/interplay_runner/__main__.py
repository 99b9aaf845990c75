"""The pod's process: the frozen plan in, a result out, in the ways that need no token."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from interplay_api.catalog import problem_of
from interplay_api.constants import (
    EXIT_TERMINATED,
    MAX_PLAN_BYTES,
    MAX_TERMINATION_BYTES,
    PLAN_PATH,
    TERMINATION_LOG,
)
from interplay_api.plan import Plan
from interplay_api.report import encode_log, encode_report, encode_termination

from .errors import PlanError, RunnerError, one_line
from .logs import JsonLog
from .stop import Stop, Stopped

__all__ = ["main", "read_plan"]

EXIT_UNEXPECTED = 1


def read_plan(path: Path, expected_digest: str) -> Plan:
    """Read the plan once; anything but the one that was frozen is refused with PlanError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise PlanError(f"plan: {path}: {error.strerror}") from None
    if len(data) > MAX_PLAN_BYTES:
        raise PlanError(f"plan: over {MAX_PLAN_BYTES} bytes")
    try:
        plan = Plan.read(json.loads(data))
        found = plan.digest()
    except ValidationError as error:
        field, message = problem_of(error, "plan")
        raise PlanError(f"{field}: {message}") from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"plan: not JSON: {one_line(error)}") from None
    if found != expected_digest:
        raise PlanError(f"plan: its digest is {found}, not {expected_digest}")
    return plan


def _run(args: argparse.Namespace, env: Mapping[str, str], log: JsonLog, stop: Stop) -> bytes:
    """Everything between the plan's text and the report's bytes."""
    plan = read_plan(args.plan, args.plan_digest)
    log.event("plan", model=plan.model.name, cells=len(plan.cells), digest=args.plan_digest)
    # Loads torch, for seconds: a bad plan is refused without it, and an evicted pod ends in it.
    with stop.at_once():
        from .run import Identity, run_plan

    outputs = env.get("INTERPLAY_OUTPUTS")
    report = run_plan(
        plan,
        Path(outputs) if outputs else None,
        identity=Identity(
            modelrun_uid=env.get("INTERPLAY_MODELRUN_UID", ""),
            pod_uid=env.get("INTERPLAY_POD_UID", ""),
            attempt=int(env.get("INTERPLAY_ATTEMPT", "0")),
        ),
        log=log,
        stop=stop,
    )
    return encode_report(report)


def _terminate(env: Mapping[str, str], message: bytes) -> None:
    path = Path(env.get("INTERPLAY_TERMINATION_LOG", TERMINATION_LOG))
    try:
        # The kubelet's own file: written in place, since it is a mount that cannot be renamed.
        path.write_bytes(message[:MAX_TERMINATION_BYTES])
    except OSError as error:
        print(f"interplay: {path}: {error.strerror}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="interplay_runner", description="Measure one model.")
    parser.add_argument("--plan", type=Path, default=Path(PLAN_PATH))
    parser.add_argument("--plan-digest", required=True, help="SHA-256 that the plan must have")
    return parser


def main(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Exit codes: 0 with a report, 64-67 where a retry cannot help, 143 stopped, 1 otherwise."""
    args = _parser().parse_args(argv)
    log, stop = JsonLog(sys.stdout), Stop()
    with stop.listening():
        try:
            data = _run(args, env, log, stop)
            for line in encode_log(data):
                print(line, flush=True)
        except RunnerError as error:
            return _failed(env, log, error.exit_code, error.reason, one_line(error))
        except Stopped:
            return _failed(env, log, EXIT_TERMINATED, "Terminated", "stopped by a signal")
        except Exception as error:
            log.event("traceback", text=traceback.format_exc())
            return _failed(env, log, EXIT_UNEXPECTED, "Error", one_line(error))
        _terminate(env, encode_termination(data))
        log.event("done", bytes=len(data))
    return 0


def _failed(env: Mapping[str, str], log: JsonLog, code: int, reason: str, text: str) -> int:
    log.event("failed", code=code, reason=reason, message=text)
    # ASCII only: the kubelet may cut the message at any byte.
    line = f"interplay: {reason}: {text}\n".encode("ascii", "backslashreplace")
    _terminate(env, line)
    return code


if __name__ == "__main__":
    sys.exit(main())
