"""Every corruption: shape, range, seeds, independence of the batch, growth with severity."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional

from interplay_runner.corruptions import CORRUPTIONS
from interplay_runner.corruptions.constants import (
    ALEXNET_CLEAN,
    ALEXNET_ERROR,
    COMMON,
    EXTRA,
    FIGURES,
    SEVERITIES,
)
from interplay_runner.measurement import UnmeasurableError, View
from interplay_runner.views import apply_view

KINDS = (*COMMON, *EXTRA)
RANDOM = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "glass_blur",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "elastic_transform",
    "speckle_noise",
    "spatter",
}
"""Those that differ from sample to sample; the others are functions of the image."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def photo(channels: int, height: int, width: int) -> Tensor:
    """Four crops of a photograph, float32 [4, C, H, W]."""
    pixels = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1).float() / 255
    crops = torch.stack([pixels[:, 40:300, x : x + 260] for x in (0, 120, 240, 360)])
    small = functional.interpolate(crops, size=(height, width), mode="bilinear", antialias=True)
    return small if channels == 3 else small.mean(dim=1, keepdim=True)


def corrupted(kind: str, severity: int, x: Tensor, size: int, seed: int = 0) -> Tensor:
    names = [f"sample-{i}" for i in range(len(x))]
    return apply_view(View.of(kind, severity=severity, size=size), x, names, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("channels", "height", "width", "size"),
    [(3, 32, 32, 32), (1, 33, 47, 32), (3, 61, 40, 224), (1, 7, 5, 224), (3, 1, 2, 32)],
)
def test_shape_range_and_rows_by_themselves(
    kind: str, channels: int, height: int, width: int, size: int
) -> None:
    x = photo(channels, height, width)
    before = x.clone()
    for severity in (1, 5):
        y = corrupted(kind, severity, x, size)
        assert (y.shape, y.dtype) == (x.shape, torch.float32)
        assert 0 <= y.min() <= y.max() <= 1
        view = View.of(kind, severity=severity, size=size)
        alone = apply_view(view, x[2:3], ["sample-2"], 0)
        # Matrix products may be summed in another order in a batch of another size.
        torch.testing.assert_close(alone, y[2:3], atol=2e-6, rtol=0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again_and_random_only_where_it_should_be(kind: str) -> None:
    x = photo(3, 32, 32)[:1].expand(2, -1, -1, -1)
    y = corrupted(kind, 3, x, 32)
    assert torch.equal(corrupted(kind, 3, x, 32), y)
    assert torch.equal(y[0], y[1]) == (kind not in RANDOM)
    assert torch.equal(corrupted(kind, 3, x, 32, seed=1), y) == (kind not in RANDOM)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("saturate", "elastic_transform")])
@pytest.mark.parametrize(("side", "size"), [(96, 224), (32, 32)])
def test_a_higher_severity_is_farther_from_the_image(kind: str, side: int, size: int) -> None:
    """Distances of severities that change several figures at once may be about alike."""
    x = photo(3, side, side)
    distance = [float((corrupted(kind, s, x, size) - x).square().mean()) for s in SEVERITIES]
    print(kind, distance)
    slack = 0.75 if len(FIGURES[kind][size][0]) > 1 else 1  # type: ignore[index]
    assert all(b >= slack * a for a, b in pairwise(distance))
    assert distance[-1] > 1.2 * distance[0] > 0


def test_elastic_severities_grow_where_their_figures_do() -> None:
    """The published ones trade a large affine map for sharp ripples, so not all of them can."""
    x = photo(3, 96, 96)
    three, four, five = (
        (corrupted("elastic_transform", s, x, 224) - x).square().mean() for s in (3, 4, 5)
    )
    assert 0 < three < four < five
    ripples = [corrupted("elastic_transform", s, x, 32).diff(dim=3).abs().mean() for s in (2, 5)]
    assert ripples[1] > ripples[0]


def test_a_grey_image_in_three_channels_is_the_grey_image() -> None:
    """What needs no colour treats one channel as three equal ones."""
    x = photo(1, 32, 32)
    for kind in ("defocus_blur", "snow", "fog", "brightness", "contrast", "pixelate", "zoom_blur"):
        one = corrupted(kind, 4, x, 32)
        three = corrupted(kind, 4, x.expand(-1, 3, -1, -1), 32)
        torch.testing.assert_close(three, one.expand(-1, 3, -1, -1), atol=1e-6, rtol=0)


def test_the_figures_are_whole() -> None:
    assert len(COMMON) == 15
    assert set(CORRUPTIONS) == set(FIGURES) == set(KINDS)
    assert set(ALEXNET_ERROR) == set(COMMON)
    assert all(ALEXNET_CLEAN < error < 1 for error in ALEXNET_ERROR.values())
    for figures in FIGURES.values():
        assert set(figures) == {224, 32}
        assert all(len(f) == 5 and len({len(row) for row in f}) == 1 for f in figures.values())


@pytest.mark.parametrize(
    "params",
    [
        {"severity": 0},
        {"severity": 6},
        {"severity": 2.5},
        {"severity": 1, "size": 64},
        {"severity": 1, "size": 224.5},
        {},
        {"severity": 1, "sigma": 1},
    ],
)
def test_what_was_not_published_is_a_reason(params: dict[str, float]) -> None:
    with pytest.raises(UnmeasurableError, match="fog"):
        apply_view(View.of("fog", **params), photo(3, 32, 32), ["a"] * 4, 0)


def test_four_channels_are_a_reason() -> None:
    with pytest.raises(UnmeasurableError, match="channels"):
        apply_view(View.of("fog", severity=1), torch.rand(1, 4, 8, 8), ["a"], 0)
