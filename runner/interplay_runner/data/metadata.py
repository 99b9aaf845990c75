"""What a CSV file beside the images says of each of them; whatever it says is taken for hostile."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interplay_runner.errors import DataError, one_line

__all__ = ["Metadata", "read_metadata"]

MAX_BYTES = 64 * 2**20
"""A row for each of a million images; read whole, short cells take about 20 times that."""
MAX_COLUMNS = 64
MAX_CELL = 1000
MAX_CLASS = 100_000
MAX_CLASSES = 64
"""Right classes of one sample, as in `labelSets`."""
ID, LABELS = "id", "labels"
COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Columns in the order of the ids that were asked for.

    digest: of the bytes that were read. label_sets: all right classes of each sample, possibly
    none; None where the file has no column `labels`.
    """

    name: str
    digest: str
    columns: dict[str, npt.NDArray[np.generic]]
    label_sets: list[list[int]] | None


def read_metadata(root: Path, name: str, ids: Sequence[str]) -> Metadata:
    """The rows of these ids in `<root>/<name>`: UTF-8, comma-separated, names in the first row.

    Every id must have exactly one row; rows of other images are passed over. A column whose every
    cell is a number is int64 or float64, any other is str. Raises DataError.
    """
    try:
        data = _bytes(root, name)
        header, rows = _rows(data.decode("utf-8-sig"))
        table = [_row(rows, i) for i in ids]
        cells = {c: [row[k] for row in table] for k, c in enumerate(header) if c != ID}
        sets = [_label_set(text) for text in cells.pop(LABELS)] if LABELS in cells else None
        columns = {column: _typed(column, values) for column, values in cells.items()}
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"spec.imageFolder.metadata: {_said(error)}") from error
    return Metadata(name, f"sha256:{hashlib.sha256(data).hexdigest()}", columns, sets)


def _said(error: Exception) -> str:
    """Its own words alone where the error is one of this module's."""
    return str(error) if type(error) is ValueError else one_line(error)


def _bytes(root: Path, name: str) -> bytes:
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"the link {name!r} leaves the folder")
    if not path.is_file():
        raise ValueError(f"no file {name!r} in the folder")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name!r} has more than {MAX_BYTES} bytes")
    return data


def _rows(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """The names of the columns, and every row by its id."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    _check_header(header)
    place = header.index(ID)
    rows: dict[str, list[str]] = {}
    for row in reader:
        if not row:
            continue
        line = reader.line_num
        if len(row) != len(header):
            raise ValueError(f"line {line} has {len(row)} cells, not {len(header)}")
        for cell in row:
            if len(cell) > MAX_CELL or not cell.isprintable():
                raise ValueError(f"line {line}: {cell[:40]!a} is too long or unprintable")
        if rows.setdefault(row[place], row) is not row:
            raise ValueError(f"line {line}: id {row[place][:100]!r} stands there twice")
    return header, rows


def _check_header(header: Sequence[str]) -> None:
    if len(header) > MAX_COLUMNS:
        raise ValueError(f"{len(header)} columns, more than {MAX_COLUMNS}")
    for name in header:
        if not COLUMN.fullmatch(name):
            raise ValueError(f"column {name[:70]!a} is not lower-case letters, digits and _")
    if len(set(header)) < len(header):
        raise ValueError("two columns have one name")
    if ID not in header:
        raise ValueError(f"no column {ID}")


def _row(rows: dict[str, list[str]], sample: str) -> list[str]:
    if sample not in rows:
        raise ValueError(f"no row for the image {sample!r}")
    return rows[sample]


def _label_set(text: str) -> list[int]:
    """`3 17` to [3, 17], each once; nothing to nothing."""
    words = text.split()
    if len(words) > MAX_CLASSES:
        raise ValueError(f"column {LABELS}: more than {MAX_CLASSES} classes in one cell")
    for word in words:
        if not re.fullmatch("[0-9]{1,6}", word) or int(word) >= MAX_CLASS:
            raise ValueError(f"column {LABELS}: {word[:40]!r} is no class index")
    return [*dict.fromkeys(map(int, words))]


def _typed(name: str, cells: Sequence[str]) -> npt.NDArray[np.generic]:
    """int64 or float64 [n] if every cell is a number, otherwise str [n]."""
    if all(map(INTEGER.fullmatch, cells)):
        return np.array([*map(int, cells)], dtype=np.int64)
    if not all(FLOAT.fullmatch(c) or NOT_FINITE.fullmatch(c) for c in cells):
        return np.array(cells, dtype=np.str_)
    numbers = [*map(float, cells)]
    for cell, number in zip(cells, numbers, strict=True):
        if not math.isfinite(number):
            raise ValueError(f"column {name}: {cell[:40]!r} is not a finite number")
    return np.array(numbers, dtype=np.float64)
