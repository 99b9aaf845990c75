"""The zoo's Models as library objects: the built-in models.yaml, from recipes and weights."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from interplay_api.constants import API_VERSION

from .recipes import RECIPES, Recipe, model_spec

__all__ = ["card_path", "manifest", "models_yaml", "weights_path", "yaml_path"]

HEADER = "# Written by `python -m interplay_runner.zoo.train`; the recipes are in zoo/recipes.py.\n"


def _zoo() -> Path:
    return Path(str(resources.files("interplay_runner"))) / "zoo"


def weights_path(recipe: Recipe) -> Path:
    """Where the weights lie; `checkpoint.embedded` names them."""
    return _zoo() / "weights" / f"{recipe.name}.safetensors"


def card_path(recipe: Recipe) -> Path:
    """Where the model card lies."""
    return _zoo() / "cards" / f"{recipe.name}.md"


def yaml_path() -> Path:
    """The built-in library's file of models."""
    return Path(str(resources.files("interplay_api"))) / "builtin" / "models.yaml"


def manifest(recipe: Recipe) -> dict[str, Any]:
    """The Model resource, with the digest of the weights as they are now."""
    sha256 = hashlib.sha256(weights_path(recipe).read_bytes()).hexdigest()
    labels = {"data": "digits", "family": recipe.family.name, "recipe": recipe.variant}
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": recipe.name, "labels": labels},
        "spec": model_spec(recipe, sha256),
    }


def models_yaml() -> str:
    """The whole file: every recipe whose weights exist, in the order of the recipes."""
    manifests = [manifest(r) for r in RECIPES.values() if weights_path(r).is_file()]
    return HEADER + yaml.safe_dump_all(
        manifests, sort_keys=False, default_flow_style=None, width=100
    )
