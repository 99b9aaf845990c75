"""Consistency: does the first choice stay when the image is moved a little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    ModelInfo,
    Need,
    Parameters,
    Record,
    RecordMeasurement,
    Value,
    View,
)

from .values import Distinct, absent, share

__all__ = ["ShiftConsistency"]


class ShiftParams(Parameters):
    """How far: whole pixels of the model's input, at most, in each direction."""

    pixels: Distinct[Annotated[int, Field(ge=1, le=512)]] = Field(
        (1, 2, 4), min_length=1, max_length=8
    )


class ShiftConsistency(RecordMeasurement):
    """Share of images whose first choice is the same after two random shifts.

    shift_consistency = mean_i [argmax f(S_i x_i) = argmax f(S_i' x_i)] with f the logits,
    float [classes], and S_i, S_i' two moves by whole pixels, uniform in -px..px on each axis,
    drawn for each image by its id; the edge pixels fill the gap. In [0, 1], higher is more
    consistent, right or wrong alike: a constant choice has 1. `null` is what two unrelated images
    would agree on, sum_c p_c p_c' with p, p' the shares of the choices. Wilson's interval. Source:
    Zhang 2019 (arXiv 1904.11486), whose crops of a larger image show new pixels instead of
    repeated edges, px = 16 at 224. Cost: T, two forwards per px.
    """

    Params = ShiftParams
    category = "property"
    cost = "T"
    params: ShiftParams

    def need(self, model: ModelInfo) -> Need:
        del model
        views = [view for px in self.params.pixels for view in _moved(px)]
        return Need(views=tuple(views), labels=False)

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        return {
            metric_key("shift_consistency", px=px): _agreement(*(records[v] for v in _moved(px)))
            for px in self.params.pixels
        }


def _moved(px: int) -> tuple[View, View]:
    return View.of("jitter", px=px, draw=0), View.of("jitter", px=px, draw=1)


def _agreement(first: Record, second: Record) -> Value:
    n = len(first.pred)
    if n == 0:
        return absent(0, "no samples")
    classes = int(max(first.pred.max(), second.pred.max())) + 1
    p, q = (np.bincount(r.pred, minlength=classes) / n for r in (first, second))
    return replace(share(first.pred == second.pred), null=float(p @ q))
