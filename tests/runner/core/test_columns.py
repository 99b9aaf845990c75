"""Record columns against their definitions, written out for single rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interplay_runner.columns import column_name, record_columns, sort_by_id
from interplay_runner.measurement import IDENTITY, View


def test_columns_of_a_row_worked_out_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    columns = record_columns(logits, torch.tensor([1]))
    one = {name: column.item() for name, column in columns.items()}
    assert one == pytest.approx(
        {
            "pred": 0,
            "rank": 1,
            "logp_label": np.log(0.3),
            "maxprob": 0.5,
            "brier": 0.25 + 0.49 + 0.04,
            "energy": 0.0,
            "maxlogit": np.log(0.5),
            "any_rank": 1,
        },
        abs=1e-7,
    )


def test_ties_go_to_the_lower_class_as_argmax_does() -> None:
    columns = record_columns(torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    assert columns["rank"].tolist() == [0, 1, 2]
    assert columns["pred"].tolist() == [0, 0, 0]


def test_any_right_class_counts_and_no_right_class_is_minus_one() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(4, 1)
    columns = record_columns(logits, torch.tensor([3, 3, 1, 0]), [[3, 1], [], [1], [2, 3]])
    assert columns["any_rank"].tolist() == [1, -1, 1, 2]
    assert columns["rank"].tolist() == [3, 3, 1, 0]


def test_labels_of_other_classes_are_not_read() -> None:
    columns = record_columns(torch.tensor([[1.0, 2.0]]), None)
    assert (columns["pred"].item(), columns["rank"].item()) == (1, -1)
    assert np.isnan([columns["logp_label"].item(), columns["brier"].item()]).all()
    assert columns["maxlogit"].item() == 2


def test_extreme_logits_stay_finite() -> None:
    columns = record_columns(torch.tensor([[3e38, -3e38]]), torch.tensor([1]))
    assert all(np.isfinite(c).all() for c in columns.values())


def test_names_and_order() -> None:
    assert column_name("pred", IDENTITY) == "pred"
    assert column_name("pred", View.of("rotate", deg=7.5)) == "pred@rotate_deg7.5"
    columns = sort_by_id(["b", "a"], {"x": np.array([1, 2])})
    assert columns["id"].tolist() == ["a", "b"]
    assert columns["x"].tolist() == [2, 1]
