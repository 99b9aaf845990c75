"""A timm-like module behind the one interface that measurements know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interplay_runner.errors import ModelError, one_line
from interplay_runner.measurement import Head, ModelInfo, Output

from .macs import count_macs

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
        self._stages = _stages(module)
        size = tuple(config["input_size"])
        output = self._probe(size)
        logits, features = output.logits, output.features
        if num_classes not in (None, logits.shape[1]):
            raise ModelError(
                f"spec.numClasses: the model gives {logits.shape[1]} logits, not {num_classes}"
            )
        self.info = ModelInfo(
            name=name,
            num_classes=logits.shape[1],
            feature_dim=features.shape[1],
            input_size=size,
            parameters=sum(p.numel() for p in module.parameters()),
            layers={name: x.shape[1] for name, x in output.layers.items()},
            head=_head(module, output),
            macs=self._macs(size),
        )

    def forward(self, images: Tensor) -> Output:
        """images: float32 [n, C, H, W] in [0, 1], on any device; the output lies on the model's."""
        normal = self._normalise(images)
        with self._precision():
            maps = self._module.forward_features(normal)
            logits = self._module.forward_head(maps)
            features = self._module.forward_head(maps, pre_logits=True).flatten(1)
        return Output(logits.float(), features.float())

    def forward_layers(self, images: Tensor) -> Output:
        """The same forward, with the pooled outputs of the stages that timm declares."""
        found: dict[str, Tensor] = {}
        handles = [
            stage.register_forward_hook(_keeper(found, name, width))
            for name, (stage, width) in self._stages.items()
        ]
        try:
            output = self.forward(images)
        finally:
            for handle in handles:
                handle.remove()
        return replace(output, layers=found)

    def _normalise(self, images: Tensor) -> Tensor:
        return (images.to(self._device) - self._mean) / self._std

    def _precision(self) -> torch.autocast:
        reduced = self._dtype != torch.float32
        return torch.autocast(self._device.type, self._dtype, enabled=reduced)

    @torch.no_grad()
    def _macs(self, size: tuple[int, ...]) -> int | None:
        """Multiply-adds of one image from pixels to logits."""
        image = self._normalise(torch.zeros((1, *size)))
        with self._precision():
            return count_macs(lambda: self._module(image))

    @torch.no_grad()
    def _probe(self, size: tuple[int, ...]) -> Output:
        """What one image gives; what cannot be measured fails here."""
        image = torch.rand((1, *size), generator=torch.Generator().manual_seed(0))
        try:
            output = self.forward_layers(image)
            with self._precision():
                whole = self._module(self._normalise(image)).float()
        except (RuntimeError, ValueError, AssertionError, TypeError, AttributeError) as error:
            raise ModelError(
                f"spec: the model does not run on {size}: {one_line(error)}"
            ) from error
        logits = output.logits
        if logits.ndim != 2 or logits.shape[1] < 1:
            raise ModelError(f"spec: the model gives {tuple(logits.shape)}, not logits")
        same = whole.shape == logits.shape
        if not same or not torch.allclose(whole, logits, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ModelError("spec: the model's forward is not forward_head(forward_features(x))")
        return output


def _stages(module: nn.Module) -> dict[str, tuple[nn.Module, int]]:
    """The stages that `feature_info` lists, as timm models do: name to (module, channels)."""
    listed = getattr(module, "feature_info", None) or []
    named = dict(module.named_modules())
    found = {}
    for item in listed:
        name, width = item.get("module", ""), item.get("num_chs", 0)
        if name in named:
            found[name] = named[name], width
    return found


def _keeper(found: dict[str, Tensor], name: str, width: int) -> Callable[..., None]:
    """A hook that keeps the output of one stage, pooled to float32 [n, width]."""

    def keep(module: nn.Module, args: object, output: object) -> None:
        del module, args
        if isinstance(output, Tensor) and (pooled := _pooled(output, width)) is not None:
            found[name] = pooled.float()

    return keep


def _pooled(x: Tensor, width: int) -> Tensor | None:
    """Mean over places: of maps [n, width, h, w] or [n, h, w, width], of tokens [n, t, width]."""
    if x.ndim == 4 and x.shape[1] == width:
        return x.mean(dim=(2, 3))
    if x.ndim == 4 and x.shape[3] == width:
        return x.mean(dim=(1, 2))
    if x.ndim == 3 and x.shape[2] == width:
        return x.mean(dim=1)
    return x if x.ndim == 2 and x.shape[1] == width else None


def _head(module: Any, output: Output) -> Head | None:
    """The classifier, if the logits are that linear map of the features."""
    try:
        last = module.get_classifier()
    except AttributeError:
        return None
    if not isinstance(last, nn.Linear) or last.in_features != output.features.shape[1]:
        return None
    weight = last.weight.detach().float().cpu()
    bias = torch.zeros(len(weight)) if last.bias is None else last.bias.detach().float().cpu()
    logits = output.features.cpu() @ weight.T + bias
    fits = logits.shape == output.logits.shape
    if not fits or not torch.allclose(logits, output.logits.cpu(), rtol=1e-2, atol=1e-2):
        return None
    return Head(weight, bias)
