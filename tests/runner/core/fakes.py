"""A tiny model, source and measurements whose work is counted; no timm, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from interplay_api.library import DatasetSpec, Embedded, ModelSpec
from interplay_api.names import digest
from interplay_api.plan import Cell, Plan, PlanDataset, PlanModel, RunSettings
from interplay_api.report import Report
from interplay_runner import registry, run
from interplay_runner.measurement import (
    GRADIENT,
    IDENTITY,
    Batch,
    BatchMeasurement,
    Columns,
    Context,
    FreeMeasurement,
    Measurement,
    ModelInfo,
    Need,
    Network,
    Output,
    Record,
    RecordMeasurement,
    State,
    StreamMeasurement,
    Value,
    View,
)
from interplay_runner.models import LoadedModel

CLASSES, WIDTH = 5, 8
NOISE = View.of("noise", sigma=0.25)


class FakeSource:
    """n grey 4 x 4 images of random pixels."""

    num_classes = CLASSES

    def __init__(self, n: int) -> None:
        self.ids = [f"s{i}" for i in range(n)]
        self.labels = [i % CLASSES for i in range(n)]
        self.decoded: Counter[int] = Counter()
        self.columns: dict[str, npt.NDArray[np.generic]] = {}
        self.label_sets: list[list[int]] | None = None
        pixels = np.random.default_rng(0).integers(0, 256, (n, 4, 4), dtype=np.uint8)
        self.images = [Image.fromarray(p) for p in pixels]

    def load(self, index: int) -> tuple[Image.Image, int]:
        self.decoded[index] += 1
        return self.images[index], self.labels[index]


class FakeNetwork:
    """A linear map that counts the images it sees; rows of `poisoned` labels become NaN."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(16, WIDTH, generator=generator)
        self.head = torch.randn(WIDTH, CLASSES, generator=generator)
        self.info = ModelInfo("fake", CLASSES, WIDTH, (1, 4, 4), 168, {"first": 16})
        self.calls: list[tuple[int, ...]] = []
        self.nan_above: float | None = None

    def forward(self, images: Tensor) -> Output:
        self.calls.append(tuple(images.shape))
        features = torch.tanh((images - 0.5).flatten(1) @ self.weight)
        logits = features @ self.head
        if self.nan_above is not None:
            logits[images.mean(dim=(1, 2, 3)) > self.nan_above] = torch.nan
        return Output(logits, features)

    def forward_layers(self, images: Tensor) -> Output:
        return replace(self.forward(images), layers={"first": images.flatten(1)})


class Top1(RecordMeasurement):
    category = "benefit"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((IDENTITY, NOISE))

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value | float]:
        clean, noisy = records[IDENTITY], records[NOISE]
        assert list(clean.ids) == sorted(clean.ids)
        same = float((clean.pred == noisy.pred).mean())
        top1 = float(clean.correct.mean())
        n = len(clean.ids)
        return {
            "top1": Value(top1, n, 0.0, 1.0, "wilson"),
            "same": same,
            "brier": clean.brier.mean(),
        }


class Moments(StreamMeasurement):
    category = "property"

    def need(self, model: ModelInfo) -> Need:
        del model
        return Need((IDENTITY, NOISE), frozenset({"features"}), labels=False)

    def init(self, model: ModelInfo) -> State:
        return {
            "n": torch.zeros((), dtype=torch.int64),
            "cross": torch.zeros((model.feature_dim, model.feature_dim), dtype=torch.float64),
        }

    def update(
        self, state: State, ids: Sequence[str], labels: Tensor, outputs: Mapping[View, Output]
    ) -> None:
        assert len(ids) == len(labels) == len(outputs[NOISE].features)
        state["n"] += len(ids)
        state["cross"] += outputs[IDENTITY].features.double().T @ outputs[NOISE].features.double()

    def compute(
        self, state: State, blocks: Sequence[State], model: ModelInfo
    ) -> dict[str, Value | float]:
        del model
        n = int(state["n"])
        spread = torch.stack([b["cross"].trace() for b in blocks]).std(correction=0)
        return {
            "trace": Value(float(state["cross"].trace()) / n, n),
            "spread": Value(float(spread), n),
            "blocks": Value(len(blocks), n),
        }


class Shaky(BatchMeasurement):
    """Draws from the global generator, as careless code does."""

    category = "benefit"

    def forwards(self, model: ModelInfo) -> float:
        del model
        return GRADIENT

    def run_batch(self, network: Network, batch: Batch) -> Columns:
        images = (batch.images + 0.1 * torch.randn(batch.images.shape)).requires_grad_()
        logits = network.forward(images).logits
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        return {
            "hit": (logits.argmax(1) == batch.labels).numpy(),
            "slope": gradient.abs().mean(dim=(1, 2, 3)).double().numpy(),
        }

    def compute(self, columns: Columns) -> dict[str, Value | float]:
        assert list(columns["id"]) == sorted(columns["id"])
        return {"hit": float(columns["hit"].mean()), "slope": float(columns["slope"].mean())}


class Probe(FreeMeasurement):
    category = "property"

    def measure(self, context: Context) -> dict[str, Value | float]:
        pixels = [b.images[: b.valid].double().mean(dim=(1, 2, 3)) for b in context.batches()]
        return {"brightness": float(torch.cat(pixels).mean())}


class Broken(RecordMeasurement):
    category = "property"

    def compute(self, records: Mapping[View, Record]) -> dict[str, Value | float]:
        del records
        raise ZeroDivisionError("a line\nand another")


KINDS: dict[str, type[Measurement]] = {
    "top1": Top1,
    "moments": Moments,
    "shaky": Shaky,
    "probe": Probe,
    "broken": Broken,
}


def plan(*names: str, batch_size: int = 16, limit: int | None = None, workers: int = 0) -> Plan:
    """A plan over one dataset, one cell per name."""
    dataset = PlanDataset(name="fake", spec=DatasetSpec(embedded=Embedded(name="digits")))
    cells = [
        Cell(
            measurement=name,
            dataset="fake",
            entry_point=name,
            category=KINDS[name].category,
            numerics=1,
            key=digest(name),
        )
        for name in names
    ]
    settings = RunSettings(device="cpu", batch_size=batch_size, limit=limit, workers=workers)
    model = PlanModel(name="fake", spec=ModelSpec(timm="fake"))
    return Plan(model=model, datasets=[dataset], cells=cells, run=settings)


class World:
    """Puts the fakes where the runner looks for model, data and measurements."""

    def __init__(self, n: int) -> None:
        self.source, self.network = FakeSource(n), FakeNetwork()

    def open_source(self, item: PlanDataset, root: Path) -> FakeSource:
        del item, root
        return self.source

    def load_model(self, model: PlanModel, device: str, precision: str) -> LoadedModel:
        del model, device, precision

        def transform(image: Image.Image) -> Tensor:
            return torch.from_numpy(np.asarray(image).copy()).float().unsqueeze(0) / 255

        return LoadedModel(self.network, transform, "0" * 64, torch.device("cpu"), transform)

    def install(self, patch: object) -> World:
        for place, name, value in (
            (run, "open_source", self.open_source),
            (run, "load_model", self.load_model),
            (registry, "load_measurement", lambda name: KINDS[name]),
        ):
            patch.setattr(place, name, value)  # type: ignore[attr-defined]
        return self


def values(report: Report) -> dict[str, float | None]:
    """`<cell index>:<metric>` to number."""
    return {f"{i}:{v.metric}": v.value for i, c in enumerate(report.cells) for v in c.values}
