"""Accuracy by group of people, places or things: how far behind is who is worst served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints

from interplay_api.names import metric_key
from interplay_runner.intervals import null_minimum
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

from .gaps import difference, gap, lowest, null_gap, relative_error
from .values import absent, measured, share

__all__ = ["ColumnName", "FactorErrorRatio", "GroupDisparity", "column_of", "groups_of", "key_of"]

Array = npt.NDArray[np.float64]
Column = npt.NDArray[np.generic]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
MAX_GROUPS = 1000
SHOWN = 16
"""Of more groups than this only the worst and the gap are published."""
MAX_KEY = 100
"""As long as a metric's name may be."""


def column_of(record: Record, name: str) -> Column:
    """A column of the dataset; raises UnmeasurableError where it has none of that name."""
    if name not in record.meta:
        known = ", ".join(sorted(record.meta)) or "none"
        raise UnmeasurableError(f"the dataset has no column {name}; it has {known}"[:300])
    return record.meta[name]


def groups_of(column: Column, name: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of the groups, sorted, and the group of every row; int and str columns have some."""
    if column.dtype.kind == "f":
        raise UnmeasurableError(f"column {name} holds numbers: groups of it need bins")
    found, index = np.unique(column, return_inverse=True)
    if len(found) > MAX_GROUPS:
        raise UnmeasurableError(f"column {name} has {len(found)} groups, more than {MAX_GROUPS}")
    return [str(g) for g in found.tolist()], index.astype(np.int64)


def key_of(metric: str, names: list[str]) -> list[str]:
    """A metric's name for every group; raises UnmeasurableError where two are the same."""
    keys: dict[str, str] = {}
    for name in names:
        key = metric_key(f"{metric} {name}")
        if not metric_key(name) or len(key) > MAX_KEY:
            raise UnmeasurableError(f"group {name[:60]!r} gives no metric's name")
        if keys.setdefault(key, name) != name:
            raise UnmeasurableError(f"groups {keys[key][:60]!r} and {name[:60]!r} share a name")
    return [*keys]


class GroupParams(Parameters):
    """Which groups, and when a prediction is right for them."""

    column: ColumnName
    kind: Literal["label", "any"] = "label"
    k: int = Field(1, ge=1, le=1000)
    min_size: int = Field(10, ge=1, le=1_000_000)
    bins: int | None = Field(None, ge=2, le=16)


class GroupDisparity(RecordMeasurement):
    """Accuracy by group, of the group that is worst off, and the gap between best and worst.

    Groups are the values of the dataset's column `column`; acc_g = mean of the hits of group g, a
    hit being the label (`kind: label`) or any right label (`any`) among the k highest logits.
    Samples without any right label are left out, and groups of fewer than `min_size` samples are
    in neither worst nor gap.

    - `group_top1_<column>_<group>`: acc_g, Wilson's interval; of at most 16 groups.
    - `worst_group_top1_<column>`: min_g acc_g, in [0, 1], higher is better. `null`: E[min_g] if
      every group had the overall accuracy.
    - `group_gap_top1_<column>`: max_g acc_g - min_g acc_g, in [0, 1], lower is better. `null`:
      E[gap] for equal groups, which the sizes alone make positive.
    - with `bins: B`, the column is a number, such as an income, and its quantiles make groups q1 to
      qB of about n/B samples (equal numbers stay together);
      `group_trend_top1_<column>` = acc_qB - acc_q1, in [-1, 1], Newcombe's interval.

    Intervals of worst and gap follow from Wilson intervals that hold for all groups together: at
    least 95 % coverage. With `kind: any` or another k, `any_top<k>` stands in the names. Sources:
    DeVries et al. 2019 (arXiv 1906.02659), Richards et al. 2023 (arXiv 2307.13136), Sagawa et al.
    2020 (arXiv 1911.08731). Cost: F.
    """

    Params = GroupParams
    category = "benefit"
    params: GroupParams

    def need(self, model: ModelInfo) -> Need:
        if self.params.k > model.num_classes:
            raise UnmeasurableError(
                f"the model has {model.num_classes} classes, fewer than {self.params.k}"
            )
        return Need()

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        params, record = self.params, records[IDENTITY]
        rank = record.any_rank if params.kind == "any" else record.rank
        usable = rank >= 0
        hits = (rank < params.k)[usable]
        column = column_of(record, params.column)[usable]
        names, index = self._groups(column)
        metric = f"{'any_' if params.kind == 'any' else ''}top{params.k}_{params.column}"
        found = [hits[index == g] for g in range(len(names))]
        large = [x for x in found if len(x) >= params.min_size]
        out = self._overall(metric, large)
        if params.bins is not None:
            out[f"group_trend_{metric}"] = self._trend(found)
        if len(names) <= SHOWN:
            keys = key_of(f"group_{metric}", names)
            out |= {key: self._own(x) for key, x in zip(keys, found, strict=True)}
        return out

    def _groups(self, column: Column) -> tuple[list[str], npt.NDArray[np.int64]]:
        name, bins = self.params.column, self.params.bins
        if bins is None:
            return groups_of(column, name)
        if column.dtype.kind not in "if":
            raise UnmeasurableError(f"column {name} holds text: bins need numbers")
        if len(column) == 0:
            return [], np.empty(0, dtype=np.int64)
        # Ends that are numbers of the column keep equal ones in one group.
        x = column.astype(np.float64)
        ends = np.quantile(x, np.arange(1, bins) / bins, method="inverted_cdf")
        index = np.searchsorted(ends, x)
        if len(np.unique(index)) < bins:
            raise UnmeasurableError(f"column {name} has too many equal numbers for {bins} bins")
        return [f"q{i + 1}" for i in range(bins)], index.astype(np.int64)

    def _overall(self, metric: str, groups: list[npt.NDArray[np.bool_]]) -> dict[str, Value]:
        worst, spread = f"worst_group_{metric}", f"group_gap_{metric}"
        n = sum(map(len, groups))
        if not groups:
            few = absent(0, f"no group has {self.params.min_size} samples")
            return {worst: few, spread: few}
        hits = np.array([x.sum() for x in groups], dtype=np.float64)
        sizes = np.array([len(x) for x in groups], dtype=np.float64)
        rng = np.random.default_rng(self.seed)
        low = null_minimum(float(hits.sum() / n), sizes, rng)
        apart = null_gap([(hits, sizes)], rng)
        name = "wilson-simultaneous"
        return {
            worst: measured(n, name, lambda: lowest(hits, sizes), null=low),
            spread: measured(n, name, lambda: gap(hits, sizes), null=apart, bounds=(0, 1)),
        }

    def _trend(self, groups: list[npt.NDArray[np.bool_]]) -> Value:
        if not groups or min(map(len, groups)) < self.params.min_size:
            return absent(sum(map(len, groups)), f"a bin has fewer than {self.params.min_size}")
        first, last = groups[0], groups[-1]
        hits, sizes = (int(last.sum()), int(first.sum())), (len(last), len(first))
        return measured(sum(sizes), "newcombe", lambda: difference(hits, sizes), bounds=(-1, 1))

    def _own(self, hits: npt.NDArray[np.bool_]) -> Value:
        least = self.params.min_size
        if len(hits) < least:
            return absent(len(hits), f"{len(hits)} samples, fewer than {least}")
        return share(hits)


class FactorParams(Parameters):
    """Which factors."""

    columns: tuple[ColumnName, ...] = Field(min_length=1, max_length=32)


class FactorErrorRatio(RecordMeasurement):
    """Error rate among the samples with a factor, such as a pose, over the overall error rate.

    error_ratio_<column> = (1 - acc(samples with the factor)) / (1 - acc(all samples)). A column of
    0 and 1 is a factor; of a column of text every value is one, `error_ratio_<column>_<value>`, at
    most 16. In [0, 1/w], w the share of samples with the factor; 1: the factor changes nothing,
    lower is better. Interval: that of the score of the ratio of both error rates (Miettinen &
    Nurminen 1985) taken over to this one, w as given. Absent without errors, or where all samples
    or none have the factor. Source: Idrissi et al. 2022 (ImageNet-X, arXiv 2211.01866). Cost: F.
    """

    Params = FactorParams
    category = "benefit"
    params: FactorParams

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        record = records[IDENTITY]
        out: dict[str, Value] = {}
        for name in self.params.columns:
            for key, mask in _factors(column_of(record, name), name).items():
                if key in out:
                    raise UnmeasurableError(f"{key} stands for two factors")
                out[key] = _error_ratio(~record.correct, mask)
        return out


def _factors(column: Column, name: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Which samples have each factor of a column."""
    metric = f"error_ratio_{name}"
    if column.dtype.kind in "if":
        if not np.isin(column, (0, 1)).all():
            raise UnmeasurableError(f"column {name} is no factor: it holds more than 0 and 1")
        return {metric: column == 1}
    names, index = groups_of(column, name)
    if len(names) > SHOWN:
        raise UnmeasurableError(f"column {name} has {len(names)} values, more than {SHOWN}")
    return {key: index == g for g, key in enumerate(key_of(metric, names))}


def _error_ratio(wrong: npt.NDArray[np.bool_], factor: npt.NDArray[np.bool_]) -> Value:
    errors = int(wrong[factor].sum()), int(wrong[~factor].sum())
    sizes = int(factor.sum()), int((~factor).sum())
    return measured(sizes[0], "miettinen-nurminen", lambda: relative_error(errors, sizes))
