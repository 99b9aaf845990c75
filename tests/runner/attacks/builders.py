"""What attacks are tried on: linear models, whose optimum is known, and models of the zoo."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from interplay_api.catalog import Catalog, builtin_layer
from interplay_api.library import DatasetSpec, Embedded, ModelSpec
from interplay_api.plan import PlanModel
from interplay_runner.attacks import (
    ApgdCe,
    ApgdT,
    Attack,
    FabT,
    Pgd,
    Samples,
    Square,
    Victim,
    examine,
)
from interplay_runner.data.embedded import open_embedded
from interplay_runner.measurement import Batch
from interplay_runner.models import LoadedModel, load_model
from tests.runner.measurements.builders import Linear, ids

SEED = 20240617
ATTACKS: dict[str, Attack] = {
    "pgd": Pgd(8, restarts=2, seed=SEED),
    "apgd-ce": ApgdCe(8, restarts=2, seed=SEED),
    "apgd-t": ApgdT(8, targets=2, seed=SEED),
    "fab-t": FabT(8, targets=2),
    "square": Square(30, seed=SEED),
}


@cache
def loaded(name: str) -> LoadedModel:
    """A model of the zoo."""
    entry = Catalog([builtin_layer()]).find("Model", name)
    assert entry is not None
    return load_model(
        PlanModel(name=name, spec=ModelSpec.model_validate(entry.spec)), "cpu", "fp32"
    )


@cache
def digits(name: str, n: int) -> Batch:
    """The first n test digits, as a model of the zoo takes them."""
    source = open_embedded(DatasetSpec(embedded=Embedded(name="digits")))
    images, labels = zip(*(source.load(i) for i in range(n)), strict=True)
    pixels = torch.stack([loaded(name).transform(image) for image in images])
    return Batch(list(source.ids[:n]), pixels, torch.tensor(labels), n)


def zoo(name: str, n: int) -> tuple[Victim, Samples]:
    """A model of the zoo and those of n digits that it gets right."""
    seen = examine(loaded(name).network, digits(name, n))
    return seen.victim, seen.samples


def linear(n: int = 12, classes: int = 5) -> tuple[Linear, Batch]:
    """A random linear model and images far from black and white, all right."""
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    network = Linear(torch.randn(108, classes, generator=generator))
    images = 0.4 + 0.2 * torch.rand(n, 3, 6, 6, generator=generator)
    return network, Batch(ids(n), images, network.forward(images).logits.argmax(dim=1), n)


def smallest(network: Linear, batch: Batch, norm: str) -> Tensor:
    """How far each row is from another class on paper, where no pixel meets 0 or 1, [n].

    The nearest plane w.x = b is the margin over the dual norm of w away: |w|_1 for the maximum
    norm, |w|_2 for l2.
    """
    logits = network.forward(batch.images).logits
    weight, label = network.weight.T, batch.labels[:, None]
    between = weight[label] - weight[None]
    slopes = between.abs().sum(dim=2) if norm == "linf" else between.square().sum(dim=2).sqrt()
    distances: Tensor = (logits.gather(1, label) - logits) / slopes
    return distances.scatter(1, label, torch.inf).amin(dim=1)
