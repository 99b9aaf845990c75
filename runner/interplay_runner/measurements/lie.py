"""Lie derivatives: how fast the output changes as the image begins to move."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from interplay_runner.intervals import mean_t
from interplay_runner.measurement import (
    Batch,
    BatchMeasurement,
    Columns,
    ModelInfo,
    Need,
    Network,
    Parameters,
    UnmeasurableError,
    Value,
)

from .values import measured

__all__ = ["GENERATORS", "LieDerivative", "tangent"]

Generator = Literal[
    "translation_x", "translation_y", "rotation", "scale", "shear_x", "shear_y", "brightness"
]
Field2 = tuple[Tensor | float, Tensor | float]

GENERATORS: Mapping[str, Callable[[Tensor, Tensor], Field2]] = {
    "translation_x": lambda x, _: (len(x.T) / 2, 0),
    "translation_y": lambda _, y: (0, len(y) / 2),
    "rotation": lambda x, y: (y, -x),
    "scale": lambda x, y: (x, y),
    "shear_x": lambda _, y: (y, 0),
    "shear_y": lambda x, _: (0, x),
}
"""The velocity (to the right, down) of the pixel at (x, y), in pixels about the centre."""

FORWARD_MODE = 5.0
"""What a derivative along one direction costs, in forwards: timed 3.4 to 7.8, by architecture."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("two of the generators are the same")
    return names


class LieParams(Parameters):
    """Which generators, and of what the derivative is taken."""

    generators: Annotated[tuple[Generator, ...], AfterValidator(_distinct)] = Field(
        ("translation_x", "translation_y", "rotation", "scale"), min_length=1, max_length=7
    )
    of: Literal["softmax", "logits"] = "softmax"


class LieDerivative(BatchMeasurement):
    """Lie derivative of the output: its rate of change as a transform of the image sets in.

    With T_t the transform by t, f the softmax (or the logits, by `of`), float [K classes], and
    L f(x) = d/dt f(T_t x) at t = 0, a vector of K rates for each image:

    - `lie_<generator>_<of>_abs`: mean over images and classes of |L f|.
    - `lie_<generator>_<of>_square`: mean over images and classes of (L f)^2; K times this is the
      paper's local equivariance error E |L f|^2.

    In [0, inf), lower is more equivariant (here: invariant, as the output does not move along),
    and a constant f has 0. t is in half widths (heights) of the image for translation_x (_y), in
    radians for rotation (counter-clockwise), a relative change of size for scale and of pixel
    values for brightness, the slope for shear_x and shear_y. Exact for what it is: the tangent of
    the image is minus its central differences times the velocity, edges repeated (what a
    symmetric step of bilinear sampling tends to), then forward-mode differentiation of the model
    alone, attention in its plain form. Absent for models without that. Student's t over images;
    squares are skewed, so is the interval of their mean. Source: Gruver et al. 2022
    (arXiv 2210.02984), whose rates are of the softmax. Cost: G, 3 to 8 forwards per generator.
    """

    Params = LieParams
    category = "property"
    params: LieParams

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need(labels=False)

    def forwards(self, model: ModelInfo) -> float:
        del model
        return FORWARD_MODE * len(self.params.generators)

    def run_batch(self, network: Network, batch: Batch) -> Columns:
        _load_forward_mode()
        columns: Columns = {}
        # Forward mode needs no graph; tensors of the inference mode would refuse it.
        with torch.inference_mode(False), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            images = batch.images.clone()
            for generator in self.params.generators:
                rate = self._rate(network, images, tangent(images, generator)).double().cpu()
                if not bool(rate[: batch.valid].isfinite().all()):
                    raise UnmeasurableError(f"the derivative by {generator} is not finite")
                columns[f"{generator}_abs"] = rate.abs().mean(dim=1).numpy()
                columns[f"{generator}_square"] = rate.square().mean(dim=1).numpy()
        return columns

    def _rate(self, network: Network, images: Tensor, direction: Tensor) -> Tensor:
        """The derivative of the output along a direction of the images, [n, classes]."""

        def output(x: Tensor) -> Tensor:
            logits = network.forward(x).logits
            return logits.softmax(dim=1) if self.params.of == "softmax" else logits

        try:
            rate: Tensor = torch.func.jvp(output, (images,), (direction,))[1]
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # An operation without forward mode; also batch normalisation in reduced precision.
            raise UnmeasurableError(f"the model has no forward-mode derivative: {error}") from error
        return rate

    def compute(self, columns: Columns) -> dict[str, Value | float]:
        values: dict[str, Value | float] = {}
        for generator in self.params.generators:
            for kind in ("abs", "square"):
                rates = columns[f"{generator}_{kind}"].astype(np.float64)
                values[f"lie_{generator}_{self.params.of}_{kind}"] = _mean(rates)
        return values


def tangent(images: Tensor, generator: str) -> Tensor:
    """d/dt T_t x at t = 0 for float [n, C, H, W], the same shape: -(velocity . gradient)."""
    if generator == "brightness":
        return images.clone()
    _, _, height, width = images.shape
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=images.device)[None, :] - (width - 1) / 2
    x, y = x.expand(height, width), y.expand(height, width)
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    slope_y = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    right, down = GENERATORS[generator](x, y)
    return -(slope_x * right + slope_y * down)


@cache
def _load_forward_mode() -> None:
    """Its first use scripts some formulas of torch, which warns of torch's own deprecation."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*jit.script", category=FutureWarning)
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.zeros(1),))


def _mean(rates: np.ndarray) -> Value:
    return measured(len(rates), "t", lambda: mean_t(rates), bounds=(0, np.inf))
