"""Images on a volume, one folder per class; whatever lies there is taken for hostile."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from interplay_runner.errors import DataError, one_line

if TYPE_CHECKING:
    from interplay_api.library import DatasetSpec

__all__ = ["ImageFolderSource", "file_list_digest"]

SUFFIXES = frozenset(("jpg", "jpeg", "png", "bmp", "gif", "pgm", "ppm", "tif", "tiff", "webp"))
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Pillow may try only these: others, such as EPS, start programs."""
MAX_PIXELS = 80_000_000
"""More in one image is taken for a decompression bomb: this many are 240 MB when decoded."""
MAX_RATIO = 200
"""Of the sides: resizing the short side blows up the long one."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def natural_key(name: str) -> list[tuple[int, str]]:
    """Order of class folders, timm's: runs of digits count as numbers, so 2 stands before 10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts] + [(-1, name)]


class ImageFolderSource:
    """One folder per class, searched in depth; `labelMap` or natural order gives the labels.

    The id of a sample is its path below the root. Hidden files and other suffixes are passed over,
    EXIF rotation is not applied and of an animation the first frame counts (all as timm does).
    """

    def __init__(self, spec: DatasetSpec, root: Path = Path("/")) -> None:
        assert spec.image_folder is not None
        path = root / spec.image_folder.path.lstrip("/")
        if not path.is_dir():
            raise DataError(f"spec.imageFolder.path: no folder {spec.image_folder.path}")
        self._root = path.resolve()
        labels = _labels(str(self._root), spec)
        files: list[tuple[str, int]] = []
        for folder, label in labels.items():
            found = [(name, label) for name in _images(str(self._root), folder)]
            if not found:
                raise DataError(f"spec.imageFolder.path: no image in class folder {folder!r}")
            files += found
        files.sort()
        self.ids = [name for name, _ in files]
        self._labels = [label for _, label in files]
        self.num_classes = spec.num_classes or max(labels.values()) + 1
        if spec.revision is not None and DIGEST.fullmatch(spec.revision):
            digest = file_list_digest(self._root, self.ids)
            if digest != spec.revision:
                raise DataError(f"spec.revision: the list of files gives {digest}")

    def load(self, index: int) -> tuple[Image.Image, int]:
        """Decode one file; its error names it."""
        name = self.ids[index]
        try:
            return _decode(self._root / name), self._labels[index]
        except Exception as error:  # on hostile bytes a decoder may raise anything
            raise DataError(f"imageFolder {name!r}: {one_line(error)}") from error


def file_list_digest(root: Path, names: list[str]) -> str:
    """A revision: SHA-256 over `<path>\\t<bytes>\\n` of every image, sorted by path.

    It sees images that come, go or change in size, for the price of no read.
    """
    lines = (f"{name}\t{(root / name).stat().st_size}\n" for name in sorted(names))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def _labels(root: str, spec: DatasetSpec) -> dict[str, int]:
    """Label of every class folder."""
    folders = sorted((e.name for e in _entries(root, root) if e.is_dir()), key=natural_key)
    if not folders:
        raise DataError("spec.imageFolder.path: no class folder in it")
    wanted = spec.label_map
    if wanted is None:
        labels = {name: label for label, name in enumerate(folders)}
        if spec.num_classes not in (None, len(labels)):
            raise DataError(
                f"spec.numClasses: {spec.num_classes}, but {len(labels)} folders and no labelMap"
            )
        return labels
    for name in wanted:
        if name not in folders:
            raise DataError(f"spec.labelMap: no class folder {name!r}")
    for name in folders:
        if name not in wanted:
            raise DataError(f"spec.labelMap: class folder {name!r} is not in it")
    if spec.num_classes is not None and max(wanted.values()) >= spec.num_classes:
        raise DataError(f"spec.labelMap: {max(wanted.values())} is not below numClasses")
    return dict(wanted)


def _entries(root: str, folder: str) -> Iterator[os.DirEntry[str]]:
    """What is not hidden in a folder; a link that leaves the root is an error."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = os.path.relpath(entry.path, root)
            if not name.isprintable():
                raise DataError(f"spec.imageFolder.path: unprintable file name {name!a}")
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                raise DataError(f"spec.imageFolder.path: the link {name!r} leaves the folder")
            yield entry


def _images(root: str, folder: str) -> Iterator[str]:
    """Paths below the root of all images of one class."""
    pending = [f"{root}/{folder}"]
    while pending:
        for entry in _entries(root, pending.pop()):
            name = os.path.relpath(entry.path, root)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.is_dir():
                raise DataError(f"spec.imageFolder.path: {name!r} is a link to a folder")
            elif name.rpartition(".")[2].lower() in SUFFIXES:
                yield name


def _decode(path: Path) -> Image.Image:
    if not path.is_file():
        raise OSError("not a regular file")
    with Image.open(path, formats=FORMATS) as image:
        short, long = sorted(image.size)
        if short * long > MAX_PIXELS or long > MAX_RATIO * short:
            raise ValueError(f"{image.width} x {image.height} pixels are too many or too thin")
        return image.convert("L" if image.mode == "L" else "RGB")
