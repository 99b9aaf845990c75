"""Shape or texture: which of two cues that contradict each other decides a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, StringConstraints, field_validator
from torch import Tensor

from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
)

from .groups import column_of
from .values import absent, share

__all__ = ["ShapeBias"]

Column = npt.NDArray[np.generic]
ClassIndex = Annotated[int, Field(ge=0, lt=100_000)]
Classes = Annotated[tuple[ClassIndex, ...], Field(min_length=1, max_length=1000)]
Category = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Categories = dict[Category, Classes]
SHAPE, TEXTURE = "shape", "texture"


class ShapeBiasParams(Parameters):
    """Coarse categories to the classes that they are made of, where the columns name those."""

    categories: Categories | None = Field(None, min_length=2, max_length=256)

    @field_validator("categories")
    @classmethod
    def _disjoint(
        cls, value: dict[str, tuple[int, ...]] | None
    ) -> dict[str, tuple[int, ...]] | None:
        classes = [c for found in (value or {}).values() for c in found]
        if len(set(classes)) < len(classes):
            raise ValueError("a class stands in two categories, or twice in one")
        return value


class ShapeBias(TableMeasurement):
    """Of the predictions that follow one of two contradicting cues, the share that follow shape.

    The dataset's columns `shape` and `texture` say for every image which class its outline and its
    surface have; images where both agree are dropped. Higher is more by shape, neither good nor bad
    by itself. With d_i the decision for image i:

    - `shape_bias` = s / (s + t), s = #[d_i = shape_i], t = #[d_i = texture_i]. In [0, 1]; 1: shape
      alone decides, as it mostly does for people (.96 in the source), 0: texture alone. n = s + t;
      absent where it is 0. `null` is .5, a model without a preference.
    - `shape_accuracy` = s / n, `texture_accuracy` = t / n, over all n images of contradicting cues.
      In [0, 1]. A bias of few decisions is read beside them.

    Wilson's intervals. d_i is the class of the highest logit, and the columns hold class indices
    of the model (spec.logits: All); or, with `categories: {name: [class indices]}`, the category
    of the highest mean softmax probability over its classes, the first by name of equal ones, and
    the columns hold names of categories: the 16 coarse ones for an ImageNet model. Source: Geirhos
    et al. 2019 (arXiv 1811.12231). Cost: F, on a dataset of its own.
    """

    Params = ShapeBiasParams
    category = "property"
    cost = "F"
    params: ShapeBiasParams

    def need(self, model: ModelInfo) -> Need:
        for name, classes in (self.params.categories or {}).items():
            if max(classes) >= model.num_classes:
                raise UnmeasurableError(
                    f"categories.{name}: class {max(classes)} is not below the model's "
                    f"{model.num_classes}"[:300]
                )
        return Need(labels=False)  # the cues stand in columns

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value]:
        table = tables[OWN]
        record = table.records[IDENTITY]
        shape, texture = (column_of(record, c) for c in (SHAPE, TEXTURE))
        categories = self.params.categories
        if categories is None:
            said: Column = record.pred
            _check_classes(np.concatenate([shape, texture]), model.num_classes)
        else:
            said = _decided(table.logits[IDENTITY], categories)
            _check_names(np.concatenate([shape, texture]), [*categories])
        conflict = shape != texture
        by_shape, by_texture = (said[conflict] == cue[conflict] for cue in (shape, texture))
        decided = by_shape[by_shape | by_texture]
        bias = share(decided) if len(decided) else absent(0, "no prediction follows either cue")
        return {
            "shape_bias": replace(bias, null=None if bias.value is None else 0.5),
            "shape_accuracy": share(by_shape),
            "texture_accuracy": share(by_texture),
        }


def _decided(logits: Tensor, categories: Mapping[str, Sequence[int]]) -> Column:
    """logits: float32 [n, classes]. The name of each row's category, by mean probability."""
    p = torch.softmax(logits.double(), dim=1)
    names = sorted(categories)
    means = torch.stack([p[:, list(categories[name])].mean(dim=1) for name in names], dim=1)
    said: Column = np.array(names)[means.argmax(dim=1).numpy()]
    return said


def _check_classes(cues: Column, classes: int) -> None:
    # Also where only mapped logits compete: their indices are not those of the columns any more.
    if cues.dtype.kind != "i":
        raise UnmeasurableError("columns shape and texture hold no class indices: name categories")
    if len(cues) and not 0 <= cues.min() <= cues.max() < classes:
        raise UnmeasurableError(
            f"columns shape and texture hold {cues.min()} to {cues.max()}, not classes below "
            f"{classes}"
        )


def _check_names(cues: Column, categories: Sequence[str]) -> None:
    for name in np.unique(cues).tolist():
        if name not in categories:
            raise UnmeasurableError(f"columns shape and texture: {name!r:.60} is no category")
