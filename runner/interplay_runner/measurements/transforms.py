"""What invariance, equivariance and alignment share: which transforms, which views, what moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Parameters,
    StreamMeasurement,
    UnmeasurableError,
    View,
)

from .values import Distinct

__all__ = ["STILL", "TransformMeasurement", "TransformParams", "unit_rows"]

STILL = 1e-5
"""Features that move by less than this share of their norm move by rounding: fp32 gives 1e-7."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of transform.

    noun and unit: how its metrics are called. op, argument: the view and its parameter. neutral:
    the magnitude that does nothing. low, high: the magnitudes allowed.
    """

    noun: str
    unit: str
    op: str
    argument: str
    neutral: float
    low: float
    high: float
    base: View = IDENTITY


KINDS: Mapping[str, _Kind] = {
    "rotate": _Kind("rotation", "deg", "rotate", "deg", 0, 0, 360, base=View.of("rotate", deg=0)),
    "shift": _Kind("shift", "px", "shift", "dx", 0, 0, 360),
    "scale": _Kind("scale", "factor", "zoom", "factor", 1, 1, 8),
    "brightness": _Kind("brightness", "factor", "light", "factor", 1, 0.01, 100),
    "hue": _Kind("hue", "deg", "hue", "deg", 0, 0, 360),
    "blur": _Kind("blur", "sigma", "blur", "sigma", 0, 0, 64),
}


class TransformParams(Parameters):
    """One kind of transform at some magnitudes.

    rotate: degrees counter-clockwise, both images under the inscribed circle, so that no corner
    comes or goes. shift: whole pixels of the model's input to the right, edge pixels repeated.
    scale: enlarged by a factor from 1 on about the centre and cut to the frame; never reduced,
    which would have to invent a border. brightness: pixels times a factor, clipped to [0, 1].
    hue: degrees in HSV; for models of colour images. blur: Gaussian, sigma in pixels. All but
    rotate compare with the image as it is.
    """

    op: Literal["rotate", "shift", "scale", "brightness", "hue", "blur"]
    magnitudes: Distinct[Annotated[float, Field(ge=0, le=360)]] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        kind = self._kind
        if not all(kind.low <= m <= kind.high for m in self.magnitudes):
            raise ValueError(
                f"magnitudes: {self.op} takes {kind.unit} from {kind.low:g} to {kind.high:g}"
            )
        if self.op == "shift" and any(m % 1 for m in self.magnitudes):
            raise ValueError("magnitudes: a shift is by whole pixels")
        return self

    @property
    def _kind(self) -> _Kind:
        return KINDS[self.op]

    @property
    def base(self) -> View:
        """What the transformed image is compared with."""
        return self._kind.base

    def view(self, magnitude: float) -> View:
        """The transformed image."""
        kind = self._kind
        if magnitude == kind.neutral:
            return kind.base
        return View.of(kind.op, **{kind.argument: magnitude})

    @property
    def need(self) -> Need:
        """The features of the base and of every magnitude."""
        views = dict.fromkeys([self.base, *map(self.view, self.magnitudes)])
        return Need(views=tuple(views), outputs=frozenset({"features"}), labels=False)

    def metric(self, name: str, magnitude: float, **further: float) -> str:
        """`rotation_invariance_deg30`, `shift_equivariance_r2_px2`."""
        return metric_key(f"{self._kind.noun}_{name}", **{self._kind.unit: magnitude, **further})


class TransformMeasurement(StreamMeasurement):
    """Compares the features of an image with those of its transforms."""

    Params = TransformParams
    category = "property"
    cost = "T"
    params: TransformParams

    def need(self, model: ModelInfo) -> Need:
        """The features of all views; raises where the images have nothing to be transformed."""
        channels = model.input_size[0]
        if self.params.op == "hue" and channels != 3:
            raise UnmeasurableError(f"images of {channels} channel(s) have no hue to turn")
        return self.params.need


def unit_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(real, u, v): x and y float64 [rows, d] to length one, NaN in both where one is zero.

    real: bool [rows], whether both have a direction.
    """
    norms = torch.stack([x.norm(dim=1), y.norm(dim=1)])
    real = (norms > 0).all(dim=0)
    lengths = torch.where(real, norms, torch.nan)
    return real, x / lengths[0, :, None], y / lengths[1, :, None]
