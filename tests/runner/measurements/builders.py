"""Inputs of measurements in one line: records from logits, streams from features, a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax, logsumexp
from torch import Tensor

from interplay_runner.layout import Layout
from interplay_runner.measurement import (
    IDENTITY,
    REFERENCE,
    Measurement,
    ModelInfo,
    Output,
    Record,
    State,
    StreamMeasurement,
    Table,
    Value,
    View,
)

M = TypeVar("M", bound=Measurement)


def info(features: int = 8, classes: int = 10) -> ModelInfo:
    """A model of this size."""
    return ModelInfo("test", classes, features, (3, 8, 8), 0)


def ids(n: int) -> list[str]:
    """Names of n samples."""
    return [f"sample-{i:05d}" for i in range(n)]


def record(logits: npt.ArrayLike, labels: npt.ArrayLike) -> Record:
    """The record of float [n, classes] and int [n], by definitions of its own."""
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    logp = log_softmax(x, axis=1)
    order = np.argsort(-x, axis=1, kind="stable")
    onehot = np.eye(x.shape[1])[y]
    return Record(
        ids=np.array(ids(len(x))),
        label=y,
        pred=order[:, 0],
        rank=np.argmax(order == y[:, None], axis=1),
        logp_label=logp[np.arange(len(x)), y],
        maxprob=np.exp(logp).max(axis=1),
        brier=((np.exp(logp) - onehot) ** 2).sum(axis=1),
        energy=-logsumexp(x, axis=1),
        maxlogit=x.max(axis=1),
        any_rank=np.argmax(order == y[:, None], axis=1),
    )


def table(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    features: npt.ArrayLike | None = None,
    meta: Mapping[str, npt.ArrayLike] | None = None,
) -> Table:
    """The table of the plain images: float [n, classes], int [n], float [n, d], columns [n]."""
    x = torch.from_numpy(np.asarray(logits, dtype=np.float32))
    z = x if features is None else torch.from_numpy(np.asarray(features, dtype=np.float32))
    columns = {name: np.asarray(c) for name, c in (meta or {}).items()}
    plain = replace(record(logits, labels), meta=columns)
    return Table({IDENTITY: plain}, {IDENTITY: x}, {IDENTITY: z})


def confident(maxprob: npt.ArrayLike, correct: npt.ArrayLike) -> Record:
    """A record of which only confidence and correctness matter; the label is 0."""
    p, right = np.asarray(maxprob, dtype=np.float64), np.asarray(correct, dtype=bool)
    zero = np.zeros(len(p))
    return Record(
        ids=np.array(ids(len(p))),
        label=zero.astype(np.int64),
        pred=(~right).astype(np.int64),
        rank=(~right).astype(np.int64),
        logp_label=np.log(p),
        maxprob=p,
        brier=zero,
        energy=zero,
        maxlogit=zero,
        any_rank=(~right).astype(np.int64),
    )


def stream(
    measurement: StreamMeasurement,
    features: Mapping[View, Tensor],
    *,
    rows: int = 7,
    labels: Tensor | None = None,
    logits: Mapping[View, Tensor] | None = None,
    layers: Mapping[str, Tensor] | None = None,
) -> dict[str, Value]:
    """What a measurement makes of float [n, d] per view, cut by block and into pieces of `rows`.

    The features are the logits too, where none are given; all views have the same layers.
    """
    logits = logits or features
    n, d = features[next(iter(features))].shape
    model = info(features=d, classes=logits[next(iter(logits))].shape[1])
    if REFERENCE in features:
        model = replace(model, reference=info(features=features[REFERENCE].shape[1]))
    layers = layers or {}
    model = replace(model, layers={name: x.shape[1] for name, x in layers.items()})
    views = measurement.need(model).views
    blocks = []
    for block in Layout(n, 8).blocks(measurement.need(model).blocks):
        state = measurement.init(model)
        for start in range(block.start, block.stop, rows):
            part = slice(start, min(start + rows, block.stop))
            stages = {name: x[part] for name, x in layers.items()}
            outputs = {v: Output(logits[v][part], features[v][part], stages) for v in views}
            y = torch.zeros(n) if labels is None else labels
            measurement.update(state, ids(n)[part], y[part], outputs)
        blocks.append(state)
    return values(measurement.compute(_sum(blocks), blocks, model))


def _sum(blocks: Sequence[State]) -> State:
    return {k: torch.stack([b[k] for b in blocks]).sum(dim=0) for k in blocks[0]}


def values(given: Mapping[str, Value | float]) -> dict[str, Value]:
    """All of them Values, and each sound: finite inside its interval, or absent with a reason."""
    out = {}
    for name, value in given.items():
        assert isinstance(value, Value), name
        if value.value is None:
            assert value.reason, name
            assert value.low is value.high is None, name
        else:
            assert value.low is not None, name
            assert value.high is not None, name
            assert value.low <= value.value <= value.high, (name, value)
            assert value.method != "none", name
        out[name] = value
    return out


def number(value: Value) -> float:
    """The number of a value that must be there."""
    assert value.value is not None, value.reason
    return value.value


def covers(value: Value, truth: float) -> bool:
    """Whether the interval of a value that must be there holds this number."""
    assert value.low is not None, value.reason
    assert value.high is not None, value.reason
    return value.low <= truth <= value.high


def make(kind: type[M], **parameters: Any) -> M:
    """A measurement with these parameters."""
    return kind(kind.Params.model_validate(parameters))


def records(item: Record) -> dict[View, Record]:
    """The record of the plain images."""
    return {IDENTITY: item}


@dataclass
class Linear:
    """logits = (flat image - centre) W, a network whose gradient is known on paper."""

    weight: Tensor
    centre: float = 0.5

    def __post_init__(self) -> None:
        self.info = info(classes=self.weight.shape[1])
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Output:
        """Float [n, C, H, W] in [0, 1]."""
        self.seen.append(images.detach())
        flat = images.flatten(1) - self.centre
        return Output(flat @ self.weight, flat)

    def forward_layers(self, images: Tensor) -> Output:
        """It has none."""
        return self.forward(images)
