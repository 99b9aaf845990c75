"""What goes into an image: exactly the files that its Containerfile copies, as a clean context."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from .errors import ClusterError

__all__ = ["copied", "files", "inputs_digest", "stage"]

_IGNORED = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_IGNORED_ENDS = (".pyc", ".egg-info")


def copied(containerfile: str) -> list[str]:
    """The sources of every COPY that reads the build context."""
    found: list[str] = []
    for line in containerfile.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0].upper() not in {"COPY", "ADD"}:
            continue
        flags = [word for word in words[1:] if word.startswith("--")]
        if not any(flag.startswith("--from=") for flag in flags):
            found += [word for word in words[1:-1] if word not in flags]
    return found


def files(root: Path, sources: Iterable[str]) -> list[Path]:
    """All files below the sources, relative to the root and sorted; what Python leaves is not."""
    found: set[Path] = set()
    for source in sources:
        path = root / source
        if not path.exists():
            raise ClusterError(f"images: COPY {source}: no such file in {root}")
        found.update(_below(path) if path.is_dir() else [path])
    return sorted(path.relative_to(root) for path in found if not _ignored(path.relative_to(root)))


def inputs_digest(root: Path, paths: Iterable[Path], *more: str) -> str:
    """What decides an image: names, modes and contents of its files, and what else is named."""
    state = hashlib.sha256(repr(more).encode())
    for path in paths:
        full = root / path
        content = hashlib.sha256(full.read_bytes()).hexdigest()
        executable = bool(full.stat().st_mode & 0o100)
        state.update(repr((path.as_posix(), executable, content)).encode())
    return state.hexdigest()


def stage(root: Path, paths: Iterable[Path], target: Path) -> None:
    """Lay the files out anew, so that nothing else can slip into the image."""
    for path in paths:
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, place)
        executable = bool((root / path).stat().st_mode & 0o100)
        # Modes as git knows them: the person's umask is no part of an image.
        place.chmod(0o755 if executable else 0o644)
    for folder in target.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _ignored(path: PurePath) -> bool:
    return any(part in _IGNORED or part.endswith(_IGNORED_ENDS) for part in path.parts)
