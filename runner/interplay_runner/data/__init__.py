"""Where images and labels come from: one Source per (dataset, split), the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from interplay_runner.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from interplay_api.plan import PlanDataset

__all__ = ["Source", "open_source"]


class Source(Protocol):
    """The samples of one (dataset, split). Safe to read from several threads."""

    @property
    def ids(self) -> Sequence[str]:
        """Stable ids, unique; their order is the source's own and means nothing."""
        ...

    @property
    def num_classes(self) -> int:
        """Labels lie in [0, num_classes)."""
        ...

    @property
    def columns(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """What else is known of each sample: str, int64 or float64 [n] by name, in that order."""
        ...

    @property
    def label_sets(self) -> Sequence[Sequence[int]] | None:
        """All classes that are right for each sample; None where that is the label alone."""
        ...

    def load(self, index: int) -> tuple[Image, int]:
        """Decode one sample: an image of mode L or RGB, and its label. Raises DataError."""
        ...


def open_source(item: PlanDataset, root: Path = Path("/")) -> Source:
    """Open a dataset of the plan; paths of the resource are taken below `root`.

    Raises DataError, whose text names the field of the Dataset that is wrong.
    """
    spec = item.spec
    try:
        if spec.embedded is not None:
            from .embedded import open_embedded

            source = open_embedded(spec)
        elif spec.factor_file is not None:
            from .factors import FactorFileSource

            source = FactorFileSource(spec, root)
        else:
            from .folder import ImageFolderSource

            source = ImageFolderSource(spec, root)
        if spec.size is not None and len(source.ids) != spec.size:
            raise DataError(f"spec.size: found {len(source.ids)} samples, not {spec.size}")
        if spec.num_classes is not None and source.num_classes != spec.num_classes:
            raise DataError(
                f"spec.numClasses: found {source.num_classes} classes, not {spec.num_classes}"
            )
    except DataError as error:
        raise DataError(f"dataset {item.name}: {error}") from error
    return source
