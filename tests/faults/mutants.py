"""Ten deliberately broken operators: a suite that lets one of them pass proves nothing.

Each is the real operator with one small change. It is caught where the campaigns that should notice
find a broken promise; an operator that does not even start proves nothing either.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTANTS", "Mutant", "catch", "planted"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "operator" / "interplay_operator"
PATIENCE = 900


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to be wrong."""

    name: str
    changes: Sequence[tuple[str, str, str]]
    """File, what stands there, and what stands there instead."""
    campaigns: Sequence[str]
    """`<id>` or `<id>:<round>`, in the order in which they are tried."""


MUTANTS = (
    Mutant(
        "random Job names",
        [
            (
                "jobs.py",
                '"name": job_name(request.name, request.attempt),',
                '"name": f"{request.name}-{__import__(\'secrets\').token_hex(2)}",',
            )
        ],
        ["F05:0", "F01:1"],
    ),
    Mutant(
        "no generation check",
        [
            (
                "records.py",
                "return bool(self.plan) and self.spec_digest == self.wanted",
                "return bool(self.plan)",
            )
        ],
        ["F04:0"],
    ),
    Mutant(
        "status without resourceVersion",
        [
            (
                "client.py",
                '"uid": uid, "resourceVersion": str(version)}',
                '"uid": uid, "resourceVersion": (await self.get(resource, namespace, name))'
                '["metadata"]["resourceVersion"]}',
            )
        ],
        ["F02:0", "F02:1", "F02:2", "F12:0"],
    ),
    Mutant(
        "swallowed 409",
        [
            (
                "client.py",
                "        if response.status > 299:\n            raise _error",
                "        if response.status == 409 and method == 'PUT':\n"
                "            return data or b''\n"
                "        if response.status > 299:\n            raise _error",
            )
        ],
        ["F04:0", "F04:1"],
    ),
    Mutant(
        "forgets after restart",
        [
            (
                "watching.py",
                "        records += project_all(store, page.items)",
                "        records += project_all(store, [{**i, 'status': {}} if "
                "resource.kind == 'ModelRun' else i for i in page.items])",
            )
        ],
        ["F01:0", "F01:1"],
    ),
    Mutant(
        "no start deadline",
        [
            (
                "decide.py",
                "        wake = after(status.stuck_since, view.policy.start_deadline_seconds)\n"
                "        if wake and view.now >= wake:",
                "        wake = after(status.stuck_since, view.policy.start_deadline_seconds)\n"
                "        if wake and view.now >= wake and not view.now:",
            )
        ],
        ["F22:0"],
    ),
    Mutant(
        "leaked finalizer",
        [
            (
                "plan.py",
                '            "namespace": evaluation.namespace,\n            "labels"',
                '            "namespace": evaluation.namespace,\n'
                '            "finalizers": ["interplay.dev/results"],\n            "labels"',
            )
        ],
        ["F04:0"],
    ),
    Mutant(
        "watch without replace",
        [
            (
                "watching.py",
                "    store.replace(records, version, namespace)",
                "    for record in records:\n        store.apply(record)",
            )
        ],
        ["F17:0", "F17:1"],
    ),
    Mutant(
        "result accepted from another uid",
        [("results.py", "    _check_sender(expected, report)\n", "")],
        ["F14:0", "F14:1"],
    ),
    Mutant(
        "attempt not written before create",
        [
            (
                "reconcile_modelrun.py",
                "        if step.status is not None:\n            await",
                "        if step.create:\n"
                "            await self._create_job(\n"
                "                replace(view, status=step.status or view.status)\n"
                "            )\n"
                "            step = replace(step, create=False)\n"
                "        if step.status is not None:\n            await",
            )
        ],
        ["F01:0", "F01:1", "F02:0"],
    ),
)


def planted(mutant: Mutant, folder: Path) -> Path:
    """A copy of the operator with the change, to be put before the real one on the path."""
    copy = folder / "interplay_operator"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, after in mutant.changes:
        path = copy / file
        text = path.read_text()
        if text.count(before) != 1:
            raise AssertionError(f"{mutant.name}: {file} holds {text.count(before)} of {before!r}")
        path.write_text(text.replace(before, after))
    return folder


def catch(mutant: Mutant, seed: int) -> list[str]:
    """What the campaigns found broken; empty where the mutant passed for an operator."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = planted(mutant, Path(name))
        for number, where in enumerate(mutant.campaigns):
            found = _run(where, folder, seed, Path(name) / f"{number}.jsonl")
            if found:
                return found
    return []


def _run(where: str, folder: Path, seed: int, out: Path) -> list[str]:
    campaign, _, number = where.partition(":")
    command = [sys.executable, "-m", "tests.faults", "--campaign", campaign, "--out", str(out)]
    command += ["--fast", "--seed", str(seed), *(["--round", number] if number else [])]
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if not out.exists():
        raise RuntimeError(f"{where} did not end:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    faults = [json.loads(line) for line in out.read_text().splitlines()]
    broken = [v for f in faults if f["type"] == "fault" for v in f["violations"]]
    return [f"{campaign}: {v}" for v in broken]
