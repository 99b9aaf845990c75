"""How a zoo model is trained: seconds on one core, the same weights on the same machine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional

from interplay_runner.data import Source
from interplay_runner.models.architecture import create

from .augment import AUGMENTATIONS, fgsm
from .recipes import NUM_CLASSES, Recipe

__all__ = ["tensors", "train"]

BATCH = 64
WEIGHT_DECAY = 0.05


def tensors(source: Source, transform: Callable[[Image], Tensor]) -> tuple[Tensor, Tensor]:
    """All samples: images float32 [n, C, H, W] in [0, 1] and labels int64 [n]."""
    samples = [source.load(i) for i in range(len(source.ids))]
    images = torch.stack([transform(image) for image, _ in samples])
    return images, torch.tensor([label for _, label in samples])


def train(recipe: Recipe, images: Tensor, labels: Tensor) -> nn.Module:
    """Train by AdamW under one cycle of the rate; images in [0, 1], normalised here by 1/2, 1/2."""
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = create(recipe.family.architecture, {**recipe.arguments, "num_classes": NUM_CLASSES})
    model.train()
    if recipe.shuffled:
        labels = labels[torch.randperm(len(labels), generator=generator)]
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_rate, total_steps=steps * recipe.epochs
    )
    augment = AUGMENTATIONS[recipe.augmentation]
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: steps * BATCH].view(steps, BATCH):
            batch = augment(images[rows], generator)
            if recipe.adversarial:
                batch = _half_adversarial(model, batch, labels[rows])
            optimizer.zero_grad()
            _loss(model, batch, labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(model((images - 0.5) / 0.5), labels)


def _half_adversarial(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    half = len(images) // 2
    attacked = fgsm(lambda probe: _loss(model, probe, labels[:half]), images[:half])
    return torch.cat([attacked, images[half:]])
