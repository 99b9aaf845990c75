"""Published files of images whose generating factors are known; what lies there is hostile.

- `dsprites` (Matthey et al. 2017), .npz: `imgs` uint8 [n, h, w] of 0 and 1, `latents_classes`
  int64 [n, 6]. The pickled `metadata` in it is never read.
- `shapes3d` (Burgess & Kim 2018), .h5: `images` uint8 [n, h, w, 3], `labels` float64 [n, 6]. Needs
  h5py, which reads each image where it lies.
- `mpi3d` (Gondal et al. 2019), .npz: `images` uint8 [n, h, w, 3] in the order of a full grid, which
  n tells: 6x6x2x3x3x40x40 (toy, realistic, real) or 4x4x2x3x3x40x40 (complex).

Values of factors are counted from 0, in their order. The label is the shape of the object, the id
the place in the file. A deflated .npz is unpacked into the temporary folder when it is opened
(3 GB for dSprites); see npz.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from interplay_runner.errors import DataError, one_line

from .npz import open_array

if TYPE_CHECKING:
    from interplay_api.library import DatasetSpec

__all__ = ["FactorFileSource"]

Integers = npt.NDArray[np.int64]

MAX_ROWS = 2_000_000
MAX_SIDE = 1024
MAX_VALUES = 1000
"""Of one factor; the largest published one has 40."""
MAX_CHUNK = 64 << 20
"""Bytes of one piece of an HDF5 dataset, all of which are unpacked for any image in it."""
HDF5_FILTERS = frozenset((1, 2, 3))
"""deflate, shuffle, fletcher32: others may be code that is loaded from somewhere."""
MPI3D_GRIDS = {1_036_800: (6, 6, 2, 3, 3, 40, 40), 460_800: (4, 4, 2, 3, 3, 40, 40)}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Images(Protocol):
    """n images that are read one at a time, from an .npz or an HDF5 file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class Format:
    """factors: names in the file's order. label: which of them is the class."""

    factors: Sequence[str]
    label: str
    channels: int
    read: Callable[[Path], tuple[Images, Integers]]
    """The images and the value of each factor, int64 [n, factors]."""


class FactorFileSource:
    """The images of a factor file; columns `factor_<name>`, int64."""

    label_sets = None

    def __init__(self, spec: DatasetSpec, root: Path = Path("/")) -> None:
        given = spec.factor_file
        assert given is not None
        for field, value in (("labelMap", spec.label_map), ("labelSets", spec.label_sets)):
            if value is not None:
                raise DataError(f"spec.{field}: only an imageFolder has folders to map")
        folder = root / given.path.lstrip("/")
        path = _regular(folder, given.file)
        if spec.revision is not None and DIGEST.fullmatch(spec.revision):
            _check_digest(path, spec.revision)
        form = FORMATS[given.format]
        try:
            self._images, factors = form.read(path)
            _check(self._images, factors, form)
        except DataError:
            raise
        except Exception as error:  # on hostile bytes a reader may raise anything
            raise DataError(f"spec.factorFile.file: {given.file}: {one_line(error)}") from error
        self._binary = given.format == "dsprites"
        self._labels = factors[:, form.factors.index(form.label)]
        self.num_classes = int(self._labels.max()) + 1
        self.ids = [f"{given.format}-{i:07}" for i in range(len(factors))]
        self.columns: Mapping[str, npt.NDArray[np.generic]] = {
            f"factor_{name}": np.ascontiguousarray(factors[:, k])
            for k, name in enumerate(form.factors)
        }

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One image of mode L or RGB; its error names it."""
        try:
            pixels = np.asarray(self._images[index])
            if self._binary:
                if pixels.max() > 1:
                    raise ValueError("pixels of dSprites are 0 or 1")
                pixels = pixels * np.uint8(255)
            return Image.fromarray(pixels), int(self._labels[index])
        except Exception as error:
            raise DataError(f"factorFile {self.ids[index]}: {one_line(error)}") from error


def _regular(folder: Path, name: str) -> Path:
    """The file, which must lie in the folder itself."""
    path = folder / name
    if not path.is_file():
        raise DataError(f"spec.factorFile.file: no file {name} in the folder")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"spec.factorFile.file: the link {name} leaves the folder")
    return path


def _check_digest(path: Path, revision: str) -> None:
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if digest != revision:
        raise DataError(f"spec.revision: the file is {digest}")


def _check(images: Images, factors: Integers, form: Format) -> None:
    """Shapes, types and ranges; raises ValueError."""
    n, *rest = images.shape
    sides, channels = rest[:2], rest[2:]
    if images.dtype != np.uint8 or len(sides) != 2 or channels != [3][: form.channels - 1]:
        wanted = "[n, h, w]" if form.channels == 1 else "[n, h, w, 3]"
        raise ValueError(f"images are {images.dtype} {images.shape}, not uint8 {wanted}")
    if not 1 <= n <= MAX_ROWS or not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
        raise ValueError(f"images of shape {images.shape} are too many or too large")
    if factors.shape != (n, len(form.factors)):
        raise ValueError(f"factors of shape {factors.shape}, not {(n, len(form.factors))}")
    if factors.min() < 0 or factors.max() >= MAX_VALUES:
        raise ValueError(f"values of factors are not in [0, {MAX_VALUES})")


def _tabular(shape: Sequence[int]) -> bool:
    """Whether a table of 6 factors can be read as a whole."""
    return len(shape) == 2 and shape[0] <= MAX_ROWS and shape[1] == 6


def _dsprites(path: Path) -> tuple[Images, Integers]:
    classes = open_array(path, "latents_classes")
    if classes.dtype.kind not in "iu" or not _tabular(classes.shape):
        raise ValueError(f"latents_classes are {classes.dtype} {classes.shape}, not int64 [n, 6]")
    return open_array(path, "imgs"), classes.whole().astype(np.int64)


def _mpi3d(path: Path) -> tuple[Images, Integers]:
    images = open_array(path, "images")
    grid = MPI3D_GRIDS.get(len(images))
    if grid is None:
        known = " or ".join(f"{n:,}" for n in MPI3D_GRIDS)
        raise ValueError(f"{len(images):,} images, not the {known} of a full grid")
    table = np.stack(np.unravel_index(np.arange(len(images)), grid), axis=1)
    return images, table.astype(np.int64)


def _shapes3d(path: Path) -> tuple[Images, Integers]:
    try:
        import h5py
    except ImportError as error:
        raise DataError("spec.factorFile.format: shapes3d needs h5py, not installed") from error
    file = h5py.File(path, "r")
    images, labels = (_hdf5(file, name) for name in ("images", "labels"))
    if labels.dtype.kind != "f" or not _tabular(labels.shape):
        raise ValueError(f"labels are {labels.dtype} {labels.shape}, not float64 [n, 6]")
    values = labels[()]
    if not np.isfinite(values).all():
        raise ValueError("labels are not finite")
    columns = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return images, np.stack(columns, axis=1).astype(np.int64)


def _hdf5(file: Any, name: str) -> Any:
    """A dataset whose bytes all lie in this file, packed in a way that needs no plug-in."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is not in the file itself")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise ValueError(f"{name} is no plain dataset of the file")
    layout = found.id.get_create_plist()
    filters = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if not filters <= HDF5_FILTERS:
        raise ValueError(f"{name} is packed by filters {sorted(filters - HDF5_FILTERS)}")
    if found.chunks and np.prod(found.chunks, dtype=float) * found.dtype.itemsize > MAX_CHUNK:
        raise ValueError(f"{name} comes in pieces of {found.chunks}, more than can be unpacked")
    return found


FORMATS: Mapping[str, Format] = {
    "dsprites": Format(("color", "shape", "scale", "orientation", "x", "y"), "shape", 1, _dsprites),
    "shapes3d": Format(
        ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
        "shape",
        3,
        _shapes3d,
    ),
    "mpi3d": Format(
        (
            "object_color",
            "object_shape",
            "object_size",
            "camera_height",
            "background_color",
            "horizontal_axis",
            "vertical_axis",
        ),
        "object_shape",
        3,
        _mpi3d,
    ),
}
