"""What each corruption does, against formulas, scipy, Pillow and naive loops."""

from __future__ import annotations

import colorsys
import io
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from interplay_runner.corruptions.blur import glass_blur, zoom_blur
from interplay_runner.corruptions.constants import FIGURES
from interplay_runner.corruptions.digital import elastic_transform
from interplay_runner.corruptions.draws import Draws
from interplay_runner.corruptions.filters import clipped_zoom, convolve, disk, gaussian, motion
from interplay_runner.corruptions.spatter import _canny
from interplay_runner.corruptions.weather import plasma
from interplay_runner.measurement import View
from interplay_runner.views import apply_view

Array = npt.NDArray[np.float64]


def corrupted(kind: str, severity: int, x: Tensor, size: int = 224) -> Tensor:
    names = [str(i) for i in range(len(x))]
    return apply_view(View.of(kind, severity=severity, size=size), x, names, 0)


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def eight_bit(*shape: int) -> Tensor:
    return (noise(*shape) * 255).round() / 255


def flat(value: float) -> Tensor:
    return torch.full((8, 3, 64, 64), value)


def test_gaussian_and_speckle_noise_have_their_sigma() -> None:
    assert (corrupted("gaussian_noise", 1, flat(0.5)) - 0.5).std().item() == pytest.approx(
        0.08, rel=0.01
    )
    assert (corrupted("speckle_noise", 2, flat(0.4)) - 0.4).std().item() == pytest.approx(
        0.4 * 0.2, rel=0.01
    )
    assert corrupted("speckle_noise", 5, flat(0)).max() == 0


@pytest.mark.parametrize(("severity", "photons"), [(1, 60), (3, 12)])
def test_shot_noise_has_a_poissons_mean_and_variance(severity: int, photons: int) -> None:
    y = corrupted("shot_noise", severity, flat(0.3)).double()
    assert y.mean().item() == pytest.approx(0.3, rel=0.01)
    assert y.var().item() == pytest.approx(0.3 / photons, rel=0.03)
    counts = y * photons
    torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)


def test_impulse_noise_hits_its_share_with_salt_and_pepper_alike() -> None:
    y = corrupted("impulse_noise", 4, flat(0.5))
    assert (y == 1).double().mean().item() == pytest.approx(0.17 / 2, rel=0.05)
    assert (y == 0).double().mean().item() == pytest.approx(0.17 / 2, rel=0.05)
    weaker = corrupted("impulse_noise", 3, flat(0.5)) != 0.5
    assert bool(((y != 0.5) | ~weaker).all())


def test_gaussian_blur_and_convolution_are_scipys() -> None:
    x = noise(1, 1, 20, 33)
    plane = x[0, 0].double().numpy()
    for sigma, mode, edge in [(3, "nearest", "clamp"), (6, "reflect", "reflect")]:
        expected = ndimage.gaussian_filter(plane, sigma, mode=mode)
        torch.testing.assert_close(
            gaussian(x, sigma, edge=edge)[0, 0].double(),  # type: ignore[arg-type]
            torch.from_numpy(expected),
            atol=1e-6,
            rtol=0,
        )
    kernel = disk(10, 0.5)
    expected = ndimage.convolve(plane, kernel.double().numpy(), mode="mirror")
    got = convolve(x, kernel)[0, 0].double()
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("figures", [*FIGURES["defocus_blur"][224], *FIGURES["defocus_blur"][32]])
def test_the_disk_is_round_and_sums_to_one(figures: tuple[float, float]) -> None:
    kernel = disk(*figures)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(kernel, kernel.T)
    torch.testing.assert_close(kernel, kernel.flip(0))
    inside = int((kernel > kernel.max() / 2).sum())
    if figures[0] >= 3:
        assert inside == pytest.approx(math.pi * figures[0] ** 2, rel=0.12)


def test_motion_blur_follows_its_direction_and_keeps_the_sum() -> None:
    dot = torch.zeros(3, 1, 41, 41)
    dot[:, :, 20, 20] = 1
    y = motion(dot, 6, 2, torch.tensor([0.0, 90.0, 37.0]))
    torch.testing.assert_close(y.sum(dim=(1, 2, 3)), torch.ones(3))
    weights = np.exp(-0.5 * (np.arange(13) / 2) ** 2)
    weights /= weights.sum()
    # A pixel sees what lies to its right, so the dot trails to the left.
    np.testing.assert_allclose(y[0, 0, 20, 8:21].flip(0).numpy(), weights, atol=1e-6)
    np.testing.assert_allclose(y[1, 0, 8:21, 20].flip(0).numpy(), weights, atol=1e-6)
    for tap in range(13):
        dx = math.ceil(tap * math.cos(math.radians(37)) - 0.5)
        dy = math.ceil(tap * math.sin(math.radians(37)) - 0.5)
        assert y[2, 0, 20 - dy, 20 - dx].item() == pytest.approx(weights[tap], abs=1e-6)


@pytest.mark.parametrize("side", [32, 45])
def test_zooms_are_scipys(side: int) -> None:
    x = noise(1, 1, side, side)
    for factor in (1.07, 1.3, 2.5, 4.5):
        crop = math.ceil(side / factor)
        top = (side - crop) // 2
        middle = x[0, 0, top : top + crop, top : top + crop].numpy()
        large = ndimage.zoom(middle, factor, order=1)
        trim = (len(large) - side) // 2
        expected = large[trim : trim + side, trim : trim + side]
        np.testing.assert_allclose(clipped_zoom(x, factor)[0, 0].numpy(), expected, atol=1e-5)
    # 1.00 to 1.11: rounding lets the end itself into the published list.
    twelve = [clipped_zoom(x, 1 + i / 100) for i in range(12)]
    mean = (x + torch.stack(twelve).sum(dim=0)) / 13
    got = zoom_blur(x, Draws("zoom_blur", ("0",), 0), 1.11, 0.01)
    torch.testing.assert_close(got, mean, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("reach", "rounds"), [(1, 2), (2, 3), (4, 2)])
def test_glass_blur_is_the_published_loop(reach: int, rounds: int) -> None:
    x, draws = noise(2, 3, 17, 23), Draws("glass_blur", ("a", "b"), 3)
    expected = x.clone()
    for turn in range(rounds):
        moves = (2 * reach * draws.uniform(2, 17, 23, part=f"round {turn}")).floor().long() - reach
        for n in range(2):
            for h in range(17 - reach, reach, -1):
                for w in range(23 - reach, reach, -1):
                    dy, dx = moves[n, :, h, w].tolist()
                    expected[n, :, h, w] = expected[n, :, h + dy, w + dx].clone()
    assert torch.equal(glass_blur(x, draws, 0, reach, rounds), expected)
    assert not torch.equal(expected, x)


def test_contrast_and_brightness_are_exact() -> None:
    x = noise(2, 3, 9, 11)
    mean = x.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(corrupted("contrast", 2, x), (0.3 * (x - mean) + mean).clamp(0, 1))
    grey = noise(2, 1, 9, 11)
    torch.testing.assert_close(corrupted("brightness", 2, grey), (grey + 0.2).clamp(0, 1))
    assert bool((corrupted("contrast", 5, flat(0.25)) == 0.25).all())


def through_hsv(x: Tensor, factor: float, added_s: float, added_v: float) -> Tensor:
    out = torch.empty_like(x)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            h, s, v = colorsys.rgb_to_hsv(*x[0, :, row, column].tolist())
            s, v = min(max(s * factor + added_s, 0), 1), min(v + added_v, 1)
            out[0, :, row, column] = torch.tensor(colorsys.hsv_to_rgb(h, s, v))
    return out


def test_brightness_and_saturation_are_those_of_hsv() -> None:
    x = noise(1, 3, 12, 12)
    x[:, :, 0, :4] = 0.4  # grey
    x[:, :, 1, :4] = 0  # black
    torch.testing.assert_close(
        corrupted("brightness", 3, x), through_hsv(x, 1, 0, 0.3), atol=1e-6, rtol=0
    )
    for severity, (factor, added) in enumerate(FIGURES["saturate"][224], start=1):
        expected = through_hsv(x, factor, added, 0)
        torch.testing.assert_close(corrupted("saturate", severity, x), expected, atol=1e-6, rtol=0)
    grey = noise(1, 1, 5, 5)
    assert torch.equal(corrupted("saturate", 5, grey), grey)


def test_pixelate_is_exact_on_multiples_and_pillows_elsewhere() -> None:
    x = eight_bit(1, 3, 40, 40)
    blocks = x.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    twice = blocks.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(corrupted("pixelate", 2, x), twice)
    x = eight_bit(1, 3, 37, 53)
    picture = Image.fromarray((x[0] * 255).round().byte().permute(1, 2, 0).numpy())
    for size in (224, 32):
        for severity, (factor,) in enumerate(FIGURES["pixelate"][size], start=1):
            small = picture.resize((int(53 * factor), int(37 * factor)), Image.Resampling.BOX)
            again = np.asarray(small.resize((53, 37), Image.Resampling.BOX), dtype=np.float64)
            got = corrupted("pixelate", severity, x, size)[0].permute(1, 2, 0).numpy() * 255
            assert np.abs(got - again).max() < 1.01  # Pillow rounds to 8 bits after each axis


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    x = eight_bit(2, channels, 21, 30)
    got = corrupted("jpeg_compression", 3, x)
    for image, coded in zip(x, got, strict=True):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=15)
        decoded = np.asarray(Image.open(file)).reshape(pixels.shape)
        assert np.array_equal((coded * 255).round().byte().permute(1, 2, 0).numpy(), decoded)


def test_elastic_transform_is_scipys_map() -> None:
    """The affine map from three pairs of points, then the displacement, by map_coordinates."""
    side, draws = 32, Draws("elastic_transform", ("a",), 0)
    x = noise(1, 1, side, side)
    amplitude, sigma, jitter = 2.56, 1.92, 1.92
    shifts = jitter * (2 * draws.uniform(3, 2, part="affine")[0].double().numpy() - 1)
    points = 16 + 10 * np.array([[1, 1], [1, -1], [-1, -1]])
    forward = np.linalg.solve(np.c_[points, np.ones(3)], points + shifts)
    linear, offset = forward[:2].T, forward[2]
    y, xx = np.mgrid[:side, :side]
    source = np.linalg.inv(linear) @ (np.stack([xx.ravel(), y.ravel()]) - offset[:, None])
    plane = x[0, 0].double().numpy()
    bent = ndimage.map_coordinates(plane, source[::-1], order=1, mode="mirror")
    field = 2 * draws.uniform(2, side, side, part="field")[0].double().numpy() - 1
    dx, dy = (
        amplitude * ndimage.gaussian_filter(f, sigma, mode="reflect", truncate=3) for f in field
    )
    expected = ndimage.map_coordinates(
        bent.reshape(side, side), [y + dy, xx + dx], order=1, mode="reflect"
    )
    got = elastic_transform(x, draws, amplitude, sigma, jitter)[0, 0].double().numpy()
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_fog_is_its_formula_over_a_plasma_from_zero_to_one() -> None:
    x, draws = noise(4, 3, 32, 32), Draws("fog", tuple("0123"), 0)
    cloud = plasma(draws, 32, 32, 1.7)
    assert cloud.amin(dim=(2, 3)).flatten().tolist() == [0] * 4
    assert cloud.amax(dim=(2, 3)).flatten().tolist() == [1] * 4
    most = x.amax(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(corrupted("fog", 3, x), (x + 2.5 * cloud) * most / (most + 2.5))


def test_plasma_is_diamond_and_square_by_hand() -> None:
    """On 2 x 2 there is one step: a corner of 0, its centre and two edges."""
    draws = Draws("fog", ("a",), 0)
    u = 1e4 * (2 * draws.uniform(2, 2, part="plasma")[0].double() - 1)
    centre = u[1, 1]
    field = torch.tensor([[0, centre / 2 + u[0, 1]], [centre / 2 + u[1, 0], centre]])
    expected = (field - field.min()) / (field.max() - field.min())
    torch.testing.assert_close(plasma(draws, 2, 2, 2)[0, 0].double(), expected.double())


def test_plasma_is_rougher_with_a_slower_decay() -> None:
    draws = Draws("fog", tuple("abcdef"), 0)
    rough, smooth = (plasma(draws, 64, 64, d).diff(dim=3).abs().mean() for d in (1.4, 3))
    assert rough > 2 * smooth


def test_frost_has_the_colour_and_spread_that_it_states() -> None:
    ice = (corrupted("frost", 1, torch.zeros(6, 3, 96, 96)) / 0.4).double()
    mean, spread = ice.mean(dim=(0, 2, 3)), ice.std(dim=(2, 3)).mean(dim=0)
    np.testing.assert_allclose(mean, [0.57, 0.66, 0.70], atol=0.01)
    np.testing.assert_allclose(spread, 0.11, atol=0.01)


def test_snow_keeps_the_share_of_the_image_and_only_adds_light() -> None:
    x = noise(4, 3, 64, 64)
    y = corrupted("snow", 2, x)
    floor = 0.7 * x + 0.3 * x.maximum(
        (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True) * 1.5
        + 0.5
    )
    assert bool((y >= floor.clamp(0, 1) - 1e-6).all())
    layer = corrupted("snow", 2, torch.zeros(1, 1, 64, 64)) - 0.3 * 0.5
    torch.testing.assert_close(layer, layer.rot90(2, dims=(2, 3)))


def test_canny_finds_the_outline_of_a_square() -> None:
    image = np.zeros((20, 20), dtype=np.float32)
    image[5:15, 5:15] = 200
    edges = _canny(image, 50, 150)
    assert not edges[7:13, 7:13].any()
    assert not edges[:3].any()
    assert edges[:, 10].sum() == edges[10].sum() == 2
    assert ndimage.label(edges, structure=np.ones((3, 3)))[1] == 1
    assert not _canny(image * np.float32(0.05), 50, 150).any()


def test_mud_covers_and_water_brightens() -> None:
    x = noise(4, 3, 64, 64)
    water, mud = (corrupted("spatter", s, x) for s in (3, 5))
    assert bool((water >= x - 1e-6).all())
    assert bool((water > x).any())
    hidden = (mud - x).abs().amax(dim=1) > 1e-3
    assert 0.01 < hidden.double().mean() < 0.5
    brown = mud.permute(0, 2, 3, 1)[hidden].mean(dim=0)
    assert brown[0] > brown[1] > brown[2]
