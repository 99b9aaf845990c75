"""What the zoo's recipes promise, by paired tests on the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.resolve import resolve
from interplay_runner.paired import compare_paired
from interplay_runner.run import run_plan


def test_rotation_training_makes_features_more_invariant(tmp_path: Path) -> None:
    models = ["digits-resnet-rotation", "digits-resnet-plain"]
    spec = EvaluationSpec.read(
        {
            "models": [{"name": m} for m in models],
            "measurements": {"names": ["rotation-invariance"]},
            "overrides": {"limit": 300},
        }
    )
    cosines = []
    for run in resolve("e", "default", spec, Catalog([builtin_layer()]), image="local").runs:
        report = run_plan(run.spec.plan, output=tmp_path / run.name)
        with np.load(tmp_path / run.name / "records-digits-test.npz") as records:
            cosine = records["rotation-invariance/rotation_cos_deg30"]
        value = next(v for v in report.cells[0].values if v.metric == "rotation_invariance_deg30")
        assert value.value is not None
        np.testing.assert_allclose(cosine.mean(), value.value, rtol=1e-9)
        cosines.append(cosine)
    found = compare_paired(*cosines)
    assert found.method == "paired-t"
    assert found.n == 300
    assert found.low > 0.2, found
