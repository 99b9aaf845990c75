"""The drawn shapes: the same pixels for ever, one image per combination, nothing cut off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from interplay_runner.data.shapes import FACTORS, SHAPES_REVISION, ShapesSource, pixel_digest

SOURCE = ShapesSource()
PIXELS = np.stack([np.asarray(SOURCE.load(i)[0]) for i in range(len(SOURCE.ids))])


def image(**factors: int) -> npt.NDArray[np.int64]:
    chosen = [factors.get(name, size // 2) for name, size in FACTORS.items()]
    index = SOURCE.ids.index("shapes-" + "-".join(map(str, chosen)))
    pixels: npt.NDArray[np.int64] = PIXELS[index].astype(np.int64)
    return pixels


def test_the_revision_is_that_of_the_pixels() -> None:
    assert pixel_digest(SOURCE) == SHAPES_REVISION


def test_every_combination_is_there_once_and_looks_like_no_other() -> None:
    table = np.stack([SOURCE.columns[f"factor_{name}"] for name in FACTORS], axis=1)
    assert len(np.unique(table, axis=0)) == len(table) == np.prod(list(FACTORS.values()))
    assert table.max(axis=0).tolist() == [size - 1 for size in FACTORS.values()]
    assert len(np.unique(PIXELS.reshape(len(PIXELS), -1), axis=0)) == len(table)
    assert len(set(SOURCE.ids)) == len(table)
    assert [SOURCE.load(i)[1] for i in range(0, len(table), 97)] == table[::97, 0].tolist()


def test_the_frame_cuts_nothing_off() -> None:
    for edge in (PIXELS[:, 0], PIXELS[:, -1], PIXELS[:, :, 0], PIXELS[:, :, -1]):
        assert not edge.any()


def test_areas_are_those_of_the_shapes() -> None:
    for scale, radius in enumerate((5, 6, 7, 8)):
        for shape, area in ((0, (1.6 * radius) ** 2), (1, np.pi * radius**2 / 2)):
            for orientation in range(FACTORS["orientation"]):
                drawn = image(shape=shape, scale=scale, orientation=orientation).sum() / 255
                assert drawn == pytest.approx(area, rel=0.04)


def test_x_goes_right_and_y_down_by_two_pixels() -> None:
    rows, columns = np.indices((32, 32))
    for shape in range(FACTORS["shape"]):
        start, moved = image(shape=shape, x=1, y=1), image(shape=shape, x=4, y=2)
        total = start.sum()
        assert ((moved - start) * columns).sum() / total == pytest.approx(6)
        assert ((moved - start) * rows).sum() / total == pytest.approx(2)


def test_a_turn_is_counter_clockwise_and_a_square_ends_before_it_repeats() -> None:
    ellipse = image(shape=1, scale=3, orientation=4, x=3, y=3)  # by 45 degrees
    rows, columns = np.indices((32, 32)) - 15.5
    assert (ellipse * rows * columns).sum() < 0  # up on the right
    turned = image(shape=0, orientation=7, x=3, y=3)
    np.testing.assert_allclose(turned[:, ::-1], image(shape=0, orientation=1, x=3, y=3), atol=16)
