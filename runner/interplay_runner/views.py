"""Views: the changes of an image that measurements compare, each a pure function of one batch.

Every operation maps float32 [n, C, H, W] in [0, 1] to the same shape and range, for all rows at
once and each row by itself: what a row becomes depends on its image, its id and the seed alone, so
it is the same in any batch, order and process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .corruptions import CORRUPTIONS
from .geometric import jitter, rotate, shift, zoom
from .measurement import UnmeasurableError, View
from .photometric import blur, hue, light

__all__ = ["OPERATIONS", "apply_view"]

Operation = Callable[..., Tensor]


def _identity(images: Tensor, ids: Sequence[str], seed: int) -> Tensor:
    del ids, seed
    return images


@lru_cache(maxsize=1)
def _normal(ids: tuple[str, ...], seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers [n, *shape], a stream for every id.

    By numpy on the CPU: torch's own numbers depend on device and vector width. The last batch is
    kept, because its other noise levels come next.
    """
    out = np.empty((len(ids), *shape), dtype=np.float32)
    for row, sample in zip(out, ids, strict=True):
        digest = hashlib.sha256(f"noise:{seed}:{sample}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
        rng.standard_normal(dtype=np.float32, out=row)
    return torch.from_numpy(out)


def _noise(images: Tensor, ids: Sequence[str], seed: int, *, sigma: float) -> Tensor:
    """Add `sigma` times the sample's normal numbers, clip to [0, 1].

    All levels scale one draw, so the steps of a curve over sigma are not blurred by new draws.
    """
    normal = _normal(tuple(ids), seed, tuple(images.shape[1:])).to(images.device)
    return (images + sigma * normal).clamp_(0, 1)


OPERATIONS: Mapping[str, tuple[Operation, int]] = {
    "identity": (_identity, 1),
    "rotate": (rotate, 1),
    "zoom": (zoom, 1),
    "shift": (shift, 1),
    "jitter": (jitter, 1),
    "light": (light, 1),
    "hue": (hue, 1),
    "blur": (blur, 1),
    "noise": (_noise, 1),
    **{kind: (operation, 1) for kind, operation in CORRUPTIONS.items()},
}
"""Every operation by name, with the version of what it does (`View.version`)."""


def apply_view(view: View, images: Tensor, ids: Sequence[str], seed: int) -> Tensor:
    """The batch as `view` shows it.

    images: float32 [n, C, H, W] in [0, 1]; ids: n sample ids. Returns the same shape and range, or
    raises UnmeasurableError where no such operation, version or parameter exists.
    """
    operation, version = OPERATIONS.get(view.op, (None, 0))
    if operation is None or version != view.version:
        known = ", ".join(f"{name} {v}" for name, (_, v) in OPERATIONS.items())
        raise UnmeasurableError(f"view {view.op} version {view.version} is none of {known}")
    try:
        return operation(images, ids, seed, **dict(view.params))
    except TypeError as error:
        raise UnmeasurableError(f"view {view.op}: {error}") from error
