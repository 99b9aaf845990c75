"""Images on a volume, one folder per class; whatever lies there is taken for hostile."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from interplay_runner.errors import DataError, one_line

from .metadata import Metadata, read_metadata

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
    """One folder per class, searched in depth; `labelMap`, `labelSets` or natural order labels it.

    The id of a sample is its path below the root. Hidden files and other suffixes are passed over,
    EXIF rotation is not applied and of an animation the first frame counts (all as timm does).
    Folders above those of the classes become columns where `levels` names them; a metadata file
    brings further columns, and all right classes of each sample where it has a column `labels`.
    """

    def __init__(self, spec: DatasetSpec, root: Path = Path("/")) -> None:
        where = spec.image_folder
        assert where is not None
        path = root / where.path.lstrip("/")
        if not path.is_dir():
            raise DataError(f"spec.imageFolder.path: no folder {where.path}")
        self._root = path.resolve()
        levels = tuple(where.levels or ())
        if len(set(levels)) < len(levels):
            raise DataError("spec.imageFolder.levels: a column is named twice")
        folders = _class_folders(str(self._root), len(levels))
        classes = _classes({name for _, name in folders}, spec)
        files = sorted(_files(str(self._root), folders, classes))
        self.ids = [name for name, _ in files]
        self._labels = [classes[folder][0] for _, folder in files]
        self.columns: dict[str, npt.NDArray[np.generic]] = _level_columns(self.ids, levels)
        self.label_sets: Sequence[Sequence[int]] | None = None
        if spec.label_sets is not None:
            self.label_sets = [classes[folder] for _, folder in files]
        self._metadata: Metadata | None = None
        if where.metadata is not None:
            self._take(read_metadata(self._root, where.metadata, self.ids), spec)
        sets = [*classes.values(), *(self.label_sets or ())]
        self.num_classes = spec.num_classes or max(c for s in sets for c in s) + 1
        self._check_revision(spec.revision)

    def _take(self, metadata: Metadata, spec: DatasetSpec) -> None:
        """Join what the metadata says with what the folders say."""
        both = self.columns.keys() & metadata.columns.keys()
        if both:
            raise DataError(f"spec.imageFolder.metadata: column {min(both)} is one of levels too")
        self._metadata = metadata
        self.columns |= metadata.columns
        if metadata.label_sets is not None:
            if self.label_sets is not None:
                raise DataError("spec.labelSets: the metadata has a column labels too")
            _check_below(spec, "imageFolder.metadata", metadata.label_sets)
            self.label_sets = metadata.label_sets

    def _check_revision(self, revision: str | None) -> None:
        if revision is not None and DIGEST.fullmatch(revision):
            read = {self._metadata.name: self._metadata.digest} if self._metadata else {}
            digest = file_list_digest(self._root, self.ids, read)
            if digest != revision:
                raise DataError(f"spec.revision: the list of files gives {digest}")

    def load(self, index: int) -> tuple[Image.Image, int]:
        """Decode one file; its error names it."""
        name = self.ids[index]
        try:
            return _decode(self._root / name), self._labels[index]
        except Exception as error:  # on hostile bytes a decoder may raise anything
            raise DataError(f"imageFolder {name!r}: {one_line(error)}") from error


def file_list_digest(
    root: Path, names: Sequence[str], read: Mapping[str, str] | None = None
) -> str:
    """A revision: SHA-256 over `<path>\\t<bytes>\\n` of every image, sorted by path.

    It sees images that come, go or change in size, for the price of no read. A metadata file is
    read anyway, so it counts by content, as a last line `<name>\\tsha256:<hex>\\n` (`read`).
    """
    lines = [f"{name}\t{(root / name).stat().st_size}\n" for name in sorted(names)]
    lines += [f"{name}\t{digest}\n" for name, digest in sorted((read or {}).items())]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def _class_folders(root: str, depth: int) -> list[tuple[str, str]]:
    """(path below the root, name) of every class folder, `depth` levels down."""
    parents = [root]
    for _ in range(depth):
        parents = [e.path for p in parents for e in _folders(root, p)]
    found = [(os.path.relpath(e.path, root), e.name) for p in parents for e in _folders(root, p)]
    if not found:
        raise DataError("spec.imageFolder.path: no class folder in it")
    return found


def _folders(root: str, parent: str) -> list[os.DirEntry[str]]:
    return [e for e in _entries(root, parent) if e.is_dir()]


def _files(
    root: str, folders: Iterable[tuple[str, str]], classes: Mapping[str, object]
) -> Iterator[tuple[str, str]]:
    """(path below the root, class folder) of every image of the classes."""
    empty = dict.fromkeys(classes)
    for path, name in folders:
        if name in classes:
            for image in _images(root, path):
                empty.pop(name, None)
                yield image, name
    for name in empty:
        raise DataError(f"spec.imageFolder.path: no image in class folder {name!r}")


def _level_columns(ids: Sequence[str], levels: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
    """What the folders above the class folders are called, one str column per level."""
    parts = [i.split("/", len(levels))[:-1] for i in ids] if levels else []
    return {name: np.array([p[i] for p in parts]) for i, name in enumerate(levels)}


def _classes(found: Collection[str], spec: DatasetSpec) -> dict[str, Sequence[int]]:
    """Class folder to the classes that are right for it, the label first."""
    folders = sorted(found, key=natural_key)
    if spec.label_sets is not None:
        # Folders that it does not name have no class: of ObjectNet's 313, 113 are in ImageNet.
        _check_named("labelSets", spec.label_sets, folders)
        sets = {name: tuple(dict.fromkeys(s)) for name, s in spec.label_sets.items()}
        _check_below(spec, "labelSets", sets.values())
        return {**sets}
    if spec.label_map is None:
        if spec.num_classes not in (None, len(folders)):
            raise DataError(
                f"spec.numClasses: {spec.num_classes}, but {len(folders)} folders and no labelMap"
            )
        return {name: (label,) for label, name in enumerate(folders)}
    _check_named("labelMap", spec.label_map, folders)
    for name in folders:
        if name not in spec.label_map:
            raise DataError(f"spec.labelMap: class folder {name!r} is not in it")
    single = {name: (label,) for name, label in spec.label_map.items()}
    _check_below(spec, "labelMap", single.values())
    return {**single}


def _check_named(field: str, wanted: Iterable[str], folders: Collection[str]) -> None:
    for name in wanted:
        if name not in folders:
            raise DataError(f"spec.{field}: no class folder {name!r}")


def _check_below(spec: DatasetSpec, field: str, sets: Iterable[Sequence[int]]) -> None:
    top = max((c for s in sets for c in s), default=0)
    if spec.num_classes is not None and top >= spec.num_classes:
        raise DataError(f"spec.{field}: {top} is not below numClasses")


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
    """Paths below the root of all images in one class folder."""
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
