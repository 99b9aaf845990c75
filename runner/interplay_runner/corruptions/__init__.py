"""Common corruptions: 15 that count and 4 extra, at 5 severities, made in batches on the device.

Written after the definitions of Hendrycks & Dietterich 2019 (arXiv 1903.12261), with their figures.
What differs from the published files: they were rounded down to 8 bits and stored as JPEG of
quality 85, these stay as they are; frost is procedural (weather.py); random numbers are a sample's
own. So errors come near those on the published ImageNet-C, which is to be preferred where it is at
hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from interplay_runner.measurement import UnmeasurableError

from .blur import defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from .constants import FIGURES, SEVERITIES, Kind
from .digital import contrast, elastic_transform, jpeg_compression, pixelate, saturate
from .draws import Draws
from .noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from .spatter import spatter
from .weather import brightness, fog, frost, snow

__all__ = ["CORRUPTIONS", "corrupt"]

FUNCTIONS: Mapping[Kind, Callable[..., Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic_transform": elastic_transform,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
    "speckle_noise": speckle_noise,
    "gaussian_blur": gaussian_blur,
    "spatter": spatter,
    "saturate": saturate,
}


def corrupt(
    images: Tensor,
    ids: Sequence[str],
    seed: int,
    *,
    kind: Kind,
    severity: float,
    size: float = 224,
) -> Tensor:
    """The images under one corruption.

    images: float32 [n, C, H, W] in [0, 1], C 1 or 3; ids: n sample ids. severity: 1 to 5. size: 224
    for the figures of ImageNet-C, 32 for those of CIFAR-10-C, whatever the size of these images.
    Returns the same shape and range.
    """
    figures = FIGURES[kind].get(int(size))
    if severity not in SEVERITIES or figures is None or int(size) != size:
        raise UnmeasurableError(
            f"view {kind}: severity {severity:g} at size {size:g} is not published"
        )
    if images.shape[1] not in (1, 3):
        raise UnmeasurableError(f"view {kind}: {images.shape[1]} channels are neither 1 nor 3")
    arguments = figures[int(severity) - 1]
    return FUNCTIONS[kind](images, Draws(kind, tuple(ids), seed), *arguments).clamp(0, 1)


CORRUPTIONS: Mapping[str, Callable[..., Tensor]] = {k: partial(corrupt, kind=k) for k in FUNCTIONS}
"""Every corruption as an operation of views: `View.of("fog", severity=3, size=32)`."""
