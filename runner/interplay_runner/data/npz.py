"""One plain array of an .npz file without having it in memory, and without trusting the file.

An array that is stored uncompressed is mapped where it lies. A deflated one is unpacked once into a
nameless temporary file (TMPDIR) and mapped there: random access to a deflate stream would unpack it
again for every image.
"""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

__all__ = ["map_array"]

Array = npt.NDArray[np.generic]
Shape = tuple[int, ...]

MAX_BYTES = 16 << 30
"""Of one array; the largest published one, MPI3D, has 12.7 GB."""
PIECE = 1 << 20
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name, length of the extra field."""


def map_array(path: Path, name: str) -> Array:
    """The array `name` of an .npz, read-only. Raises some exception on any broken file."""
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
                return _unpacked(stream, shape, dtype, size)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is neither stored nor deflated")
        offset = _place(path, member) + start
        return np.memmap(path, dtype, "r", offset, shape)


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
    if fortran or dtype.kind not in "biuf" or min(shape, default=1) < 1:
        raise ValueError(f"an array {dtype} {shape} is no plain array of numbers")
    return shape, dtype


def _unpacked(stream: IO[bytes], shape: Shape, dtype: np.dtype[np.generic], size: int) -> Array:
    """The rest of a stream, which must be `size` bytes to the last one."""
    with tempfile.TemporaryFile() as file:
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
        return np.memmap(file, dtype, "r", 0, shape)


def _place(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        signature, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise ValueError("its local header is broken")
    return int(member.header_offset + LOCAL_HEADER.size + name + extra)
