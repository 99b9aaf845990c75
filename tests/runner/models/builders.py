"""Small models in files, the way a user would have them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from interplay_api.plan import PlanModel


def seeded(architecture: str, **args: Any) -> nn.Module:
    """A timm model with random weights and, where it has batch statistics, ones of its own."""
    import timm

    torch.manual_seed(0)
    module: nn.Module = timm.create_model(architecture, num_classes=10, **args).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
    return module


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plan_model(architecture: str, module: nn.Module, folder: Path, **fields: object) -> PlanModel:
    """The module as a Model with a safetensors checkpoint."""
    path = folder / f"{architecture}.safetensors"
    save_file(module.state_dict(), path)
    return plan_file(architecture, path, **fields)


def plan_file(architecture: str, path: Path, **fields: object) -> PlanModel:
    """A Model whose checkpoint is a file, with its right digest."""
    spec = {
        "timm": architecture,
        "numClasses": 10,
        "checkpoint": {"file": str(path), "sha256": sha256(path)},
        **fields,
    }
    return PlanModel.model_validate({"name": "m", "spec": spec})
