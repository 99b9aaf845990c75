"""Users' own datasets: entry points of packages in the runner's image, each a factory of Sources.

What they bring is foreign code: whatever it raises becomes one line that names the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from interplay_runner.errors import DataError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from interplay_api.library import DatasetSpec

    from . import Source

__all__ = ["GROUP", "RegisteredSource", "open_registered"]

GROUP = "interplay.datasets"
"""Entry points: name -> factory(split) -> Source, which may say its `revision`."""
FIELD = "spec.embedded.name"

T = TypeVar("T")


def open_registered(spec: DatasetSpec, builtin: Iterable[str]) -> Source:
    """The registered dataset that `spec.embedded` names; `builtin` are the names that are ours."""
    assert spec.embedded is not None
    name = spec.embedded.name
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise DataError(f"{FIELD}: no {name}; there are {', '.join([*builtin, *points])}")
    return RegisteredSource(points[name], spec)


class RegisteredSource:
    """A user's Source, with what it says checked once and what it raises put into words."""

    def __init__(self, point: EntryPoint, spec: DatasetSpec) -> None:
        self._name = point.name
        self._source: Source = self._guarded("", lambda: point.load()(spec.split))
        self._guarded("", self._check)
        revision = getattr(self._source, "revision", None)
        if spec.revision not in (None, revision):
            known = "has no revision" if revision is None else f"is {revision}"
            raise DataError(f"spec.revision: {self._name} {known}")

    def _check(self) -> None:
        source = self._source
        self.ids = list(source.ids)
        self.num_classes = int(source.num_classes)
        self.columns = {k: np.asarray(c) for k, c in source.columns.items()}
        self.label_sets = source.label_sets
        if len({i for i in self.ids if isinstance(i, str)}) < len(self.ids):
            raise ValueError("ids are not different strings")
        for name, column in self.columns.items():
            if column.shape != (len(self.ids),):
                raise ValueError(f"column {name} has shape {column.shape}, not {len(self.ids)}")

    def load(self, index: int) -> tuple[Image, int]:
        """One sample; its error names it."""
        image, label = self._guarded(f" {self.ids[index]}", lambda: self._source.load(index))
        return image, int(label)

    def _guarded(self, where: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            raise DataError(f"{FIELD}: {self._name}{where}: {one_line(error)}") from error
