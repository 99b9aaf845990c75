"""Proper scores of the predicted probabilities; their calibration alone is in calibration_bins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from interplay_runner.intervals import mean_t
from interplay_runner.measurement import IDENTITY, Record, RecordMeasurement, Value, View

from .values import measured

__all__ = ["Brier", "Nll"]


class Nll(RecordMeasurement):
    """Negative log-likelihood of the label: mean_i -ln p_i(y_i), in nats.

    `nll`, with p_i the softmax of the logits, float [n, classes]. In [0, inf), lower is better;
    ln(classes) for a uniform guess. Student's t interval. Source: Good 1952 (the logarithmic
    score). Cost: F.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        loss = -records[IDENTITY].logp_label
        return {"nll": measured(len(loss), "t", lambda: mean_t(loss), bounds=(0, np.inf))}


class Brier(RecordMeasurement):
    """Brier score: mean_i sum_c (p_i(c) - [c = y_i])^2, summed over classes.

    `brier`, with p_i the softmax of the logits, float [n, classes]. In [0, 2], lower is better.
    Student's t interval. Source: Brier 1950; for two classes it is twice what some libraries
    report. Cost: F.
    """

    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value]:
        score = records[IDENTITY].brier
        return {"brier": measured(len(score), "t", lambda: mean_t(score), bounds=(0, 2))}
