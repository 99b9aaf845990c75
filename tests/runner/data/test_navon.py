"""Cue-conflict digits: every pair of classes equally often, pixels the product of both digits."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from interplay_runner.data.embedded import DigitsSource
from interplay_runner.data.navon import NAVON_REVISION, NavonSource


@pytest.fixture(scope="module")
def source() -> NavonSource:
    return NavonSource(DigitsSource("digits", "test"))


def test_every_pair_of_classes_stands_there_five_times(source: NavonSource) -> None:
    shape, texture = source.columns["shape"], source.columns["texture"]
    pairs = Counter(zip(shape.tolist(), texture.tolist(), strict=True))
    assert pairs == {(s, t): 5 for s in range(10) for t in range(10) if s != t}
    assert [source.load(i)[1] for i in range(450)] == shape.tolist()


def test_an_id_names_both_digits_and_none_is_used_twice_in_a_part(source: NavonSource) -> None:
    parts = [i.split("-of-") for i in source.ids]
    for part in zip(*parts, strict=True):
        assert len(set(part)) == 450
    digits = DigitsSource("digits", "test")
    for index in (0, 100, 449):
        large, small = (digits.load(digits.ids.index(i)) for i in parts[index])
        assert large[1] == source.columns["shape"][index]
        assert small[1] == source.columns["texture"][index]
        a, b = (np.asarray(x[0], dtype=float) / 255 for x in (large, small))
        image = np.asarray(source.load(index)[0], dtype=float) / 255
        tiles = image.reshape(8, 8, 8, 8).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(tiles, a[:, :, None, None] * b, atol=0.5 / 255)


def test_the_revision_is_that_of_ids_and_pixels(source: NavonSource) -> None:
    content = hashlib.sha256()
    for index, name in enumerate(source.ids):
        content.update(name.encode() + source.load(index)[0].tobytes())
    assert f"sha256:{content.hexdigest()}" == NAVON_REVISION
