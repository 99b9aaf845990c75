"""Image folders: order and labels, and whatever hostile thing may lie in one."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interplay_api.plan import PlanDataset
from interplay_runner.data import Source, folder, open_source
from interplay_runner.errors import DataError


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 1).save(path, **options)  # type: ignore[arg-type]
    return path


def opened(root: Path, **fields: object) -> Source:
    spec = {"imageFolder": {"path": "/set"}, **fields}
    return open_source(PlanDataset.model_validate({"name": "pets", "spec": spec}), root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("10", "9", "2"):
        save(tmp_path / "set" / name / "a.png")
    return tmp_path


def test_folders_count_as_numbers_and_ids_are_paths(root: Path) -> None:
    save(root / "set" / "2" / "deep" / "B.JPEG")
    source = opened(root)
    labels = {i: source.load(n)[1] for n, i in enumerate(source.ids)}
    assert labels == {"2/a.png": 0, "2/deep/B.JPEG": 0, "9/a.png": 1, "10/a.png": 2}
    assert source.num_classes == 3


def test_a_label_map_decides(root: Path) -> None:
    source = opened(root, labelMap={"10": 7, "9": 0, "2": 3})
    assert {i: source.load(n)[1] for n, i in enumerate(source.ids)} == {
        "10/a.png": 7,
        "9/a.png": 0,
        "2/a.png": 3,
    }
    assert source.num_classes == 8
    assert opened(root, labelMap={"10": 7, "9": 0, "2": 3}, numClasses=1000).num_classes == 1000


def test_hidden_and_other_files_are_passed_over(root: Path) -> None:
    for name in (".hidden.png", "notes.txt"):
        (root / "set" / "2" / name).write_text("no image")
    (root / "set" / ".git").mkdir()
    assert opened(root, size=3).ids == ["10/a.png", "2/a.png", "9/a.png"]


def test_a_revision_pins_the_list_of_files(root: Path) -> None:
    revision = folder.file_list_digest(root / "set", ["2/a.png", "9/a.png", "10/a.png"])
    opened(root, revision=revision)
    opened(root, revision="v2 of May")  # a label of the user's own is not checked
    save(root / "set" / "9" / "b.png")
    with pytest.raises(DataError, match=r"spec.revision: the list of files gives sha256:"):
        opened(root, revision=revision)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", "png"), ("P", "gif"), ("LA", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("I;16", "png")],
)
def test_every_mode_becomes_rgb(root: Path, mode: str, suffix: str) -> None:
    path = save(root / "set" / "2" / f"b.{suffix}", mode)
    source = opened(root)
    image, _ = source.load(list(source.ids).index(f"2/b.{suffix}"))
    assert image.mode == "RGB"
    with Image.open(path) as theirs:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(theirs.convert("RGB")))


def test_exif_rotation_is_not_applied_as_in_timm(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "set" / "2" / "a.jpg", exif=exif)
    source = opened(root)
    assert source.load(list(source.ids).index("2/a.jpg"))[0].size == (6, 4)


def spoil(root: Path, kind: str) -> None:
    """Put something hostile into class folder 2."""
    path = root / "set" / "2" / "bad.png"
    if kind == "truncated":
        whole = save(path, size=(64, 64)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.touch()
    elif kind == "postscript":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    elif kind == "bomb":
        save(path, "1", (20_000, 20_000))
    elif kind == "thread":
        save(path, "1", (300, 1))
    elif kind == "fifo":
        os.mkfifo(path)


@pytest.mark.parametrize("kind", ["truncated", "empty", "postscript", "bomb", "thread", "fifo"])
def test_a_file_that_cannot_be_decoded_is_named(root: Path, kind: str) -> None:
    spoil(root, kind)
    source = opened(root)
    with pytest.raises(DataError, match=r"^imageFolder '2/bad.png': ") as caught:
        source.load(list(source.ids).index("2/bad.png"))
    assert "\n" not in str(caught.value)


def test_links_stay_inside(root: Path) -> None:
    outside = save(root / "secret.png")
    (root / "set" / "9" / "inside.png").symlink_to(root / "set" / "2" / "a.png")
    assert "9/inside.png" in opened(root).ids
    link = root / "set" / "9" / "b.png"
    link.symlink_to(outside)
    with pytest.raises(DataError, match=r"the link '9/b.png' leaves the folder"):
        opened(root)
    link.unlink()
    (root / "set" / "9" / "loop").symlink_to(root / "set", target_is_directory=True)
    with pytest.raises(DataError, match="'9/loop' is a link to a folder"):
        opened(root)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imageFolder": {"path": "/none"}}, "spec.imageFolder.path: no folder /none"),
        ({"numClasses": 4}, "spec.numClasses: 4, but 3 folders and no labelMap"),
        ({"size": 9}, "spec.size: found 3 samples, not 9"),
        ({"labelMap": {"2": 0, "9": 1}}, "spec.labelMap: class folder '10' is not in it"),
        (
            {"labelMap": {"2": 0, "9": 1, "10": 2, "11": 3}},
            "spec.labelMap: no class folder '11'",
        ),
        (
            {"labelMap": {"2": 0, "9": 1, "10": 5}, "numClasses": 5},
            "spec.labelMap: 5 is not below numClasses",
        ),
        ({"labelSets": {"11": [0]}}, "spec.labelSets: no class folder '11'"),
        (
            {"labelSets": {"2": [0, 5]}, "numClasses": 5},
            "spec.labelSets: 5 is not below numClasses",
        ),
        (
            {"imageFolder": {"path": "/set", "levels": ["a", "a"]}},
            "spec.imageFolder.levels: a column is named twice",
        ),
        (
            {"imageFolder": {"path": "/set", "levels": ["a"]}},
            "spec.imageFolder.path: no class folder in it",
        ),
    ],
)
def test_an_error_names_the_field(root: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(root, **fields)
    assert str(caught.value) == f"dataset pets: {message}"


def levelled(root: Path) -> Path:
    for corruption in ("fog", "blur"):
        for severity in ("1", "5"):
            for name in ("dog", "cat"):
                save(root / "set" / corruption / severity / name / "a.png")
    save(root / "set" / "fog" / "5" / "cat" / "deep" / "b.png")
    return root


def test_levels_are_columns_and_classes_are_those_of_all_of_them(tmp_path: Path) -> None:
    where = {"path": "/set", "levels": ["corruption", "severity"]}
    source = opened(levelled(tmp_path), imageFolder=where, size=9)
    for index, name in enumerate(source.ids):
        corruption, severity, label = name.split("/")[:3]
        assert source.columns["corruption"][index] == corruption
        assert source.columns["severity"][index] == severity
        assert source.load(index)[1] == {"cat": 0, "dog": 1}[label]
    assert "fog/5/cat/deep/b.png" in source.ids
    assert source.num_classes == 2
    (tmp_path / "set" / "fog" / "5" / "eel").mkdir()
    with pytest.raises(DataError, match="no image in class folder 'eel'"):
        opened(tmp_path, imageFolder=where)


def test_label_sets_label_with_their_first_and_pass_over_other_folders(root: Path) -> None:
    source = opened(root, labelSets={"10": [7, 3, 7], "2": [0]}, numClasses=9)
    assert source.ids == ["10/a.png", "2/a.png"]
    assert [source.load(i)[1] for i in range(2)] == [7, 0]
    assert source.label_sets == [(7, 3), (0,)]
    assert source.num_classes == 9
    assert opened(root, labelSets={"10": [7, 12]}).num_classes == 13
    assert opened(root).label_sets is None


def test_metadata_brings_columns_and_right_labels_and_is_pinned(root: Path) -> None:
    where = {"path": "/set", "metadata": "meta.csv"}
    file = root / "set" / "meta.csv"
    text = "id,income,labels\n2/a.png,10,\n9/a.png,20.5,1 4\n10/a.png,30,0\n"
    file.write_text(text)
    source = opened(root, imageFolder=where)
    assert source.ids == ["10/a.png", "2/a.png", "9/a.png"]
    assert source.columns["income"].tolist() == [30, 10, 20.5]
    assert source.label_sets == [[0], [], [1, 4]]
    assert [source.load(i)[1] for i in range(3)] == [2, 0, 1], "the folder stays the label"
    assert source.num_classes == 5
    read = {"meta.csv": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}
    revision = folder.file_list_digest(root / "set", source.ids, read)
    assert revision != folder.file_list_digest(root / "set", source.ids)
    opened(root, imageFolder=where, revision=revision)
    file.write_text(text.replace("20.5", "20.6"))
    with pytest.raises(DataError, match="the list of files gives sha256:"):
        opened(root, imageFolder=where, revision=revision)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labelSets": {"2": [0]}}, "spec.labelSets: the metadata has a column labels too"),
        ({"numClasses": 3}, "spec.imageFolder.metadata: 4 is not below numClasses"),
        ({"levels": ["income"]}, "spec.imageFolder.metadata: column income is one of levels too"),
    ],
)
def test_metadata_and_folders_must_agree(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    more = dict(fields)
    levels = more.pop("levels", ["region"])
    where = {"path": "/set", "metadata": "meta.csv", "levels": levels}
    for name in ("1", "2", "3"):
        save(tmp_path / "set" / "africa" / name / "a.png")
    lines = "".join(f"africa/{i}/a.png,10,4\n" for i in (1, 2, 3))
    (tmp_path / "set" / "meta.csv").write_text(f"id,income,labels\n{lines}")
    with pytest.raises(DataError) as caught:
        opened(tmp_path, imageFolder=where, **more)
    assert str(caught.value) == f"dataset pets: {message}"


def test_an_empty_class_is_an_error(root: Path) -> None:
    (root / "set" / "3").mkdir()
    with pytest.raises(DataError, match="no image in class folder '3'"):
        opened(root)
