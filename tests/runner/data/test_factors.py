"""Factor files: small ones in the published formats, and what hostile ones may hold."""

from __future__ import annotations

import hashlib
import io
import itertools
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from interplay_api.plan import PlanDataset
from interplay_runner.data import Source, open_source
from interplay_runner.data.factors import MPI3D_GRIDS
from interplay_runner.errors import DataError

SEED = 17
Arrays = dict[str, npt.NDArray[Any]]


def opened(root: Path, form: str, file: str, **fields: object) -> Source:
    spec = {"factorFile": {"path": "/data", "file": file, "format": form}, **fields}
    return open_source(PlanDataset.model_validate({"name": "toys", "spec": spec}), root)


def dsprites() -> Arrays:
    """Two colours, 3 shapes, 2 of everything else, as `numpy.savez_compressed` was given them."""
    print("seed", SEED)
    table = list(itertools.product(range(2), range(3), range(2), range(2), range(2), range(2)))
    rng = np.random.default_rng(SEED)
    return {
        "metadata": np.array({"author": "somebody"}, dtype=object),
        "imgs": rng.integers(0, 2, (len(table), 6, 5), dtype=np.uint8),
        "latents_classes": np.array(table, dtype=np.int64),
        "latents_values": np.array(table, dtype=np.float64),
    }


def save(path: Path, arrays: Arrays, how: Any = np.savez_compressed) -> None:
    how(path, **arrays)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
def test_dsprites(root: Path, how: Any) -> None:
    arrays = dsprites()
    path = root / "data" / "small.npz"
    save(path, arrays, how)
    revision = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    source = opened(root, "dsprites", path.name, revision=revision, size=96, numClasses=3)
    assert (source.ids[0], source.ids[-1]) == ("dsprites-0000000", "dsprites-0000095")
    for index in (0, 17, 95):
        image, label = source.load(index)
        assert (image.mode, label) == ("L", arrays["latents_classes"][index, 1])
        np.testing.assert_array_equal(np.asarray(image), arrays["imgs"][index] * 255)
    names = ["color", "shape", "scale", "orientation", "x", "y"]
    assert [*source.columns] == [f"factor_{name}" for name in names]
    for k, column in enumerate(source.columns.values()):
        np.testing.assert_array_equal(column, arrays["latents_classes"][:, k])
    with pytest.raises(DataError, match=r"spec.revision: the file is sha256:"):
        opened(root, "dsprites", path.name, revision="sha256:" + "0" * 64)


def test_a_header_of_python_2_is_read(root: Path) -> None:
    arrays = dsprites()
    with zipfile.ZipFile(root / "data" / "old.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("imgs", "latents_classes"):
            stream = io.BytesIO()
            np.lib.format.write_array(stream, arrays[name], version=(1, 0))
            raw = stream.getvalue()
            head, tail = raw[:128], raw[128:]
            shape = str(arrays[name].shape)
            old = head.replace(shape.encode(), shape.replace(",", "L,").replace(")", "L)").encode())
            grown = len(old) - len(head)
            archive.writestr(f"{name}.npy", old.replace(b" " * grown + b"\n", b"\n") + tail)
    source = opened(root, "dsprites", "old.npz", size=96)
    np.testing.assert_array_equal(np.asarray(source.load(5)[0]), arrays["imgs"][5] * 255)


def test_mpi3d(root: Path) -> None:
    assert all(np.prod(grid) == n for n, grid in MPI3D_GRIDS.items())
    n = 460_800
    grid = MPI3D_GRIDS[n]
    images = np.arange(n, dtype=np.uint32)[:, None].view(np.uint8)[:, :3].reshape(n, 1, 1, 3)
    np.savez(root / "data" / "mpi3d.npz", images=images)
    source = opened(root, "mpi3d", "mpi3d.npz", numClasses=4)
    index = n - 12_345
    image, label = source.load(index)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), images[index])
    values = [int(c[index]) for c in source.columns.values()]
    assert label == values[1]
    assert int(np.ravel_multi_index(values, grid)) == index
    assert [c.max() + 1 for c in source.columns.values()] == list(grid)


def shapes3d(path: Path, **options: Any) -> Arrays:
    """3 values of orientation, 2 of each other factor."""
    steps = [(0.0, 0.1), (0.0, 0.5), (0.2, 0.9), (0.75, 1.25), (0.0, 1.0), (-30.0, 0.0, 30.0)]
    labels = np.array(list(itertools.product(*steps)))
    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
        file.create_dataset("labels", data=labels)
    return {"images": images, "labels": labels}


def test_shapes3d(root: Path) -> None:
    arrays = shapes3d(root / "data" / "3dshapes.h5", compression="gzip", shuffle=True)
    source = opened(root, "shapes3d", "3dshapes.h5", numClasses=2, size=96)
    assert [c.max() + 1 for c in source.columns.values()] == [2, 2, 2, 2, 2, 3]
    for index in (0, 50, 95):
        image, label = source.load(index)
        np.testing.assert_array_equal(np.asarray(image), arrays["images"][index])
        assert label == arrays["labels"][index, 4]
        turn = source.columns["factor_orientation"][index]
        assert turn == arrays["labels"][index, 5] / 30 + 1


def test_without_h5py_the_format_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes3d(root / "data" / "3dshapes.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"spec.factorFile.format: shapes3d needs h5py"):
        opened(root, "shapes3d", "3dshapes.h5")


def spoil_npz(path: Path, kind: str) -> None:
    """Write dSprites with something wrong."""
    arrays = dsprites()
    imgs = arrays["imgs"]
    wrong: Arrays = {
        "object": {"imgs": np.array([print] * 96, dtype=object)},
        "float": {"imgs": imgs.astype(np.float32)},
        "flat": {"imgs": imgs.reshape(96, 30)},
        "colour": {"imgs": imgs[..., None].repeat(3, axis=3)},
        "fewer": {"imgs": imgs[:95]},
        "none": {"imgs": imgs[:0], "latents_classes": arrays["latents_classes"][:0]},
        "negative": {"latents_classes": arrays["latents_classes"] - 1},
        "columns": {"latents_classes": arrays["latents_classes"][:, :5]},
        "real": {"latents_classes": arrays["latents_values"]},
        "fortran": {"imgs": np.asfortranarray(imgs)},
    }.get(kind, {})
    if kind == "missing":
        del arrays["imgs"]
    save(path, arrays | wrong)
    whole = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "garbage":
        path.write_bytes(b"\x93NUMPY" * 100)
    elif kind == "damaged":
        middle = whole.index(b"imgs.npy") + 200
        path.write_bytes(whole[:middle] + bytes(40) + whole[middle + 40 :])
    elif kind in ("bomb", "short", "long header"):
        head = io.BytesIO()
        n = 96 if kind != "bomb" else 10**6
        shape = {"descr": "|u1", "fortran_order": False, "shape": (n, 6, 5 if n < 99 else 4000)}
        one, two = np.lib.format.write_array_header_1_0, np.lib.format.write_array_header_2_0
        (two if kind == "long header" else one)(head, shape)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("imgs.npy", head.getvalue() + bytes(10))
            stream = io.BytesIO()
            np.save(stream, arrays["latents_classes"])
            archive.writestr("latents_classes.npy", stream.getvalue())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("object", "no plain array of numbers"),
        ("float", "images are float32 (96, 6, 5), not uint8 [n, h, w]"),
        ("flat", "images are uint8 (96, 30), not uint8 [n, h, w]"),
        ("colour", "images are uint8 (96, 6, 5, 3), not uint8 [n, h, w]"),
        ("fewer", "factors of shape (96, 6), not (95, 6)"),
        ("none", "no plain array of numbers"),
        ("negative", "values of factors are not in [0, 1000)"),
        ("columns", "latents_classes are int64 (96, 5), not int64 [n, 6]"),
        ("real", "latents_classes are float64 (96, 6), not int64 [n, 6]"),
        ("fortran", "no plain array of numbers"),
        ("missing", "no item named 'imgs.npy'"),
        ("truncated", "BadZipFile"),
        ("garbage", "BadZipFile"),
        ("damaged", "rror"),
        ("bomb", "24,000,000,000 bytes are more than the 17,179,869,184 that are allowed"),
        ("short", "138 bytes, not the 3008 of (96, 6, 5)"),
        ("long header", "npy format 2.0, not 1.0"),
    ],
)
def test_a_hostile_npz_is_named_in_one_line(root: Path, kind: str, message: str) -> None:
    spoil_npz(root / "data" / "bad.npz", kind)
    with pytest.raises(DataError) as caught:
        opened(root, "dsprites", "bad.npz")
    text = str(caught.value)
    assert text.startswith("dataset toys: spec.factorFile.file: bad.npz: ")
    assert message in text
    assert "\n" not in text


def test_unpacking_needs_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(root / "data" / "a.npz", dsprites())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DataError, match=r"but 10 are free in the temporary folder"):
        opened(root, "dsprites", "a.npz")


def test_nothing_is_left_in_the_temporary_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = root / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    save(root / "data" / "a.npz", dsprites())
    source = opened(root, "dsprites", "a.npz")
    assert source.load(3)
    assert not list(place.iterdir())


def spoil_h5(root: Path, kind: str) -> None:
    path, other = root / "data" / "bad.h5", root / "secret"
    shapes3d(path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
        return
    with h5py.File(path, "r+") as file:
        shape = file["images"].shape
        if kind == "nan":
            file["labels"][3, 2] = np.nan
            return
        del file["images"]
        if kind == "outside":
            other.write_bytes(bytes(10**5))
            file.create_dataset("images", shape, "u1", external=[(str(other), 0, 10**5)])
        elif kind == "link":
            file["images"] = h5py.ExternalLink(str(other), "images")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "u1")
            layout[:] = h5py.VirtualSource(str(other), "images", shape)
            file.create_virtual_dataset("images", layout)
        elif kind == "filter":
            file.create_dataset("images", shape, "u1", compression="lzf")
        elif kind == "chunk":
            huge = (96, 1024, 1024, 3)
            file.create_dataset("images", huge, "u1", chunks=huge, compression="gzip")
        elif kind == "group":
            file.create_group("images")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "OSError"),
        ("missing", "images is not in the file itself"),
        ("link", "images is not in the file itself"),
        ("outside", "images is no plain dataset of the file"),
        ("virtual", "images is no plain dataset of the file"),
        ("group", "images is no plain dataset of the file"),
        ("filter", "images is packed by filters [32000]"),
        ("chunk", "images comes in pieces of (96, 1024, 1024, 3)"),
        ("nan", "labels are not finite"),
    ],
)
def test_a_hostile_h5_is_named_in_one_line(root: Path, kind: str, message: str) -> None:
    spoil_h5(root, kind)
    with pytest.raises(DataError) as caught:
        opened(root, "shapes3d", "bad.h5")
    text = str(caught.value)
    assert text.startswith("dataset toys: spec.factorFile.file: bad.h5: ")
    assert message in text
    assert "\n" not in text


def test_other_numbers_of_images_are_no_grid(root: Path) -> None:
    np.savez(root / "data" / "a.npz", images=np.zeros((7, 2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="7 images, not the 1,036,800 or 460,800 of a full grid"):
        opened(root, "mpi3d", "a.npz")


def test_pixels_of_dsprites_are_binary(root: Path) -> None:
    arrays = dsprites()
    arrays["imgs"][4] = 7
    save(root / "data" / "a.npz", arrays)
    with pytest.raises(DataError, match=r"^factorFile dsprites-0000004: .*0 or 1"):
        opened(root, "dsprites", "a.npz").load(4)


def test_a_file_that_shrinks_later_is_an_error(root: Path) -> None:
    path = root / "data" / "a.npz"
    save(path, dsprites(), np.savez)
    source = opened(root, "dsprites", "a.npz")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"^factorFile dsprites-0000095: EOFError: the file ends"):
        source.load(95)


def test_the_file_is_in_the_folder(root: Path) -> None:
    save(root / "a.npz", dsprites())
    (root / "data" / "a.npz").symlink_to(root / "a.npz")
    for name, message in (("a.npz", "the link a.npz leaves"), ("b.npz", "no file b.npz")):
        with pytest.raises(DataError, match=f"spec.factorFile.file: {message}"):
            opened(root, "dsprites", name)
    with pytest.raises(DataError, match=r"spec.labelMap: only an imageFolder"):
        opened(root, "dsprites", "b.npz", labelMap={"a": 0})
