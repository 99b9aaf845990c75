"""Cuts constraints.txt down to what each image needs, so that no image installs the whole of it.

`python images/requirements.py` writes images/*/requirements.txt; with `--check` it names what is
stale instead. The dependency graph is that of the virtual environment it runs in, which holds
exactly constraints.txt: so this asks no index, and pins and hashes are those of the tests.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["closure", "main", "pins", "render"]

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Written by images/requirements.py from constraints.txt; do not edit.\n"


def pins(constraints: str) -> dict[str, str]:
    """Each distribution of a constraints file with its lines: the pin and its hashes."""
    blocks = re.findall(r"^\S+==.*(?:\n[ \t]+.*)*", constraints, re.M)
    return {canonicalize_name(block.partition("==")[0]): block for block in blocks}


def closure(roots: Iterable[str]) -> set[str]:
    """Names of all distributions that the requirements lead to, themselves included."""
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needs = [Requirement(line) for line in requires(name) or []]
            todo += [n for n in needs if not n.marker or n.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def render(roots: Iterable[str], pinned: dict[str, str]) -> str:
    """A requirements file with hashes for the closure of the roots."""
    names = sorted(closure(roots))
    for name in names:
        if pinned[name].split()[0] != f"{name}=={version(name)}":
            raise SystemExit(f"{name} {version(name)} is installed, not what constraints.txt says")
    return HEADER + "".join(f"{pinned[name]}\n" for name in names)


def _files() -> Iterator[tuple[Path, str]]:
    """Each requirements file and what it should hold."""
    pinned = pins((ROOT / "constraints.txt").read_text())
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    for image in ("operator", "runner"):
        roots = project["dependencies"] + project["optional-dependencies"][image]
        yield ROOT / "images" / image / "requirements.txt", render(roots, pinned)
    yield ROOT / "images" / "build.txt", render(settings["build-system"]["requires"], pinned)


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` name those that differ."""
    stale = [(p, t) for p, t in _files() if not p.is_file() or p.read_text() != t]
    for path, text in stale:
        if arguments != ["--check"]:
            path.write_text(text)
        else:
            print(f"{path.relative_to(ROOT)} is stale: run `make lock`", file=sys.stderr)
    return int(bool(stale) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
