"""A timm-like module behind the one interface that measurements know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from interplay_runner.errors import ModelError, one_line
from interplay_runner.measurement import ModelInfo, Output

__all__ = ["VisionNetwork"]


class VisionNetwork:
    """Normalises, runs the backbone once, and gives logits and pooled features.

    The module is timm's or has its shape: `forward_features(images)`, `forward_head(features)`
    for the logits and `forward_head(features, pre_logits=True)` for the pooled features.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        config: Mapping[str, Any],
        dtype: torch.dtype = torch.float32,
        num_classes: int | None = None,
    ) -> None:
        self._module: Any = module
        self._dtype = dtype
        self._device = next(module.parameters()).device
        self._mean = torch.tensor(config["mean"], device=self._device).view(1, -1, 1, 1)
        self._std = torch.tensor(config["std"], device=self._device).view(1, -1, 1, 1)
        size = tuple(config["input_size"])
        logits, features = self._probe(size)
        if num_classes not in (None, logits):
            raise ModelError(f"spec.numClasses: the model gives {logits} logits, not {num_classes}")
        self.info = ModelInfo(
            name=name,
            num_classes=logits,
            feature_dim=features,
            input_size=size,
            parameters=sum(p.numel() for p in module.parameters()),
        )

    def forward(self, images: Tensor) -> Output:
        """images: float32 [n, C, H, W] in [0, 1], on any device; the output lies on the model's."""
        normal = self._normalise(images)
        with self._precision():
            maps = self._module.forward_features(normal)
            logits = self._module.forward_head(maps)
            features = self._module.forward_head(maps, pre_logits=True).flatten(1)
        return Output(logits.float(), features.float())

    def _normalise(self, images: Tensor) -> Tensor:
        return (images.to(self._device) - self._mean) / self._std

    def _precision(self) -> torch.autocast:
        reduced = self._dtype != torch.float32
        return torch.autocast(self._device.type, self._dtype, enabled=reduced)

    @torch.no_grad()
    def _probe(self, size: tuple[int, ...]) -> tuple[int, int]:
        """(classes, feature width), from one image; what cannot be measured fails here."""
        image = torch.rand((1, *size), generator=torch.Generator().manual_seed(0))
        try:
            output = self.forward(image)
            with self._precision():
                whole = self._module(self._normalise(image)).float()
        except (RuntimeError, ValueError, AssertionError, TypeError, AttributeError) as error:
            raise ModelError(
                f"spec: the model does not run on {size}: {one_line(error)}"
            ) from error
        logits, features = output.logits, output.features
        if logits.ndim != 2 or logits.shape[1] < 1:
            raise ModelError(f"spec: the model gives {tuple(logits.shape)}, not logits")
        same = whole.shape == logits.shape
        if not same or not torch.allclose(whole, logits, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ModelError("spec: the model's forward is not forward_head(forward_features(x))")
        return logits.shape[1], features.shape[1]
