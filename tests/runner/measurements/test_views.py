"""Views: what each does to an image, and that a row depends on nothing but itself."""

from __future__ import annotations

import colorsys

import pytest
import torch
from scipy.ndimage import gaussian_filter
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


def test_zoom_enlarges_about_the_centre() -> None:
    x = smooth(64, 96)
    assert torch.equal(apply_view(View.of("zoom", factor=1), x, ids(1), 0), x)
    # Twice as large: a pixel at distance 2 r of the centre shows what was at r.
    twice = apply_view(View.of("zoom", factor=2), x, ids(1), 0)[0, 0]
    a, b = twice[1:-1:2, 1:-1:2] + twice[2::2, 2::2], x[0, 0, 16:48, 24:72]
    torch.testing.assert_close(a / 2, (b[:-1, :-1] + b[1:, 1:]) / 2, atol=0.01, rtol=0)
    with pytest.raises(UnmeasurableError, match="below 1"):
        apply_view(View.of("zoom", factor=0.5), x, ids(1), 0)


def test_jitter_moves_each_image_by_its_own_whole_pixels() -> None:
    n, names = 400, ids(400)
    dot = torch.zeros(n, 3, 15, 15)
    dot[:, :, 7, 7] = 1

    def moves(draw: int, px: int = 2) -> Tensor:
        moved = apply_view(View.of("jitter", px=px, draw=draw), dot, names, 0)
        assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.full((n,), 3.0))
        return moved[:, 0].nonzero()[:, 1:] - 7

    first, second = moves(0), moves(1)
    assert sorted(set(map(tuple, first.tolist()))) == [
        (y, x) for y in range(-2, 3) for x in range(-2, 3)
    ]
    assert 0.01 < (first == second).all(dim=1).double().mean() < 0.08
    assert torch.equal(moves(0, 0), torch.zeros(n, 2, dtype=torch.int64))


def test_light_clips_and_hue_is_colorsys() -> None:
    x = images(1, 6, 6)
    assert torch.equal(apply_view(View.of("light", factor=3), x, ids(1), 0), (3 * x).clamp(max=1))
    for deg in (0, 40, 120, 205, 360):
        turned = apply_view(View.of("hue", deg=deg), x, ids(1), 0)[0].flatten(1).T
        for before, after in zip(x[0].flatten(1).T.tolist(), turned.tolist(), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*before)
            assert after == pytest.approx(colorsys.hsv_to_rgb(h + deg / 360, s, v), abs=1e-5)
    grey = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(apply_view(View.of("hue", deg=77), grey, ids(1), 0), grey)
    with pytest.raises(UnmeasurableError, match="1 channels"):
        apply_view(View.of("hue", deg=40), x[:, :1], ids(1), 0)


def test_blur_is_scipys() -> None:
    x = images(2, 20, 24)
    ours = apply_view(View.of("blur", sigma=1.3), x, ids(2), 0)
    theirs = gaussian_filter(x.double().numpy(), (0, 0, 1.3, 1.3), mode="nearest")
    torch.testing.assert_close(ours, torch.from_numpy(theirs).float(), atol=1e-5, rtol=0)


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
        View.of("zoom", factor=1.7),
        View.of("jitter", px=5),
        View.of("light", factor=1.6),
        View.of("hue", deg=200),
        View.of("blur", sigma=1.5),
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
    "view", [View("warp"), View("noise", (("sigma", 1.0),), 2), View.of("rotate", angle=3)]
)
def test_an_unknown_view_is_a_reason(view: View) -> None:
    with pytest.raises(UnmeasurableError, match=view.op):
        apply_view(view, images(), ids(3), 0)
