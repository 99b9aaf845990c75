"""What invariance and equivariance share: which transforms, which views, what counts as moved."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from interplay_api.names import metric_key
from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Parameters,
    StreamMeasurement,
    View,
)

from .values import Distinct

__all__ = ["STILL", "TransformMeasurement", "TransformParams"]

STILL = 1e-5
"""Features that move by less than this share of their norm move by rounding: fp32 gives 1e-7."""


class TransformParams(Parameters):
    """One kind of transform at some magnitudes.

    rotate: degrees counter-clockwise, both images under the inscribed circle. shift: whole pixels
    to the right, edge pixels repeated.
    """

    op: Literal["rotate", "shift"]
    magnitudes: Distinct[Annotated[float, Field(ge=0, le=360)]] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _whole_pixels(self) -> TransformParams:
        if self.op == "shift" and any(m % 1 for m in self.magnitudes):
            raise ValueError("magnitudes: a shift is by whole pixels")
        return self

    @property
    def base(self) -> View:
        """What the transformed image is compared with."""
        return View.of("rotate", deg=0) if self.op == "rotate" else IDENTITY

    def view(self, magnitude: float) -> View:
        """The transformed image."""
        if magnitude == 0:
            return self.base
        return (
            View.of("rotate", deg=magnitude)
            if self.op == "rotate"
            else (View.of("shift", dx=magnitude))
        )

    @property
    def need(self) -> Need:
        """The features of the base and of every magnitude."""
        views = dict.fromkeys([self.base, *map(self.view, self.magnitudes)])
        return Need(views=tuple(views), outputs=frozenset({"features"}))

    def metric(self, name: str, magnitude: float) -> str:
        """`rotation_invariance_deg30`, `shift_equivariance_r2_px2`."""
        if self.op == "rotate":
            return metric_key(f"rotation_{name}", deg=magnitude)
        return metric_key(f"shift_{name}", px=magnitude)


class TransformMeasurement(StreamMeasurement):
    """Compares the features of an image with those of its transforms."""

    Params = TransformParams
    category = "property"
    params: TransformParams

    def need(self, model: ModelInfo) -> Need:
        """The features of all views, whatever the model."""
        del model
        return self.params.need
