"""How numbers are computed, pinned for one run and put back afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import scipy.linalg  # noqa: F401  (its BLAS must be loaded to be limited)
import torch
from threadpoolctl import threadpool_limits

from interplay_api.names import digest
from interplay_api.plan import RunSettings

__all__ = ["pinned", "seeded"]


@contextmanager
def pinned(run: RunSettings) -> Iterator[None]:
    """Threads from the plan; fp32 is fp32 (no TF32); no kernel is chosen by a timing."""
    # Read when cuBLAS starts: without it matrix products on a GPU may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn = torch.backends.cudnn
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    flags = cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
    torch.set_num_threads(run.threads)
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = False, True, False
    # Fits run in scikit-learn and numpy, whose threads torch does not know.
    limits = threadpool_limits(limits=run.threads)
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = flags
        torch.set_float32_matmul_precision(matmul)
        torch.set_num_threads(threads)
        limits.restore_original_limits()


def seeded(seed: int, *where: object) -> None:
    """Seed the global generators for one piece of work of one measurement.

    Measurements should carry generators of their own; those that do not are still the same alone
    and together, killed and resumed.
    """
    number = int(digest([seed, *where])[:8], 16)
    random.seed(number)
    np.random.seed(number)
    # Not torch.manual_seed: before CUDA is up it walks the whole stack, for each call.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
