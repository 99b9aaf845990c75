"""What a model is like and what a forward of it costs, without its weights and in no time.

The architecture is built on torch's meta device, where tensors have shapes and no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from interplay_api.plan import PlanModel
from interplay_runner.measurement import Head, ModelInfo
from interplay_runner.models.architecture import create
from interplay_runner.models.arguments import check_arguments
from interplay_runner.models.preprocess import resolve_config

__all__ = ["Shape", "shape_of"]

WIDTH = 512
"""Features of a model of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Shape:
    """macs: multiply-adds of one forward of one image, in matrix products and convolutions."""

    info: ModelInfo
    macs: float | None = None


def shape_of(model: PlanModel) -> Shape:
    """The shape of a model; a nominal one where it cannot be built here, as with a hub's."""
    try:
        return _built(model)
    except Exception:
        # What is wrong with the model is said when it is loaded; here it only has no known cost.
        return _nominal(model)


def _built(model: PlanModel) -> Shape:
    spec = model.spec
    if spec.timm is None:
        raise LookupError("its architecture is on a hub")
    check_arguments(spec.args)
    classes = {} if spec.num_classes is None else {"num_classes": spec.num_classes}
    with torch.device("meta"), torch.no_grad():
        module: Any = create(spec.timm, {**spec.args, **classes}).eval()
        size = tuple(resolve_config(module, spec)["input_size"])
        with FlopCounterMode(display=False) as counter:
            maps = module.forward_features(torch.empty(1, *size))
            logits = module.forward_head(maps)
        features = module.forward_head(maps, pre_logits=True).flatten(1)
    info = ModelInfo(
        name=model.name,
        num_classes=logits.shape[1],
        feature_dim=features.shape[1],
        input_size=size,
        parameters=sum(p.numel() for p in module.parameters()),
        layers=_layers(module),
        head=_head(module, features),
    )
    return Shape(info, counter.get_total_flops() / 2)


def _layers(module: Any) -> dict[str, int]:
    listed = getattr(module, "feature_info", None) or []
    return {item["module"]: item["num_chs"] for item in listed if "module" in item}


def _head(module: Any, features: Tensor) -> Head | None:
    last = module.get_classifier() if hasattr(module, "get_classifier") else None
    if not isinstance(last, nn.Linear) or last.in_features != features.shape[1]:
        return None
    return Head(last.weight, torch.zeros(last.out_features) if last.bias is None else last.bias)


def _nominal(model: PlanModel) -> Shape:
    """Has all that a measurement may ask for, since it most likely will."""
    classes = model.spec.num_classes or 1000
    head = Head(torch.zeros(classes, WIDTH), torch.zeros(classes))
    layers = {"stage": WIDTH}
    return Shape(ModelInfo(model.name, classes, WIDTH, (3, 224, 224), 0, layers, head))
