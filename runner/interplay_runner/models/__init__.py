"""Models made ready to measure: architecture, verified weights, own preprocessing, one wrapper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interplay_runner.errors import ModelError, PlanError, one_line
from interplay_runner.measurement import ModelInfo, Network

from .architecture import build
from .network import VisionNetwork
from .preprocess import exact_transform_of, resolve_config, transform_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from interplay_api.plan import PlanDataset, PlanModel

__all__ = ["LoadedModel", "check_classes", "load_model"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device, and what turns an image into its input.

    transform: image -> float32 [C, H, W] in [0, 1], resized and cropped but not normalised.
    exact: the same for images that must have the model's size already.
    weights_sha256: of the checkpoint file; without one, of the names and bytes of the tensors.
    data_config: the resolved evaluation preprocessing, for the report.
    """

    network: Network
    transform: Callable[[Image], Tensor]
    weights_sha256: str
    device: torch.device
    exact: Callable[[Image], Tensor]
    data_config: Mapping[str, object] = field(default_factory=dict)


def load_model(model: PlanModel, device: str, precision: str) -> LoadedModel:
    """Make the model of a plan.

    device: auto, cpu or cuda; precision: fp32, bf16 or fp16 (autocast, weights stay float32).
    Raises ModelError or UnsafeCheckpointError, whose text names the field of the Model, and
    ConnectionError where weights cannot be fetched now, which a retry may heal.
    """
    where = _device(device)
    try:
        built = build(model.spec)
        config = resolve_config(built.module, model.spec)
        network = VisionNetwork(
            built.module.to(where), model.name, config, DTYPES[precision], model.spec.num_classes
        )
    except (ModelError, ConnectionError) as error:
        raise type(error)(f"model {model.name}: {error}") from error
    return LoadedModel(
        network=network,
        transform=transform_of(config),
        weights_sha256=built.weights_sha256,
        device=where,
        exact=exact_transform_of(config),
        data_config=config,
    )


def check_classes(model: ModelInfo, dataset: PlanDataset, num_classes: int) -> None:
    """Refuse a model whose logits do not fit the labels; raises ModelError.

    Fewer classes than logits make sense only where labelMap or labelSets say which.
    """
    mapped = dataset.spec.label_map is not None or dataset.spec.label_sets is not None
    if dataset.spec.logits == "Mapped":
        # The labels stand for the competing classes then, and only those are left.
        num_classes = len(dataset.spec.competing or ())
    subset = mapped and num_classes < model.num_classes
    if num_classes != model.num_classes and not subset:
        raise ModelError(
            f"model {model.name}: spec.numClasses: {model.num_classes} logits, but dataset "
            f"{dataset.name} has {num_classes} classes"
        )


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    try:
        available = torch.cuda.is_available()
    except RuntimeError as error:
        raise PlanError(f"run.device: {one_line(error)}") from error
    if name == "cuda" and not available:
        raise PlanError("run.device: cuda is asked for, but no CUDA device is visible")
    return torch.device("cuda" if available else "cpu")
