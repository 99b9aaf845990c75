"""Cost of a model: its size and its work, counted exactly, and its speed, timed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.intervals import median_order
from interplay_runner.measurement import (
    Context,
    FreeMeasurement,
    ModelInfo,
    Network,
    Parameters,
    UnmeasurableError,
    Value,
)

from .values import Distinct, absent, measured

__all__ = ["Cost", "Throughput"]

WARM_UP = 0.2
"""Seconds of forwards before any counts: kernels are chosen, memory is taken, clocks rise."""


class Cost(FreeMeasurement):
    """Size and work of a model: parameters, and multiply-adds of a forward of one image.

    - `parameters`: numbers in all weights and biases, shared ones once; buffers, such as the
      running moments of a batch norm, are not in it.
    - `macs`: multiply-adds in matrix products and convolutions, attention included, at the model's
      own input size, bias and element-wise work (norms, activations, pooling) not; a FLOP count is
      twice that. ResNet-50 at 224 pixels has 25,557,032 parameters and 4.089 G; tables that say
      4.11 G count 2 more for each output of a batch norm. Absent where an operation has no count.

    Both are exact, from 0 up, and do not depend on the images; n is that one image. Lower is
    cheaper. Source: counted by torch's FlopCounterMode. Cost: F.
    """

    category = "property"
    cost = "F"

    def forwards(self, model: ModelInfo) -> float:
        del model
        return 0.0

    def measure(self, context: Context) -> Mapping[str, Value | float]:
        info = context.network.info
        macs = info.macs
        return {
            "parameters": _exact(info.parameters),
            "macs": absent(1, "an operation has no known count") if macs is None else _exact(macs),
        }


def _exact(count: int) -> Value:
    return Value(count, 1, count, count, "exact")


class ThroughputParams(Parameters):
    """How many images at once, and how long."""

    batches: Distinct[Annotated[int, Field(ge=1, le=4096)]] = Field(
        (1, 64), min_length=1, max_length=8
    )
    repeats: int = Field(15, ge=6, le=1000)
    """Timed runs, of which the median is taken."""
    seconds: float = Field(0.05, ge=0.001, le=60)
    """The least that a run takes."""


class Throughput(FreeMeasurement):
    """Images per second of forwards alone, at each of the batch sizes, and the memory they take.

    - `throughput_batch<b>`: images per second, the median of `repeats` runs of at least `seconds`
      each after a warm-up, at the precision, device and threads of the Mode. From pixels on the
      device to logits and features there: no decoding, no copies. From 0; higher is faster. The
      interval is of order statistics of the runs: it speaks of this machine at that time. n is the
      images that were timed.
    - `peak_memory_batch<b>`: most bytes that were allocated at once during a forward, beside the
      weights and the images. From 0; lower is better. On CUDA devices only.

    Timings are not the same when they are repeated: nothing that is promised bit for bit, alone or
    together, holds for these. Models compare only where they were timed on the same machine with
    nothing beside them. Source: as timm's benchmark. Cost: L.
    """

    Params = ThroughputParams
    category = "property"
    cost = "L"
    repeatable = False
    params: ThroughputParams

    def measure(self, context: Context) -> Mapping[str, Value | float]:
        values: dict[str, Value | float] = {}
        for size, images in _batches(context, self.params.batches).items():
            with torch.no_grad():
                _run(context.network, images, WARM_UP)
                values[metric_key("throughput", batch=size)] = self._speed(context.network, images)
                values[metric_key("peak_memory", batch=size)] = _peak(context.network, images)
        return values

    def _speed(self, network: Network, images: Tensor) -> Value:
        counts, rates = 0, []
        for _ in range(self.params.repeats):
            runs, seconds = _run(network, images, self.params.seconds)
            counts += runs * len(images)
            rates.append(runs * len(images) / seconds)
        return measured(counts, "median", lambda: median_order(rates))


def _batches(context: Context, sizes: tuple[int, ...]) -> dict[int, Tensor]:
    """For each size so many images of the dataset, again from the first where it has fewer."""
    pieces: list[Tensor] = []
    for batch in context.batches():
        pieces.append(batch.images[: batch.valid])
        if sum(map(len, pieces)) >= max(sizes):
            break
    if not pieces:
        raise UnmeasurableError("no samples")
    images = torch.cat(pieces)
    rows = [*itertools.islice(itertools.cycle(range(len(images))), max(sizes))]
    return {size: images[rows[:size]] for size in sizes}


def _run(network: Network, images: Tensor, seconds: float) -> tuple[int, float]:
    """Forwards until so much time is over: how many, and how long they took."""
    runs, start = 0, time.perf_counter()
    while True:
        output = network.forward(images)
        runs += 1
        if output.logits.is_cuda:
            # A CUDA forward only queues its work.
            torch.cuda.synchronize(output.logits.device)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return runs, elapsed


def _peak(network: Network, images: Tensor) -> Value:
    if not images.is_cuda:
        return absent(len(images), "memory is counted on CUDA devices only")
    torch.cuda.synchronize(images.device)
    torch.cuda.reset_peak_memory_stats(images.device)
    before = torch.cuda.memory_allocated(images.device)
    network.forward(images)
    torch.cuda.synchronize(images.device)
    peak = torch.cuda.max_memory_allocated(images.device) - before
    return Value(peak, len(images), peak, peak, "exact")
