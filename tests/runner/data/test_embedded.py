"""The embedded digits: fixed splits that share nothing, read without importing scikit-learn."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from interplay_api.catalog import builtin_layer
from interplay_api.plan import PlanDataset
from interplay_runner.data import Source, open_source
from interplay_runner.errors import DataError


def digits(name: str, split: str = "test", **fields: object) -> Source:
    spec = {"embedded": {"name": name}, "split": split, **fields}
    return open_source(PlanDataset.model_validate({"name": name, "spec": spec}))


def test_the_splits_are_fixed_and_share_nothing() -> None:
    parts = [
        digits("digits", "test"),
        digits("digits", "validation"),
        digits("digits", "train"),
        digits("digits-late"),
    ]
    assert [len(p.ids) for p in parts] == [600, 100, 800, 297]
    assert len({i for p in parts for i in p.ids}) == 1797
    assert hashlib.sha256(" ".join(parts[0].ids).encode()).hexdigest()[:16] == "b02d128590f2586c"
    assert (parts[3].ids[0], parts[3].ids[-1]) == ("digits-1500", "digits-1796")
    for part in parts:
        assert {part.load(i)[1] for i in range(len(part.ids))} == set(range(10))


def test_pixels_and_labels_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    source = digits("digits")
    for index in (0, 17, 599):
        image, label = source.load(index)
        row = int(source.ids[index].removeprefix("digits-"))
        assert label == theirs.target[row]
        expected = np.rint(theirs.images[row] * 255 / 16).astype(np.uint8)
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_reading_does_not_import_scikit_learn() -> None:
    code = (
        "import sys; from interplay_runner.data.embedded import DigitsSource;"
        "DigitsSource('digits', 'test').load(0); sys.exit('sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("mnist", {}, "dataset mnist: spec.embedded.name: no mnist; there are digits, digits-late"),
        ("digits-late", {"split": "train"}, "spec.split: digits-late has no train; it has test"),
        ("digits", {"size": 601}, "spec.size: found 600 samples, not 601"),
        ("digits", {"numClasses": 9}, "spec.numClasses: found 10 classes, not 9"),
        ("digits", {"revision": "sha256:0"}, "spec.revision: digits is sha256:6ebb3d2f"),
        ("digits", {"labelMap": {"a": 0}}, "spec.labelMap: only an imageFolder has folders"),
    ],
)
def test_an_error_names_the_field(name: str, fields: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        digits(name, **{"split": "test", **fields})  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_the_built_in_datasets_open() -> None:
    for entry in builtin_layer().entries.values():
        if entry.kind == "Dataset":
            item = PlanDataset.model_validate({"name": entry.name, "spec": entry.spec})
            source = open_source(item)
            assert item.spec.size == len(source.ids)
            assert item.spec.revision is not None
