"""Patches of photographs: the pixels of the files, cut where no two overlap."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interplay_runner.data import photos
from interplay_runner.data.photos import PhotosSource
from interplay_runner.errors import DataError


def test_patches_are_those_of_the_photographs() -> None:
    source = PhotosSource()
    assert len(source.ids) == len(set(source.ids)) == 300
    assert (source.ids[0], source.ids[-1]) == ("china-00-00", "flower-14-09")
    labels = [source.load(i)[1] for i in range(300)]
    assert Counter(labels) == {0: 150, 1: 150}
    assert np.array(["china", "flower"])[labels].tolist() == source.columns["photo"].tolist()
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    with Image.open(Path(package.origin).parent / "datasets" / "images" / "flower.jpg") as file:
        whole = np.asarray(file)
    for name, x, y in (("flower-08-03", 336, 126), ("flower-07-03", 294, 126)):
        index = source.ids.index(name)
        image, _ = source.load(index)
        expected = Image.fromarray(whole[y : y + 32, x : x + 32])
        if source.columns["colour"][index] == "grey":
            expected = expected.convert("L")
        assert image.mode == expected.mode
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert Counter(source.columns["colour"].tolist()) == {"rgb": 150, "grey": 150}


def test_no_two_patches_overlap_and_all_lie_inside() -> None:
    assert photos.STEP >= photos.SIDE
    assert (photos.COLUMNS - 1) * photos.STEP + photos.SIDE <= 640
    assert (photos.ROWS - 1) * photos.STEP + photos.SIDE <= 427


def test_other_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "PHOTOS_REVISION", "sha256:0")
    photos._photos.cache_clear()
    with pytest.raises(DataError, match=r"spec.embedded.name: the photos are not the files"):
        PhotosSource()
