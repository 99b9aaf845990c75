"""A dataset of one's own: a class that is called with the split and gives images and labels."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

__all__ = ["Stripes"]

SEEDS = {"test": 1, "validation": 2}
SIZE, SIDE = 400, 32


class Stripes:
    """Noisy grey stripes, 32 x 32; the label is their orientation in steps of 45 degrees."""

    num_classes = 4
    label_sets = None
    revision = "1"

    def __init__(self, split: str) -> None:
        if split not in SEEDS:
            raise ValueError(f"no split {split}; there are {', '.join(SEEDS)}")
        self.seed = SEEDS[split]
        self.ids = [f"{split}-{i:03}" for i in range(SIZE)]
        self.columns = {"wavelength": np.array([self._wavelength(i) for i in range(SIZE)])}

    def _wavelength(self, index: int) -> float:
        return 5 + 8 * index / SIZE

    def load(self, index: int) -> tuple[Image.Image, int]:
        """One image and its label: the same each time, from any thread."""
        rng = np.random.default_rng([self.seed, index])
        label = index % self.num_classes
        y, x = np.mgrid[:SIDE, :SIDE]
        angle = label * math.pi / self.num_classes
        along = x * math.cos(angle) + y * math.sin(angle)
        phase = rng.uniform(0, 2 * math.pi)
        wave = np.sin(2 * math.pi * along / self._wavelength(index) + phase)
        grey = 0.5 + 0.15 * wave + rng.normal(0, 0.25, (SIDE, SIDE))
        return Image.fromarray((255 * grey.clip(0, 1)).astype(np.uint8)), label
