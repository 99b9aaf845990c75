"""The zoo as it is carried: weights, cards and models.yaml agree, and each recipe taught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interplay_api.catalog import builtin_layer
from interplay_api.plan import PlanModel
from interplay_runner.intervals import wilson
from interplay_runner.measurement import View
from interplay_runner.models import LoadedModel, load_model
from interplay_runner.models.preprocess import transform_of
from interplay_runner.zoo.augment import AUGMENTATIONS, fgsm
from interplay_runner.zoo.library import card_path, models_yaml, weights_path, yaml_path
from interplay_runner.zoo.recipes import DATA_CONFIG, RECIPES
from interplay_runner.zoo.train import digits, evaluate
from interplay_runner.zoo.training import tensors, train

MAX_BYTES = 7_500_000


@pytest.fixture(scope="module")
def zoo() -> dict[str, LoadedModel]:
    """Every model, loaded as a pod loads it."""
    entries = builtin_layer().entries
    plans = [
        PlanModel.model_validate({"name": name, "spec": entries["Model", name].spec})
        for name in RECIPES
    ]
    return {plan.name: load_model(plan, "cpu", "fp32") for plan in plans}


def test_the_library_is_what_the_recipes_and_weights_give() -> None:
    assert len(RECIPES) == 12
    assert yaml_path().read_text() == models_yaml()


def test_the_weights_are_small_and_float32() -> None:
    files = [weights_path(r) for r in RECIPES.values()]
    assert sum(f.stat().st_size for f in files) < MAX_BYTES
    for file in files:
        kinds = {t.dtype for t in load_file(file).values()}
        assert kinds <= {torch.float32, torch.int64}, file.name


def test_cards_say_what_is_measured(zoo: dict[str, LoadedModel]) -> None:
    source = digits("digits", "test")
    best, floor = 0.0, 1.0
    for name, model in zoo.items():
        k, n = evaluate(model, source)
        value, low, high = wilson(k, n)
        text = card_path(RECIPES[name]).read_text()
        row = f"| test, as they are | {k} | {n} | {value:.4f} | {low:.4f} to {high:.4f} |"
        assert row in text, f"{name}: {row}"
        assert model.weights_sha256 in text
        assert f"{model.network.info.parameters:,}" in text
        best = max(best, low)
        if RECIPES[name].shuffled:
            floor = high
    assert best > 0.95
    assert floor < 0.20


@pytest.mark.parametrize(
    ("taught", "plain", "view"),
    [
        ("digits-resnet-rotation", "digits-resnet-plain", View.of("rotate", deg=30)),
        ("digits-efficientnet-rotation", "digits-efficientnet-plain", View.of("rotate", deg=30)),
        ("digits-resnet-noise", "digits-resnet-plain", View.of("noise", sigma=0.3)),
        ("digits-convnext-shift", "digits-convnext-plain", View.of("shift", dx=4, dy=0)),
    ],
)
def test_a_recipe_teaches_its_property(
    taught: str, plain: str, view: View, zoo: dict[str, LoadedModel]
) -> None:
    source = digits("digits", "test")
    (better, n), (worse, _) = (evaluate(zoo[name], source, view) for name in (taught, plain))
    assert better - worse > 0.1 * n, f"{better} against {worse} of {n}"


def test_training_twice_gives_the_same_weights() -> None:
    images, labels = tensors(digits("digits", "train"), transform_of(DATA_CONFIG.model_dump()))
    recipe = replace(RECIPES["digits-convnext-short"], epochs=1, augmentation="noise")
    one, two = (train(recipe, images[:192], labels[:192]).state_dict() for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_keep_shape_and_range(name: str) -> None:
    images = torch.rand((8, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    out = AUGMENTATIONS[name](images, torch.Generator().manual_seed(2))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(out, images) == (name == "none")


def test_the_adversary_raises_the_loss_by_one_small_step() -> None:
    images = torch.full((2, 1, 4, 4), 0.5)
    attacked = fgsm(lambda x: x.square().sum(), images)
    torch.testing.assert_close(attacked, images + 8 / 255)


def test_every_weight_file_belongs_to_a_recipe() -> None:
    folder = weights_path(RECIPES["digits-vit-plain"]).parent
    assert {p.stem for p in folder.iterdir()} == set(RECIPES)
    assert {p.stem for p in Path(folder.parent / "cards").iterdir()} == set(RECIPES)
