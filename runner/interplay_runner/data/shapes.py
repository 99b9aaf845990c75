"""Images whose every factor is known, drawn in code: a small dSprites without any download.

White shapes on black, 32 x 32 pixels with 65 grey levels, one image per combination of

- shape: square, ellipse (axes 2 : 1) or heart;
- scale: a radius of 5, 6, 7 or 8 pixels;
- orientation: 8 turns by 0 to 78.75 degrees. A square turned by 90 degrees is the same image, so
  the range ends before that and no two of the images are equal;
- x, y: 7 places each, 2 pixels apart, none of which cuts a shape off.

The idea is of dSprites (Matthey et al. 2017); nothing of it is in here. A pixel counts which of its
8 x 8 points lie inside, in integers throughout, so the images are the same on every machine.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["FACTORS", "SHAPES_REVISION", "ShapesSource", "pixel_digest"]

SHAPES_REVISION = "sha256:43e3b8f29975b350b36c9d10acb56cd488da4794c3d9a4f189c695b201242ac5"
"""Of all pixels in the order of the ids: a change of the drawing must not pass unnoticed."""
FACTORS = {"shape": 3, "scale": 4, "orientation": 8, "x": 7, "y": 7}
"""Number of values of each; the last one runs fastest."""
SIDE = 32
STEP = 2
POINTS = 8
"""Of a pixel along each side."""
RADII = (5, 6, 7, 8)
TURN = math.pi / 2 / FACTORS["orientation"]
ONE = 1 << 14
"""Fixed point of sine and cosine."""
UNIT = 256
"""Length of the radius where a shape is decided; sixth powers of it stay below 2^63."""

Integers = npt.NDArray[np.int64]


@cache
def _sprite(shape: int, scale: int, orientation: int) -> npt.NDArray[np.uint8]:
    """One shape in the middle of the frame, uint8 [SIDE, SIDE]."""
    # Centres of the points, in units of half a point from the centre of the frame; y goes up.
    place = 2 * np.arange(SIDE * POINTS, dtype=np.int64) - (SIDE * POINTS - 1)
    x, y = place[None, :], -place[:, None]
    cos, sin = (round(ONE * f(TURN * orientation)) for f in (math.cos, math.sin))
    size = ONE * 2 * POINTS * RADII[scale]
    u, v = ((w * UNIT + size // 2) // size for w in (cos * x + sin * y, cos * y - sin * x))
    inside = _INSIDE[shape](np.clip(u, -2 * UNIT, 2 * UNIT), np.clip(v, -2 * UNIT, 2 * UNIT))
    count = inside.reshape(SIDE, POINTS, SIDE, POINTS).sum(axis=(1, 3))
    grey: npt.NDArray[np.uint8] = (count * 255 // POINTS**2).astype(np.uint8)
    return grey


def _square(u: Integers, v: Integers) -> npt.NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) * 5 <= 4 * UNIT


def _ellipse(u: Integers, v: Integers) -> npt.NDArray[np.bool_]:
    return u * u + 4 * v * v <= UNIT**2


def _heart(u: Integers, v: Integers) -> npt.NDArray[np.bool_]:
    # The curve reaches 1.25 of its own unit: drawn smaller than the others' radius.
    unit = UNIT * 3 // 4
    return (u * u + v * v - unit**2) ** 3 <= unit * u * u * v**3


_INSIDE = (_square, _ellipse, _heart)


class ShapesSource:
    """All the images, of mode L; the label is the shape.

    An id is `shapes-` and the values of the factors in their order: `shapes-2-3-7-0-6`.
    """

    num_classes = FACTORS["shape"]
    label_sets = None

    def __init__(self) -> None:
        self._factors = list(itertools.product(*map(range, FACTORS.values())))
        self.ids = ["shapes-" + "-".join(map(str, f)) for f in self._factors]
        table = np.array(self._factors, dtype=np.int64)
        self.columns: Mapping[str, npt.NDArray[np.generic]] = {
            f"factor_{name}": table[:, k] for k, name in enumerate(FACTORS)
        }

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One image and its shape."""
        shape, scale, orientation, x, y = self._factors[index]
        right, down = (STEP * (place - FACTORS["x"] // 2) for place in (x, y))
        # What leaves the frame on one side and enters on the other is black.
        pixels = np.roll(_sprite(shape, scale, orientation), (down, right), axis=(0, 1))
        return Image.fromarray(pixels), shape


def pixel_digest(source: ShapesSource) -> str:
    """SHA-256 of the pixels of all images, in the order of the ids."""
    digest = hashlib.sha256()
    for index in range(len(source.ids)):
        digest.update(source.load(index)[0].tobytes())
    return f"sha256:{digest.hexdigest()}"
