"""Views: what each does to an image, and that a row depends on nothing but itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interplay_runner.measurement import IDENTITY, UnmeasurableError, View
from interplay_runner.views import apply_view
from tests.runner.measurements.builders import ids


def images(n: int = 3, height: int = 32, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(n, 3, height, width, generator=generator)


def rotate(x: Tensor, deg: float) -> Tensor:
    return apply_view(View.of("rotate", deg=deg), x, ids(len(x)), 0)


def smooth(height: int, width: int) -> Tensor:
    """A bump off the centre, wide enough that bilinear sampling hardly matters."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    bump = torch.exp(-((x - width / 2 - 10) ** 2 + (y - height / 2 + 5) ** 2) / 80)
    return bump.expand(1, 3, -1, -1)


def test_a_quarter_turn_is_the_grids_own_counter_clockwise() -> None:
    x = images()
    expected = rotate(torch.rot90(x, 1, dims=(2, 3)), 0)
    torch.testing.assert_close(rotate(x, 90), expected, atol=1e-4, rtol=0)


def test_no_turn_only_masks_and_turns_add_up() -> None:
    x = images(height=24)
    kept = rotate(x, 0)
    assert torch.equal(kept[:, :, 12, 16], x[:, :, 12, 16])
    assert kept[:, :, 0, 0].abs().max() == 0
    assert torch.equal(rotate(x, 360), kept)
    for bump in (smooth(64, 64), smooth(64, 96)):
        there = rotate(rotate(bump, 25), -25)
        assert (there - rotate(bump, 0)).abs().max() < 0.02
        assert (rotate(bump, 25) - rotate(bump, 0)).abs().max() > 0.3


def test_shift_moves_right_and_down_and_repeats_the_edge() -> None:
    x = images()
    y = apply_view(View.of("shift", dx=2, dy=-1), x, ids(3), 0)
    assert torch.equal(y[:, :, :-1, 2:], x[:, :, 1:, :-2])
    assert torch.equal(y[:, :, :-1, 0], x[:, :, 1:, 0])
    with pytest.raises(UnmeasurableError, match="whole pixels"):
        apply_view(View.of("shift", dx=0.5), x, ids(3), 0)


def test_noise_is_a_samples_own_and_scales_with_sigma() -> None:
    grey, names = torch.full((64, 3, 32, 32), 0.5), ids(64)

    def noise(sigma: float, rows: slice = slice(None), seed: int = 0) -> Tensor:
        return apply_view(View.of("noise", sigma=sigma), grey[rows], names[rows], seed)

    whole = noise(0.1)
    assert torch.equal(noise(0.1, slice(5, 9)), whole[5:9])
    assert whole.std().item() == pytest.approx(0.1, rel=0.01)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(noise(0.1, seed=1), whole)
    torch.testing.assert_close((noise(0.05) - 0.5) * 2, whole - 0.5)
    assert noise(5.0).min() == 0
    assert noise(5.0).max() == 1


@pytest.mark.parametrize(
    "view",
    [
        IDENTITY,
        View.of("rotate", deg=33),
        View.of("shift", dx=40, dy=3),
        View.of("noise", sigma=0.4),
    ],
)
def test_every_view_keeps_shape_and_range_and_its_input(view: View) -> None:
    x = images(height=20)
    before = x.clone()
    y = apply_view(view, x, ids(3), 0)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert 0 <= y.min() <= y.max() <= 1
    assert torch.equal(x, before)
    assert torch.equal(apply_view(view, x[1:2], ids(3)[1:2], 0), y[1:2])


@pytest.mark.parametrize(
    "view", [View("blur"), View("noise", (("sigma", 1.0),), 2), View.of("rotate", angle=3)]
)
def test_an_unknown_view_is_a_reason(view: View) -> None:
    with pytest.raises(UnmeasurableError, match=view.op):
        apply_view(view, images(), ids(3), 0)
