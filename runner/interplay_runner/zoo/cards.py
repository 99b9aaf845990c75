"""The model card of each zoo model, written from measured numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interplay_runner.intervals import wilson

from .recipes import Recipe

__all__ = ["Measured", "card"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What training and evaluation of one model gave; correct: {what: (k of, n)}."""

    sha256: str
    kilobytes: float
    parameters: int
    samples: int
    correct: Mapping[str, tuple[int, int]]


def card(recipe: Recipe, measured: Measured) -> str:
    """The Markdown text."""
    family = recipe.family
    arguments = ", ".join(f"{k}={v}" for k, v in family.args.items()) or "none"
    return f"""# {recipe.name}

A small classifier of handwritten digits, made to be measured. Taught {recipe.teaches}.

| | |
| --- | --- |
| architecture | `{family.architecture}` (arguments: {arguments}; one grey channel, 32 x 32) |
| parameters | {measured.parameters:,} |
| weights | {measured.kilobytes:.0f} kB of float32, SHA-256 `{measured.sha256}` |
| training data | {measured.samples} images of scikit-learn's digits, split `train` |
| augmentation | {_augmentation(recipe)} |
| optimiser | AdamW, weight decay 0.05, one cycle up to {recipe.peak_rate:g}, batch 64 |
| epochs, seed | {recipe.epochs}, {recipe.seed} |

## Top-1 accuracy

| images | correct | n | top-1 | 95 % interval (Wilson) |
| --- | --- | --- | --- | --- |
{_rows(measured.correct)}

Measured once, in float32 on a CPU, right after training, through the runner's own loading.

## Use and limits

For demonstrations, tests and teaching: the recipe makes this model differ from its siblings in a
known way. It knows digits of 8 x 8 pixels from one collection and nothing else; do not use it to
read handwriting. It was not tested for fairness, since the writers are unknown.
"""


def _augmentation(recipe: Recipe) -> str:
    parts: list[str] = [] if recipe.augmentation == "none" else [recipe.augmentation]
    if recipe.adversarial:
        parts.append("adversarial (fast gradient sign, 8/255) for half of every batch")
    if recipe.shuffled:
        parts.append("labels shuffled once, before training")
    return ", ".join(parts) or "none"


def _rows(correct: Mapping[str, tuple[int, int]]) -> str:
    rows = []
    for what, (k, n) in correct.items():
        value, low, high = wilson(k, n)
        rows.append(f"| {what} | {k} | {n} | {value:.4f} | {low:.4f} to {high:.4f} |")
    return "\n".join(rows)
