"""Parity of decisions between groups: is a class said equally often, and with equal errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from interplay_runner.measurement import (
    IDENTITY,
    ModelInfo,
    Need,
    Parameters,
    Record,
    RecordMeasurement,
    UnmeasurableError,
    Value,
    View,
)

from .gaps import Family, largest_gap, null_gap
from .groups import ColumnName, column_of, groups_of
from .values import Distinct, absent, measured

__all__ = ["DemographicParity", "EqualizedOdds"]

Mask = npt.NDArray[np.bool_]


class ParityParams(Parameters):
    """The decision, and the groups."""

    column: ColumnName
    positive: Distinct[Annotated[int, Field(ge=0, le=100_000)]] = Field(min_length=1, max_length=8)
    min_size: int = Field(10, ge=1, le=1_000_000)


class _Parity(RecordMeasurement):
    """What both have in common: a decision that is yes or no, and groups."""

    Params = ParityParams
    category = "benefit"
    params: ParityParams

    def need(self, model: ModelInfo) -> Need:
        top = max(self.params.positive)
        if top >= model.num_classes:
            raise UnmeasurableError(f"class {top} is not below the model's {model.num_classes}")
        return Need()

    def _name(self, metric: str) -> str:
        return "_".join([metric, self.params.column, *map(str, self.params.positive)])

    def _family(self, record: Record, among: Mask) -> Family:
        """How often yes was said in each group, over the samples `among`."""
        _, group = groups_of(column_of(record, self.params.column), self.params.column)
        said = np.isin(record.pred, self.params.positive)
        sizes = np.bincount(group[among], minlength=1).astype(np.float64)
        hits = np.bincount(group[among & said], minlength=len(sizes)).astype(np.float64)
        large = sizes >= self.params.min_size
        return hits[large], sizes[large]

    def _gap(self, *families: Family) -> Value:
        n = int(sum(sizes.sum() for _, sizes in families))
        if min(len(sizes) for _, sizes in families) < 2:
            least = self.params.min_size
            return absent(n, f"fewer than 2 groups have {least} samples of a kind")
        null = null_gap(families, np.random.default_rng(self.seed))
        return measured(
            n, "wilson-simultaneous", lambda: largest_gap(families), null=null, bounds=(0, 1)
        )


class DemographicParity(_Parity):
    """Is a class predicted equally often in every group: the gap of the selection rates.

    demographic_parity_<column>_<classes> = max_g r_g - min_g r_g, r_g = P(prediction in `positive`
    | group g), over the groups of the dataset's column `column` with at least `min_size` samples.
    In [0, 1], 0 is parity, lower is better; of the labels it asks nothing, so groups that differ
    in their labels differ here for a perfect model too. `null`: E[gap] for equal rates at these
    sizes. Interval: from Wilson intervals that hold for all groups together, at least 95 %
    coverage. `positive` holds class indices of the model. Sources: Dwork et al. 2012; difference
    form as in fairlearn. Cost: F.
    """

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        family = self._family(record, np.ones(len(record.pred), dtype=np.bool_))
        return {self._name("demographic_parity"): self._gap(family)}


class EqualizedOdds(_Parity):
    """Are the errors of a decision equal in every group: the larger gap of two error rates.

    - `tpr_gap_<column>_<classes>` = max_g t_g - min_g t_g, t_g = P(prediction in `positive` | label
      in `positive`, group g): equality of opportunity;
    - `fpr_gap_<column>_<classes>`: the same given labels that are not in `positive`;
    - `equalized_odds_<column>_<classes>`: the larger of both.

    In [0, 1], 0 is equality, lower is better. Each rate counts the groups with at least `min_size`
    samples of its kind. `null`: the expectation for equal groups at these sizes. Intervals: from
    Wilson intervals that hold for all groups (and both rates) together, at least 95 % coverage.
    `positive` holds class indices of the model. Source: Hardt et al. 2016 (arXiv 1610.02413).
    Cost: F.
    """

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        positive = np.isin(record.label, self.params.positive)
        true, false = self._family(record, positive), self._family(record, ~positive)
        return {
            self._name("equalized_odds"): self._gap(true, false),
            self._name("tpr_gap"): self._gap(true),
            self._name("fpr_gap"): self._gap(false),
        }
