"""Cue-conflict images from digits, in the manner of Navon: one digit drawn in copies of another.

Every pixel of an 8 x 8 digit, the shape, becomes an 8 x 8 copy of a digit of another class, the
texture, as bright as that pixel was: the Kronecker product of the two, 64 x 64. Both are `digits`
test images, each at most once in each part: 5 images for each of the 90 ordered pairs of classes.
After Navon 1977 (Cogn. Psychol. 9:353); the measurement is that of Geirhos et al. 2019.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from .embedded import DigitsSource

__all__ = ["NAVON_REVISION", "NavonSource"]

NAVON_REVISION = "sha256:8ad5f811cd23de650a442355d5114c93b845a2eaf584d5b98fd2c44dd42aa126"
"""Of all ids and pixels, held by a test."""
CLASSES = 10
EACH = 5
"""Images for each pair of classes: the fewest test images of one class are 49, and 9 x 5 = 45."""


def _pairs(digits: DigitsSource) -> list[tuple[int, int]]:
    """(index of the shape, index of the texture) of every image, by class and by number."""
    labels = [digits.load(i)[1] for i in range(len(digits.ids))]
    order = sorted(
        range(len(labels)),
        key=lambda i: hashlib.sha256(f"interplay-navon:{digits.ids[i]}".encode()).digest(),
    )
    of = [[i for i in order if labels[i] == c] for c in range(CLASSES)]
    # The gap between the classes, 1 to 9, counts through the images of both.
    return [
        (of[c][k], of[(c + gap) % CLASSES][k])
        for c in range(CLASSES)
        for gap in range(1, CLASSES)
        for k in range((gap - 1) * EACH, gap * EACH)
    ]


class NavonSource:
    """The images, of mode L; the label is the shape, columns `shape` and `texture` are classes."""

    num_classes = CLASSES
    label_sets = None

    def __init__(self, digits: DigitsSource) -> None:
        self._digits = digits
        self._pairs = _pairs(digits)
        classes = np.array([[digits.load(i)[1] for i in pair] for pair in self._pairs])
        self.ids = [f"{digits.ids[s]}-of-{digits.ids[t]}" for s, t in self._pairs]
        self.columns: Mapping[str, npt.NDArray[np.generic]] = {
            "shape": classes[:, 0],
            "texture": classes[:, 1],
        }

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One image and the class of its shape."""
        (shape, label), (texture, _) = (self._digits.load(i) for i in self._pairs[index])
        large, small = (np.asarray(x, dtype=np.float64) for x in (shape, texture))
        pixels = np.rint(np.kron(large, small) / 255).astype(np.uint8)
        return Image.fromarray(pixels), label
