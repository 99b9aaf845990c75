"""Natural images without a download: patches of the two photographs that scikit-learn carries.

china.jpg and flower.jpg, 640 x 427 pixels each. Of both, 15 x 10 places on a grid of 42 pixels
give a patch of 32 x 32; no two overlap, and like the fields of a chessboard every other one is
grey. For a model of digits they are far out of distribution. The label is the photograph.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from interplay_runner.errors import DataError

__all__ = ["PHOTOS_REVISION", "PhotosSource"]

PHOTOS_REVISION = "sha256:c1ef34f251839d4aea0f512ef005eeba01e9109bce8f7f4b7c4da6e3f45c54e5"
"""Of both files, one after the other; decoders may differ by a grey level."""
PHOTOS = ("china", "flower")
SIDE, STEP = 32, 42
COLUMNS, ROWS = 15, 10
PLACES = [(x, y) for y in range(ROWS) for x in range(COLUMNS)]


@cache
def _photos() -> tuple[Image.Image, ...]:
    """Both photographs, RGB."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("spec.embedded.name: photos needs scikit-learn, which is not installed")
    folder = Path(package.origin).parent / "datasets" / "images"
    try:
        files = [(folder / f"{name}.jpg").read_bytes() for name in PHOTOS]
    except OSError as error:
        raise DataError(f"spec.embedded.name: cannot read the photos: {error}") from error
    if f"sha256:{hashlib.sha256(b''.join(files)).hexdigest()}" != PHOTOS_REVISION:
        raise DataError("spec.embedded.name: the photos are not the files that are known")
    return tuple(Image.open(io.BytesIO(data)).convert("RGB") for data in files)


class PhotosSource:
    """The patches, mode RGB or L; columns `photo` (china, flower) and `colour` (rgb, grey)."""

    num_classes = len(PHOTOS)
    label_sets = None

    def __init__(self) -> None:
        self._photos = _photos()
        self._samples = [(label, x, y) for label in range(len(PHOTOS)) for x, y in PLACES]
        self.ids = [f"{PHOTOS[label]}-{x:02}-{y:02}" for label, x, y in self._samples]
        self.columns: Mapping[str, npt.NDArray[np.generic]] = {
            "photo": np.array([PHOTOS[label] for label, _, _ in self._samples]),
            "colour": np.array([_colour(x, y) for _, x, y in self._samples]),
        }

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One patch and the number of its photograph."""
        label, x, y = self._samples[index]
        corner = x * STEP, y * STEP
        patch = self._photos[label].crop((*corner, corner[0] + SIDE, corner[1] + SIDE))
        return patch.convert("L") if _colour(x, y) == "grey" else patch, label


def _colour(x: int, y: int) -> str:
    return "grey" if (x + y) % 2 else "rgb"
