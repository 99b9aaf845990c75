"""Random numbers of attacks: a stream for every sample id, so that no row depends on its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

__all__ = ["generators"]


def generators(ids: Sequence[str], *key: object) -> list[np.random.Generator]:
    """One generator per id, seeded by the key (attack, restart, seed) and the id.

    By numpy on the CPU: torch's own numbers depend on device and vector width.
    """
    prefix = ":".join(str(part) for part in key)
    digests = (hashlib.sha256(f"{prefix}:{sample}".encode()).digest() for sample in ids)
    return [np.random.Generator(np.random.PCG64(int.from_bytes(d[:16], "big"))) for d in digests]
