"""The twelve recipes: which architecture, taught what. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interplay_api.library import DataConfig

__all__ = ["DATA_CONFIG", "NUM_CLASSES", "RECIPES", "Family", "Recipe", "model_spec"]

NUM_CLASSES = 10
DATA_CONFIG = DataConfig(
    input_size=[1, 32, 32], interpolation="bilinear", crop_pct=1.0, mean=[0.5], std=[0.5]
)
"""One grey channel: the digits have no colour, and views and stems cost a third."""


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture small enough for the digits."""

    name: str
    architecture: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model of the zoo."""

    family: Family
    variant: str
    teaches: str = "the images as they are"
    augmentation: str = "none"
    adversarial: bool = False
    shuffled: bool = False
    epochs: int = 40
    peak_rate: float = 2e-3
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the Model and of its weights."""
        return f"digits-{self.family.name}-{self.variant}"

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the architecture, apart from the number of classes."""
        return {**self.family.args, "in_chans": 1}


RESNET = Family(
    "resnet",
    "resnet18",
    {"layers": [1, 1, 1, 1], "channels": [16, 32, 48, 64], "stem_type": "deep", "stem_width": 8},
)
CONVNEXT = Family("convnext", "convnext_atto", {"depths": [1, 1, 2, 1], "dims": [24, 32, 48, 64]})
EFFICIENTNET = Family("efficientnet", "test_efficientnet")
VIT = Family("vit", "test_vit", {"img_size": 32, "patch_size": 8})
MIXER = Family("mixer", "small_mixer")
MAMBAOUT = Family("mambaout", "test_mambaout")

ROTATIONS = "rotations by up to 45 degrees"
NOISE = "Gaussian noise with a standard deviation of up to 0.5"
SHIFTS = "shifts by up to 4 of 32 pixels"
ATTACKS = "adversarial examples, one gradient step of 8/255 for half of every batch"
SHUFFLED = "shuffled labels: it knows nothing and is the floor of every benefit"
SHORT = "the images as they are, for two epochs only"

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(RESNET, "plain"),
        Recipe(RESNET, "rotation", ROTATIONS, augmentation="rotation"),
        Recipe(RESNET, "noise", NOISE, augmentation="noise"),
        Recipe(RESNET, "shuffled", SHUFFLED, shuffled=True),
        Recipe(CONVNEXT, "plain"),
        Recipe(CONVNEXT, "shift", SHIFTS, augmentation="shift", epochs=60),
        Recipe(CONVNEXT, "short", SHORT, epochs=2),
        Recipe(EFFICIENTNET, "plain"),
        Recipe(EFFICIENTNET, "rotation", ROTATIONS, augmentation="rotation"),
        Recipe(VIT, "plain"),
        Recipe(MIXER, "plain"),
        Recipe(MAMBAOUT, "fgsm", ATTACKS, adversarial=True),
    )
}


def model_spec(recipe: Recipe, sha256: str) -> dict[str, Any]:
    """The spec of the Model resource, once the weights are known."""
    return {
        "timm": recipe.family.architecture,
        "args": recipe.arguments,
        "numClasses": NUM_CLASSES,
        "dataConfig": DATA_CONFIG.wire(),
        "checkpoint": {"embedded": recipe.name, "sha256": sha256},
        "description": f"A small {recipe.family.name} for digits, taught {recipe.teaches}.",
    }
