"""`interplay compare`: two record files of the same samples, one column, a paired test."""

from __future__ import annotations

import difflib
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interplay_runner.intervals import IntervalError
from interplay_runner.paired import Comparison, compare_paired

from .manifests import ManifestError

__all__ = ["compare_columns"]


def compare_columns(first: Path, second: Path, column: str) -> str:
    """A few lines of text; raises ManifestError where the files do not fit together."""
    ids_a, a = _read(first, column)
    ids_b, b = _read(second, column)
    if not np.array_equal(ids_a, ids_b):
        shared = len(set(ids_a.tolist()) & set(ids_b.tolist()))
        raise ManifestError(
            f"{second}: not the same samples: {shared} of {len(ids_a)} and {len(ids_b)} are shared"
        )
    try:
        found = compare_paired(a, b)
    except IntervalError as error:
        raise ManifestError(f"{column}: {error}") from None
    return _text(found, first, second, column)


def _read(path: Path, column: str) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.generic]]:
    """The ids and one column of a file that `run --output-dir` has left."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ManifestError(f"{path}: not a records file (.npz)")
    try:
        with np.load(path, allow_pickle=False) as records:
            names = list(records.files)
            found = {name: records[name] for name in ("id", column) if name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())
        raise ManifestError(f"{path}: cannot be read: {text}"[:300]) from None
    if len(found) < 2:
        near = difflib.get_close_matches(column, names, n=3, cutoff=0.3)
        hint = near or [name for name in names if name != "id"][:8]
        raise ManifestError(f"{path}: no column {column}; there are {', '.join(hint)}")
    ids, values = found["id"], found[column]
    if values.dtype.kind not in "bif" or values.shape != ids.shape:
        raise ManifestError(f"{path}: column {column} is not one number per sample")
    return ids, values


def _text(found: Comparison, first: Path, second: Path, column: str) -> str:
    lines = [
        f"{column} on the same {found.n} samples",
        f"  first   {found.first:.4f}  {first}",
        f"  second  {found.second:.4f}  {second}",
        f"  first - second  {found.difference:+.4f}  95 % [{found.low:+.4f}, {found.high:+.4f}]",
    ]
    if found.first_only is not None:
        lines.append(f"  only the first {found.first_only}, only the second {found.second_only}")
    name = {"mcnemar": "exact McNemar test", "paired-t": "paired t test"}[found.method]
    return "\n".join([*lines, f"  {name}: p = {found.p:.3g}"])
