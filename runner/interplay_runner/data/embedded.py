"""Datasets that need no download: a table of them, and the digits that scikit-learn carries.

Digits: 1,797 images of 8 x 8 pixels with 17 grey levels (UCI, Alpaydin and Kaynak 1998), id
`digits-NNNN` by their place in the file. The last 297 in order are `digits-late`, most likely of
other writers: a natural shift. The first 1,500, in the order of sha256("interplay-digits:<id>"),
are 600 test, 100 validation and 800 train images. Nothing is shared between any two of the four.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from interplay_runner.errors import DataError

from .navon import NAVON_REVISION, NavonSource
from .photos import PHOTOS_REVISION, PhotosSource
from .registered import open_registered
from .shapes import SHAPES_REVISION, ShapesSource

if TYPE_CHECKING:
    from interplay_api.library import DatasetSpec

    from . import Source

__all__ = ["DIGITS_REVISION", "EMBEDDED", "DigitsSource", "Embedded", "open_embedded"]

DIGITS_REVISION = "sha256:6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
"""Of the uncompressed file: another scikit-learn must not bring other digits unnoticed."""
NUM_CLASSES = 10
SIDE = 8
LEVELS = 16
LATE = 297
SIZES = {"test": 600, "validation": 100, "train": 800}
INK = ("light", "medium", "heavy")
INK_ENDS = (295, 329)
"""Sums of the 64 grey levels up to which a digit is light, and medium: thirds of all 1,797."""


@cache
def _table() -> npt.NDArray[np.uint8]:
    """uint8 [1797, 65]: 64 grey levels in 0..16 and the label."""
    # scikit-learn is found but not imported: that alone would take longer than reading.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("spec.embedded.name: the digits need scikit-learn, which is not installed")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(f"spec.embedded.name: cannot read {path.name}: {error}") from error
    if f"sha256:{hashlib.sha256(text).hexdigest()}" != DIGITS_REVISION:
        raise DataError(f"spec.embedded.name: {path.name} is not the file that is known")
    return np.array([line.split(b",") for line in text.split()], dtype=np.uint8)


def _rows(name: str, split: str) -> list[int]:
    """The rows of the file that make one split."""
    early = len(_table()) - LATE
    if name == "digits-late":
        return list(range(early, len(_table())))
    order = sorted(
        range(early),
        key=lambda row: hashlib.sha256(f"interplay-digits:{_id(row)}".encode()).digest(),
    )
    start = 0
    for each, size in SIZES.items():
        if each == split:
            break
        start += size
    return sorted(order[start : start + SIZES[split]])


def _id(row: int) -> str:
    return f"digits-{row:04}"


class DigitsSource:
    """One split of the digits, as 8 x 8 images of mode L; column `ink` (light, medium, heavy)."""

    num_classes = NUM_CLASSES
    label_sets = None

    def __init__(self, name: str, split: str) -> None:
        rows = _rows(name, split)
        self.ids = [_id(row) for row in rows]
        self._pixels = np.rint(_table()[rows, :-1] * (255 / LEVELS)).astype(np.uint8)
        self._labels = _table()[rows, -1]
        ink = _table()[rows, :-1].sum(axis=1, dtype=np.int64)
        self.columns: Mapping[str, npt.NDArray[np.generic]] = {
            "ink": np.array(INK)[np.searchsorted(INK_ENDS, ink)]
        }

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One digit and its label."""
        return Image.fromarray(self._pixels[index].reshape(SIDE, SIDE)), int(self._labels[index])


@dataclass(frozen=True, slots=True)
class Embedded:
    """One dataset of the table: its splits, what pins its content, and how one split is opened."""

    splits: Sequence[str]
    revision: str
    open: Callable[[str], Source]


EMBEDDED: Mapping[str, Embedded] = {
    "digits": Embedded((*SIZES,), DIGITS_REVISION, partial(DigitsSource, "digits")),
    "digits-late": Embedded(("test",), DIGITS_REVISION, partial(DigitsSource, "digits-late")),
    "digits-navon": Embedded(
        ("test",), NAVON_REVISION, lambda split: NavonSource(DigitsSource("digits", split))
    ),
    "photos": Embedded(("test",), PHOTOS_REVISION, lambda _: PhotosSource()),
    "shapes": Embedded(("test",), SHAPES_REVISION, lambda _: ShapesSource()),
}


def open_embedded(spec: DatasetSpec) -> Source:
    """The dataset that `spec.embedded` names."""
    assert spec.embedded is not None
    name = spec.embedded.name
    if spec.label_map is not None:
        raise DataError("spec.labelMap: only an imageFolder has folders to map")
    if spec.label_sets is not None:
        raise DataError("spec.labelSets: only an imageFolder has folders to map")
    known = EMBEDDED.get(name)
    if known is None:
        return open_registered(spec, EMBEDDED)
    if spec.split not in known.splits:
        raise DataError(f"spec.split: {name} has no {spec.split}; it has {', '.join(known.splits)}")
    if spec.revision not in (None, known.revision):
        raise DataError(f"spec.revision: {name} is {known.revision}")
    return known.open(spec.split)
