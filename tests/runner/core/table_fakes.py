"""Three datasets, two models and measurements that read several of them, beyond fakes.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from interplay_api.library import DatasetSpec, Embedded, ModelSpec
from interplay_api.names import digest
from interplay_api.plan import Cell, Plan, PlanDataset, PlanModel, RunSettings
from interplay_runner import registry, run
from interplay_runner.errors import ModelError
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    REFERENCE,
    Measurement,
    ModelInfo,
    Need,
    Output,
    Record,
    RecordMeasurement,
    State,
    StreamMeasurement,
    Table,
    TableMeasurement,
    Value,
    View,
)
from interplay_runner.models import LoadedModel
from tests.runner.core.fakes import CLASSES, KINDS, NOISE, FakeNetwork, FakeSource

SIZES = {"fake": 260, "train": 520, "wild": 20}
"""At 16 rows a batch 17, 33 and 2 batches, in 2, 3 and 1 shards."""
WILD_CLASSES = 7
ROWS = 150
BOTH: frozenset[Literal["logits", "features"]] = frozenset({"logits", "features"})


class Near(TableMeasurement):
    """Which train row is nearest, and how sure the model is of wild ones; checks what it is given.

    Only 150 train rows are wanted.
    """

    category = "property"
    roles: ClassVar = {
        "train": "where neighbours come from",
        "wild": "what no class is for",
    }

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        del model
        return {
            OWN: Need((IDENTITY, NOISE), BOTH),
            "train": Need(outputs=frozenset({"features"}), rows=ROWS),
            "wild": Need(labels=False),
        }

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        own, train, wild = (tables[r] for r in (OWN, "train", "wild"))
        for table in tables.values():
            record = table.records[IDENTITY]
            assert list(record.ids) == sorted(record.ids)
            assert list(record.meta["place"]) == [int(i[1:]) for i in record.ids]
        assert list(own.features) == list(own.logits) == [IDENTITY, NOISE]
        assert list(train.features) == list(wild.logits) == [IDENTITY]
        assert not train.logits
        assert not wild.features
        logits = own.logits[NOISE]
        assert logits.shape == (len(own.records[NOISE].ids), model.num_classes)
        assert np.array_equal(logits.argmax(1).numpy(), own.records[NOISE].pred)
        assert (wild.records[IDENTITY].rank == -1).all()
        assert np.isnan(wild.records[IDENTITY].logp_label).all()
        distance = torch.cdist(own.features[IDENTITY], train.features[IDENTITY])
        near = train.records[IDENTITY].label[distance.argmin(dim=1).numpy()]
        return {
            "near": float((near == own.records[IDENTITY].label).mean()),
            "far": float(distance.double().mean()),
            "ids": float(sum(int(i[1:]) for i in train.records[IDENTITY].ids)),
            "rows": float(len(train.records[IDENTITY].ids)),
            "wild": float(wild.records[IDENTITY].maxprob.mean()),
        }


class Everything(TableMeasurement):
    """Reads more of the same datasets, so that `near` must be given less than is kept."""

    category = "benefit"
    roles: ClassVar = {"train": "all of it"}

    def needs(self, model: ModelInfo) -> Mapping[str, Need]:
        del model
        return {OWN: Need(rows=40), "train": Need((IDENTITY, NOISE), BOTH)}

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        del model
        own, train = tables[OWN], tables["train"]
        return {
            "own_rows": float(len(own.logits[IDENTITY])),
            "train_rows": float(len(train.features[NOISE])),
            "shift": float((train.features[NOISE] - train.features[IDENTITY]).double().norm()),
        }


class Compare(StreamMeasurement):
    """Sums of products of the features of two models."""

    category = "property"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((IDENTITY, REFERENCE), frozenset({"features"}))

    def init(self, model: ModelInfo) -> State:
        assert model.reference is not None
        shape = (model.feature_dim, model.reference.feature_dim)
        return {"cross": torch.zeros(shape, dtype=torch.float64)}

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        x, y = (outputs[v].features.double() for v in (IDENTITY, REFERENCE))
        state["cross"] += x.T @ y

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del blocks, model
        return {"cross": float(state["cross"].norm())}


class Agree(RecordMeasurement):
    category = "benefit"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((IDENTITY, REFERENCE))

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value | float]:
        mine, other = records[IDENTITY], records[REFERENCE]
        assert (other.rank == -1).all(), "the labels are not classes of the reference model"
        return {"agree": float((mine.pred == other.pred).mean())}


class Stages(StreamMeasurement):
    category = "property"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((IDENTITY, REFERENCE), frozenset({"layers"}))

    def init(self, model: ModelInfo) -> State:
        assert model.reference is not None
        widths = {"mine": model.layers["first"], "other": model.reference.layers["first"]}
        return {name: torch.zeros(w, dtype=torch.float64) for name, w in widths.items()}

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        del ids, labels
        state["mine"] += outputs[IDENTITY].layers["first"].double().sum(dim=0)
        state["other"] += outputs[REFERENCE].layers["first"].double().sum(dim=0)

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del blocks, model
        return {name: float(x.norm()) for name, x in state.items()}


class OtherNetwork(FakeNetwork):
    """The reference model: smaller images, fewer features, more classes."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(4, 3, generator=generator)
        self.head = torch.randn(3, CLASSES + 2, generator=generator)
        self.info = ModelInfo("other", CLASSES + 2, 3, (1, 2, 2), 33, {"first": 4})


TABLE_KINDS: dict[str, type[Measurement]] = {
    **KINDS,
    "near": Near,
    "everything": Everything,
    "compare": Compare,
    "agree": Agree,
    "stages": Stages,
}
REFERENCES: dict[str, dict[str, str]] = {
    "near": {"train": "train", "wild": "wild"},
    "everything": {"train": "train"},
}
ALL = ("near", "everything", "compare", "agree", "stages", "top1", "moments", "shaky", "probe")


def plan(
    *names: str,
    references: dict[str, str] | None = None,
    dataset: str = "fake",
    reference_model: str | None = "other",
    limit: int | None = None,
    own: DatasetSpec | None = None,
) -> Plan:
    """One cell per name; only the datasets and models that some cell reads."""
    kinds = TABLE_KINDS
    cells = [
        Cell(
            measurement=name,
            dataset=dataset,
            entry_point=name,
            category=kinds[name].category,
            numerics=1,
            references=REFERENCES.get(name, {}) if references is None else references,
            reference_model=reference_model if name in ("compare", "agree", "stages") else None,
            key=digest(name),
        )
        for name in names
    ]
    digits = DatasetSpec(embedded=Embedded(name="digits"))
    read = sorted({d for c in cells for d in c.datasets.values()})
    return Plan(
        model=PlanModel(name="fake", spec=ModelSpec(timm="fake")),
        datasets=[PlanDataset(name=d, spec=own if own and d == dataset else digits) for d in read],
        cells=cells,
        models=[
            PlanModel(name=m, spec=ModelSpec(timm=m))
            for m in sorted({c.reference_model for c in cells if c.reference_model})
        ],
        run=RunSettings(device="cpu", batch_size=16, limit=limit),
    )


def _source(name: str) -> FakeSource:
    source = FakeSource(SIZES[name])
    pixels = np.random.default_rng(len(name)).integers(0, 256, (SIZES[name], 4, 4), dtype=np.uint8)
    source.images = [Image.fromarray(p) for p in pixels]
    source.columns = {"place": np.arange(SIZES[name])}
    if name == "wild":
        source.num_classes = WILD_CLASSES
        source.labels = [i % WILD_CLASSES for i in range(SIZES[name])]
    return source


class Worlds:
    """Three datasets and two models where the runner looks for them."""

    def __init__(self) -> None:
        self.sources = {name: _source(name) for name in SIZES}
        self.networks = {"fake": FakeNetwork(), "other": OtherNetwork()}
        self.unloadable: str | None = None

    def open_source(self, item: PlanDataset, root: Path) -> FakeSource:
        del root
        return self.sources[item.name]

    def load_model(self, model: PlanModel, device: str, precision: str) -> LoadedModel:
        del device, precision
        if model.name == self.unloadable:
            raise ModelError(f"model {model.name}: spec.timm: no such model")
        network = self.networks[model.name]
        side = network.info.input_size[1]

        def transform(image: Image.Image) -> Tensor:
            pixels = torch.from_numpy(np.asarray(image).copy())
            return pixels[:side, :side].float().unsqueeze(0) / 255

        return LoadedModel(network, transform, "0" * 64, torch.device("cpu"), transform)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(run, "open_source", self.open_source)
        patch.setattr(run, "load_model", self.load_model)
        patch.setattr(registry, "load_measurement", lambda name: TABLE_KINDS[name])
