"""One plain array of an .npz file without having it in memory, and without trusting the file.

An array that is stored uncompressed is read where it lies. A deflated one is unpacked once into a
nameless temporary file (TMPDIR): random access to a deflate stream would unpack it again for every
image. Rows are read, not mapped: a file that shrinks meanwhile is an error, not a fatal signal.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
import tempfile
import warnings
import weakref
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

__all__ = ["StoredArray", "open_array"]

Array = npt.NDArray[np.generic]
Shape = tuple[int, ...]

MAX_BYTES = 16 << 30
"""Of one array; the largest published one, MPI3D, has 12.7 GB."""
PIECE = 1 << 20
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name, length of the extra field."""


class StoredArray:
    """Rows of an array in a file; safe to read from several threads."""

    def __init__(self, file: IO[bytes], offset: int, dtype: np.dtype[np.generic], shape: Shape):
        """file: may be closed afterwards; offset: where its first row begins."""
        self.dtype, self.shape, self._offset = dtype, shape, offset
        self._row = math.prod(shape[1:]) * dtype.itemsize
        self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Array:
        """One row."""
        row: Array = self._read(range(index, index + 1))[0]
        return row

    def whole(self) -> Array:
        """All rows."""
        return self._read(range(len(self)))

    def _read(self, rows: range) -> Array:
        size, place = len(rows) * self._row, self._offset + rows.start * self._row
        data = os.pread(self._file, size, place)
        if len(data) != size:
            raise EOFError("the file ends too early")
        return np.frombuffer(data, self.dtype).reshape(len(rows), *self.shape[1:])


def open_array(path: Path, name: str) -> StoredArray:
    """The array `name` of an .npz. Raises some exception on any broken file."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as stream:
            shape, dtype = _header(stream)
            start, size = stream.tell(), math.prod(shape) * dtype.itemsize
            if size > MAX_BYTES:
                raise ValueError(f"{size:,} bytes are more than the {MAX_BYTES:,} that are allowed")
            if member.file_size != start + size:
                raise ValueError(f"{member.file_size} bytes, not the {start + size} of {shape}")
            if member.compress_type == zipfile.ZIP_DEFLATED:
                with tempfile.TemporaryFile() as file:
                    _unpack(stream, size, file)
                    return StoredArray(file, 0, dtype, shape)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is neither stored nor deflated")
        with path.open("rb") as file:
            return StoredArray(file, _place(file, member) + start, dtype, shape)


def _header(stream: IO[bytes]) -> tuple[Shape, np.dtype[np.generic]]:
    """Shape and type; what could run code or is no plain C array of numbers is refused."""
    version = npy.read_magic(stream)
    if version != (1, 0):
        # Others allow headers of 4 GB, which only structured arrays could need.
        raise ValueError(f"npy format {version[0]}.{version[1]}, not 1.0")
    with warnings.catch_warnings():
        # dSprites was written by Python 2, whose header takes one more step to parse.
        warnings.simplefilter("ignore", UserWarning)
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    if fortran or dtype.kind not in "biuf" or min(shape, default=0) < 1:
        raise ValueError(f"an array {dtype} {shape} is no plain array of numbers")
    return shape, dtype


def _unpack(stream: IO[bytes], size: int, file: IO[bytes]) -> None:
    """The rest of a stream, which must be `size` bytes to the last one."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free:
        raise ValueError(
            f"unpacked it has {size:,} bytes, but {free:,} are free in the temporary folder; "
            "stored uncompressed (numpy.savez) it needs none"
        )
    left = size
    while left:
        piece = stream.read(min(left, PIECE))
        if not piece:
            raise EOFError("it ends too early")
        left -= len(piece)
        file.write(piece)
    if stream.read(1):  # also what makes zipfile compare the checksum
        raise ValueError("it goes on after its end")
    file.flush()


def _place(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin."""
    file.seek(member.header_offset)
    signature, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise ValueError("its local header is broken")
    return int(member.header_offset + LOCAL_HEADER.size + name + extra)
