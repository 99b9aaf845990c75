"""Decode each sample once, in batches of one constant shape, ahead of the model when asked to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import DataError
from .measurement import Batch

if TYPE_CHECKING:
    from PIL.Image import Image

    from .data import Source

__all__ = ["Decoder"]

AHEAD = 2
"""Batches in the making while the model works on one."""

Transform = Callable[["Image"], Tensor]
Sample = tuple[Tensor, int, Mapping[str, Tensor]]


class Decoder:
    """The samples of a source in the pass's order; position p is sample `order[p]`."""

    def __init__(
        self,
        source: Source,
        order: Sequence[int],
        transform: Transform,
        *,
        batch_size: int,
        workers: int = 0,
        device: torch.device | str = "cpu",
        others: Mapping[str, Transform] | None = None,
        relabel: Mapping[int, int] | None = None,
    ) -> None:
        """others: transforms of reference models by name; relabel: class to what stands for it."""
        self.source, self.order, self.transform = source, order, transform
        self.others, self.relabel = others or {}, relabel
        self.batch_size, self.workers, self.device = batch_size, workers, device
        self.ids = [source.ids[i] for i in order]

    def batches(self, cuts: Iterable[range]) -> Iterator[Batch]:
        """One batch per range of positions, each decoded anew."""
        if self.workers == 0:
            for rows in cuts:
                yield self._batch(rows, [self._sample(p) for p in rows])
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            waiting: deque[tuple[range, list[Future[Sample]]]] = deque()
            try:
                for rows in cuts:
                    waiting.append((rows, [pool.submit(self._sample, p) for p in rows]))
                    if len(waiting) > AHEAD:
                        yield self._finish(*waiting.popleft())
                while waiting:
                    yield self._finish(*waiting.popleft())
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()

    def _finish(self, rows: range, futures: list[Future[Sample]]) -> Batch:
        return self._batch(rows, [f.result() for f in futures])

    def _sample(self, position: int) -> Sample:
        index = self.order[position]
        image, label = self.source.load(index)
        if not 0 <= label < self.source.num_classes:
            raise DataError(
                f"sample {self.source.ids[index]}: "
                f"label {label} is not below {self.source.num_classes} classes"
            )
        if self.relabel is not None:
            label = self.relabel[label]
        seen = {name: transform(image) for name, transform in self.others.items()}
        return self.transform(image), label, seen

    def _batch(self, rows: range, samples: list[Sample]) -> Batch:
        # The last row again as padding: a real image, so that nothing odd happens in it.
        padding = self.batch_size - len(rows)
        samples = samples + samples[-1:] * padding
        ids = self.ids[rows.start : rows.stop]
        return Batch(
            ids=ids + ids[-1:] * padding,
            images=torch.stack([image for image, _, _ in samples]).to(self.device),
            labels=torch.tensor([label for _, label, _ in samples], device=self.device),
            valid=len(rows),
            others={
                name: torch.stack([seen[name] for _, _, seen in samples]).to(self.device)
                for name in self.others
            },
        )
