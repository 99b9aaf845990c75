"""`python -m interplay_runner.zoo.train`: trains the zoo, writes weights, cards and models.yaml."""

from __future__ import annotations

import argparse
import sys
import time

import torch
from safetensors.torch import save

from interplay_api.plan import PlanDataset, PlanModel
from interplay_runner.data import Source, open_source
from interplay_runner.intervals import wilson
from interplay_runner.measurement import IDENTITY, View
from interplay_runner.models import LoadedModel, load_model
from interplay_runner.models.preprocess import transform_of
from interplay_runner.views import apply_view

from .cards import Measured, card
from .library import card_path, manifest, models_yaml, weights_path, yaml_path
from .recipes import DATA_CONFIG, RECIPES, Recipe
from .training import tensors, train

__all__ = ["evaluate", "main"]

VIEWS = {
    "as they are": IDENTITY,
    "turned by 30 degrees": View.of("rotate", deg=30),
    "noise of 0.3": View.of("noise", sigma=0.3),
}


def digits(name: str, split: str) -> Source:
    """One split of the embedded digits."""
    spec = {"embedded": {"name": name}, "split": split}
    return open_source(PlanDataset.model_validate({"name": name, "spec": spec}))


@torch.no_grad()
def evaluate(model: LoadedModel, source: Source, view: View = IDENTITY) -> tuple[int, int]:
    """(correct, n) over a whole source under one view."""
    images, labels = tensors(source, model.transform)
    output = model.network.forward(apply_view(view, images, source.ids, seed=0))
    return int((output.logits.argmax(dim=1) == labels).sum()), len(labels)


def make(recipe: Recipe) -> Measured:
    """Train one model, write its weights and its card."""
    source = digits("digits", "train")
    module = train(recipe, *tensors(source, transform_of(DATA_CONFIG.model_dump())))
    path = weights_path(recipe)
    path.write_bytes(save({k: v.contiguous() for k, v in module.state_dict().items()}))
    model = PlanModel(name=recipe.name, spec=manifest(recipe)["spec"])
    loaded = load_model(model, "cpu", "fp32")
    test = digits("digits", "test")
    correct = {f"test, {what}": evaluate(loaded, test, view) for what, view in VIEWS.items()}
    correct["digits-late, as they are"] = evaluate(loaded, digits("digits-late", "test"))
    measured = Measured(
        sha256=loaded.weights_sha256,
        kilobytes=path.stat().st_size / 1000,
        parameters=loaded.network.info.parameters,
        samples=len(source.ids),
        correct=correct,
    )
    card_path(recipe).write_text(card(recipe, measured))
    return measured


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m interplay_runner.zoo.train", description=__doc__
    )
    parser.add_argument(
        "--only", action="append", choices=RECIPES, metavar="NAME", help="just this"
    )
    names = parser.parse_args(arguments).only or RECIPES
    # The weights depend on the number of threads.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names:
        start = time.monotonic()
        measured = make(RECIPES[name])
        value, low, high = wilson(*measured.correct["test, as they are"])
        others = ", ".join(f"{w} {k / n:.3f}" for w, (k, n) in list(measured.correct.items())[1:])
        print(
            f"{name}: {time.monotonic() - start:.0f} s, {measured.kilobytes:.0f} kB, "
            f"top-1 {value:.3f} ({low:.3f} to {high:.3f}); {others}",
            flush=True,
        )
    yaml_path().write_text(models_yaml())
    return 0


if __name__ == "__main__":
    sys.exit(main())
