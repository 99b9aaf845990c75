"""Lie derivatives: on paper, and against symmetric differences of images moved by scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import affine_transform
from torch import Tensor, nn
from torch.nn import functional

from interplay_runner.measurement import Batch, Network, Output, UnmeasurableError
from interplay_runner.measurements.lie import LieDerivative, tangent
from tests.runner.measurements.builders import Linear, ids, info, make, number, values

SEED = 20240614
GENERATORS = (
    "translation_x", "translation_y", "rotation", "scale", "shear_x", "shear_y", "brightness",
)  # fmt: skip


def images(n: int = 3, height: int = 10, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return torch.rand(n, 3, height, width, generator=generator)


def moved(x: np.ndarray, generator: str, t: float) -> np.ndarray:
    """[n, C, H, W] in float64 by t, bilinear; scipy asks where each pixel (y, x) comes from."""
    height, width = x.shape[2:]
    if generator == "brightness":
        return (1 + t) * x
    cos, sin = math.cos(t), math.sin(t)
    matrix, offset = {
        "translation_x": (np.eye(2), [0, -t * width / 2]),
        "translation_y": (np.eye(2), [-t * height / 2, 0]),
        "rotation": (np.array([[cos, sin], [-sin, cos]]), [0, 0]),
        "scale": (np.eye(2) / (1 + t), [0, 0]),
        "shear_x": (np.array([[1, 0], [-t, 1]]), [0, 0]),
        "shear_y": (np.array([[1, -t], [0, 1]]), [0, 0]),
    }[generator]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    start = centre - matrix @ centre + offset
    flat = [
        affine_transform(plane, matrix, start, order=1, mode="nearest")
        for plane in x.reshape(-1, height, width)
    ]
    return np.stack(flat).reshape(x.shape)


class Small(nn.Module):
    """A convolution, an attention and a classifier, all in float64."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.info, self.act = info(classes=4), act
        self.conv, self.qkv = nn.Conv2d(3, 8, 3), nn.Linear(8, 24)
        self.head = nn.Linear(8, 4)
        self.double()

    def forward(self, x: Tensor) -> Output:
        tokens = self.act(3 * self.conv(x.double())).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, dim=2)
        seen = functional.scaled_dot_product_attention(2 * q, k, v).mean(dim=1)
        return Output(5 * self.head(seen), seen)

    def forward_layers(self, x: Tensor) -> Output:
        return self.forward(x)


def rates(network: Network, x: Tensor, of: str = "softmax") -> dict[str, np.ndarray]:
    measurement = make(LieDerivative, generators=GENERATORS, of=of)
    batch = Batch(ids(len(x)), x, torch.zeros(len(x), dtype=torch.int64), len(x))
    return {k: np.asarray(c) for k, c in measurement.run_batch(network, batch).items()}


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_tangent_is_a_symmetric_step_of_the_image(generator: str) -> None:
    x, h = images(), 1e-5
    pixels = x.double().numpy()
    step = (moved(pixels, generator, h) - moved(pixels, generator, -h)) / (2 * h)
    np.testing.assert_allclose(tangent(x, generator).numpy(), step, atol=2e-3)


@pytest.mark.parametrize(("act", "within"), [(torch.tanh, 0.02), (torch.relu, 0.15)])
@pytest.mark.parametrize("of", ["softmax", "logits"])
def test_rates_are_symmetric_differences(
    act: Callable[[Tensor], Tensor], within: float, of: str
) -> None:
    network, x, h = Small(act), images(), 1e-4
    got = rates(network, x, of)
    for generator in GENERATORS:
        ends = []
        for t in (h, -h):
            logits = network(torch.from_numpy(moved(x.double().numpy(), generator, t))).logits
            ends.append(logits.softmax(dim=1) if of == "softmax" else logits)
        rate = ((ends[0] - ends[1]) / (2 * h)).detach().numpy()
        oracle = np.abs(rate).mean(axis=1)
        assert got[f"{generator}_abs"] == pytest.approx(oracle, rel=within)
        squares = (rate**2).mean(axis=1)
        assert got[f"{generator}_square"] == pytest.approx(squares, rel=2 * within)


def test_a_linear_probe_of_a_ramp_is_known() -> None:
    # I = .3 + a x + b y about the centre, probed at one pixel, (x, y) = (1.5, -2.5) from it.
    a, b, x, y = 0.02, 0.03, 1.5, -2.5
    right, down = torch.arange(8) - 3.5, (torch.arange(8) - 3.5)[:, None]
    ramp = (0.3 + a * right + b * down).expand(2, 3, 8, 8)
    weight = torch.zeros(3, 8, 8, 1)
    weight[0, 1, 5] = 1
    got = rates(Linear(weight.flatten(0, 2)), ramp, "logits")
    known = {
        "translation_x": a * 4, "translation_y": b * 4, "rotation": a * y - b * x,
        "scale": a * x + b * y, "shear_x": a * y, "shear_y": b * x,
        "brightness": 0.3 + a * x + b * y,
    }  # fmt: skip
    for generator, rate in known.items():
        assert got[f"{generator}_abs"] == pytest.approx(abs(rate), abs=1e-6)
        assert got[f"{generator}_square"] == pytest.approx(rate**2, abs=1e-6)


def test_a_constant_output_has_no_rate_and_means_are_over_images() -> None:
    x = images(6)
    network = Linear(torch.zeros(360, 4))
    assert all((c == 0).all() for c in rates(network, x).values())
    columns = rates(Small(torch.tanh), x)
    measurement = make(LieDerivative, generators=GENERATORS)
    got = values(measurement.compute(columns))
    assert len(got) == 14
    value = got["lie_rotation_softmax_abs"]
    assert number(value) == pytest.approx(columns["rotation_abs"].mean())
    assert value.n == 6
    single = values(measurement.compute({k: c[:1] for k, c in columns.items()}))
    assert {v.reason for v in single.values()} == {"one sample has no interval"}
    assert not measurement.need(info()).labels


class Opaque(torch.autograd.Function):
    """An operation that knows no forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        del ctx, inputs, output


def test_a_model_without_forward_mode_says_so() -> None:
    network = Small(lambda x: Opaque.apply(x))
    with pytest.raises(UnmeasurableError, match="no forward-mode derivative"):
        rates(network, images())


def test_the_same_generator_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="the same"):
        make(LieDerivative, generators=["scale", "scale"])
