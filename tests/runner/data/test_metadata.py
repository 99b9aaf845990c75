"""Metadata of an image folder: types, label sets, and whatever hostile thing the file may say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from interplay_runner.data import metadata
from interplay_runner.data.metadata import Metadata, read_metadata
from interplay_runner.errors import DataError


def read(root: Path, text: str | bytes, *ids: str) -> Metadata:
    data = text if isinstance(text, bytes) else text.encode()
    (root / "meta.csv").write_bytes(data)
    return read_metadata(root, "meta.csv", ids or ("a", "b"))


def test_rows_come_in_the_order_asked_for_and_others_are_passed_over(tmp_path: Path) -> None:
    text = '\ufeffregion,id\r\n"South, East",b\r\nAfrica,a\r\nEurope,elsewhere\r\n\r\n'
    got = read(tmp_path, text)
    assert got.columns["region"].tolist() == ["Africa", "South, East"]
    assert got.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert got.label_sets is None


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        (["1", "-2"], np.int64, [1, -2]),
        (["1", "2.5e1"], np.float64, [1.0, 25.0]),
        ([".5", "7."], np.float64, [0.5, 7.0]),
        (["9" * 19, "1"], np.float64, [1e19, 1.0]),
        (["1", ""], np.str_, ["1", ""]),
        (["1_0", "1"], np.str_, ["1_0", "1"]),
        (["nan", "Oman"], np.str_, ["nan", "Oman"]),
        (["0x1", "1"], np.str_, ["0x1", "1"]),
    ],
)
def test_a_column_is_typed_when_every_cell_parses(
    tmp_path: Path, cells: list[str], dtype: type[np.generic], expected: list[object]
) -> None:
    column = read(tmp_path, f"id,x\na,{cells[0]}\nb,{cells[1]}\n").columns["x"]
    assert np.issubdtype(column.dtype, dtype)
    assert column.tolist() == expected


def test_labels_are_sets_and_may_be_empty(tmp_path: Path) -> None:
    got = read(tmp_path, "id,labels\na, 3  17 3\nb,\n")
    assert got.label_sets == [[3, 17], []]
    assert got.columns == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\na,1\n", "no row for the image 'b'"),
        ("id,x\na,1\nb,2\na,3\n", "line 4: id 'a' stands there twice"),
        ("id,x\na,1\nb\n", "line 3 has 1 cells, not 2"),
        ("name,x\na,1\n", "no column id"),
        ("", "no column id"),
        ("id,Income\na,1\n", "column 'Income' is not lower-case letters, digits and _"),
        ("id,x,x\na,1,1\n", "two columns have one name"),
        ("id," + ",".join(f"c{i}" for i in range(64)), "65 columns, more than 64"),
        ("id,x\na,nan\nb,1\n", "column x: 'nan' is not a finite number"),
        ("id,x\na,1e999\nb,1\n", "column x: '1e999' is not a finite number"),
        ("id,x\na,\x1b[2J\nb,1\n", r"line 2: '\x1b[2J' is too long or unprintable"),
        ('id,x\na,"1\n2"\nb,1\n', r"line 3: '1\n2' is too long or unprintable"),
        ("id,x\na," + "9" * 1001 + "\nb,1\n", "line 2: '99999"),
        ("id,labels\na,1 -2\nb,1\n", "column labels: '-2' is no class index"),
        ("id,labels\na,100000\nb,1\n", "column labels: '100000' is no class index"),
        ("id,labels\na," + "1 " * 65 + "\nb,1\n", "column labels: more than 64 classes"),
        (b"id,x\na,\xff\nb,1\n", "UnicodeDecodeError"),
        ('id,x\na,"1\n', "Error: unexpected end of data"),
    ],
)
def test_an_error_names_field_and_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"spec.imageFolder.metadata: {message}")
    assert str(caught.value).isprintable()


def test_only_a_file_of_bounded_size_inside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    with pytest.raises(DataError, match=r"metadata: no file 'meta.csv' in the folder"):
        read_metadata(root, "meta.csv", ["a"])
    (tmp_path / "secret.csv").write_text("id\na\n")
    (root / "meta.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match=r"metadata: the link 'meta.csv' leaves the folder"):
        read_metadata(root, "meta.csv", ["a"])
    (root / "meta.csv").unlink()
    monkeypatch.setattr(metadata, "MAX_BYTES", 10)
    with pytest.raises(DataError, match=r"metadata: 'meta.csv' has more than 10 bytes"):
        read(root, "id,x\na,12345\n", "a")
