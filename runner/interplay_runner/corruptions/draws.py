"""Random numbers of the corruptions: one stream per corruption, purpose, seed and sample id.

By numpy on the CPU, because torch's own numbers depend on device and vector width. All severities
of a corruption share the draws of a sample, so that what tells them apart is the severity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["Draws"]


@dataclass(frozen=True, slots=True)
class Draws:
    """The numbers for one corruption of these samples; `part` names their purpose."""

    kind: str
    ids: tuple[str, ...]
    seed: int

    def uniform(self, *shape: int, part: str = "uniform") -> Tensor:
        """Float32 [n, *shape] on the CPU, in [0, 1)."""
        return _fill(self, part, shape, False)

    def normal(self, *shape: int, part: str = "normal") -> Tensor:
        """Float32 [n, *shape] on the CPU, standard normal."""
        return _fill(self, part, shape, True)

    def poisson(self, mean: Tensor) -> Tensor:
        """Poisson counts of these means, float32 [n, ...]; on the means' device."""
        means = mean.double().cpu().numpy()
        counts = [rng.poisson(m) for rng, m in zip(self._streams("poisson"), means, strict=True)]
        return torch.from_numpy(np.stack(counts)).to(mean)

    def _streams(self, part: str) -> Iterator[np.random.Generator]:
        for sample in self.ids:
            digest = hashlib.sha256(f"{self.kind}:{part}:{self.seed}:{sample}".encode()).digest()
            yield np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


@lru_cache(maxsize=4)
def _fill(draws: Draws, part: str, shape: tuple[int, ...], normal: bool) -> Tensor:
    """Kept for the severities that come next; callers must not write into it."""
    out = np.empty((len(draws.ids), *shape), dtype=np.float32)
    for row, rng in zip(out, draws._streams(part), strict=True):
        if normal:
            rng.standard_normal(dtype=np.float32, out=row)
        else:
            rng.random(dtype=np.float32, out=row)
    return torch.from_numpy(out)
