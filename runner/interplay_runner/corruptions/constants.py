"""The published figures: what each severity means, and how AlexNet fares.

Severities: Hendrycks & Dietterich 2019 (arXiv 1903.12261), as in the code that made ImageNet-C and
CIFAR-10-C. Lengths are in pixels of the image that the model sees and are not scaled with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

__all__ = [
    "ALEXNET_CLEAN",
    "ALEXNET_ERROR",
    "COMMON",
    "EXTRA",
    "FIGURES",
    "SEVERITIES",
    "SIZES",
    "Common",
    "Figures",
    "Kind",
]

Common = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
"""The 15 that count, in the paper's order."""
Extra = Literal["speckle_noise", "gaussian_blur", "spatter", "saturate"]
"""The 4 that were published for validation; no mean has them."""
Kind = Common | Extra

COMMON: tuple[Common, ...] = get_args(Common)
EXTRA: tuple[Extra, ...] = get_args(Extra)
SEVERITIES = (1, 2, 3, 4, 5)
SIZES: Mapping[str, int] = {"imagenet": 224, "cifar": 32}
"""The image side, in pixels, for which a protocol's severities were published."""

Figures = tuple[tuple[float, ...], ...]
"""One row of arguments per severity."""


def _one(*values: float) -> Figures:
    return tuple((v,) for v in values)


FIGURES: Mapping[Kind, Mapping[int, Figures]] = {
    # sigma
    "gaussian_noise": {
        224: _one(0.08, 0.12, 0.18, 0.26, 0.38),
        32: _one(0.04, 0.06, 0.08, 0.09, 0.10),
    },
    # photons at white
    "shot_noise": {224: _one(60, 25, 12, 5, 3), 32: _one(500, 250, 100, 75, 50)},
    # share of the values
    "impulse_noise": {
        224: _one(0.03, 0.06, 0.09, 0.17, 0.27),
        32: _one(0.01, 0.02, 0.03, 0.05, 0.07),
    },
    # radius of the disk, sigma that smooths its edge
    "defocus_blur": {
        224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    },
    # sigma, reach, rounds
    "glass_blur": {
        224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    },
    # radius, sigma
    "motion_blur": {
        224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    },
    # end and step of the zoom factors, which start at 1
    "zoom_blur": {
        224: ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        32: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    },
    # mean and sigma of the flakes, zoom, threshold, radius and sigma of their fall, image's share
    "snow": {
        224: (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        32: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    },
    # weight of the image, weight of the frost
    "frost": {
        224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    },
    # amount, decay of the roughness per octave
    "fog": {
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    },
    # added to the value of HSV
    "brightness": {224: _one(0.1, 0.2, 0.3, 0.4, 0.5), 32: _one(0.05, 0.1, 0.15, 0.2, 0.3)},
    # factor
    "contrast": {224: _one(0.4, 0.3, 0.2, 0.1, 0.05), 32: _one(0.75, 0.5, 0.4, 0.3, 0.15)},
    # displacement, its smoothness, jitter of the affine map: multiples of 244 (sic) and of 32
    "elastic_transform": {
        224: (
            (488, 170.8, 24.4),
            (488, 19.52, 48.8),
            (12.2, 2.44, 4.88),
            (17.08, 2.44, 4.88),
            (29.28, 2.44, 4.88),
        ),
        32: (
            (0, 0, 2.56),
            (1.6, 6.4, 2.24),
            (2.56, 1.92, 1.92),
            (3.2, 1.28, 1.6),
            (3.2, 0.96, 0.96),
        ),
    },
    # factor of the side
    "pixelate": {224: _one(0.6, 0.5, 0.4, 0.3, 0.25), 32: _one(0.95, 0.9, 0.85, 0.75, 0.65)},
    # quality
    "jpeg_compression": {224: _one(25, 18, 15, 10, 7), 32: _one(80, 65, 58, 50, 40)},
    # sigma
    "speckle_noise": {
        224: _one(0.15, 0.2, 0.35, 0.45, 0.6),
        32: _one(0.06, 0.1, 0.12, 0.16, 0.2),
    },
    # sigma
    "gaussian_blur": {224: _one(1, 2, 3, 4, 6), 32: _one(0.4, 0.6, 0.7, 0.8, 1)},
    # mean and sigma of the liquid, its smoothness, threshold, strength, 0 water or 1 mud
    "spatter": {
        224: (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        32: (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
    },
    # factor and addition to the saturation of HSV
    "saturate": {
        224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    },
}

ALEXNET_ERROR: Mapping[Common, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""Top-1 error of AlexNet (torchvision's weights) on ImageNet-C, mean over the 5 severities."""
ALEXNET_CLEAN = 0.43478
"""Its error on the plain images: torchvision states 56.522 % accuracy, the paper 43.5 % error."""
