"""The same numbers as timm: input tensors bit for bit, logits to 1e-5; planted bugs show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from interplay_runner.models import LoadedModel, load_model

from .builders import plan_model, seeded

ARCHITECTURES = ("test_resnet", "test_vit", "test_efficientnet", "test_convnext", "test_mambaout")
SIZES = ((200, 180), (120, 310), (257, 161), (160, 160), (90, 75), (333, 222))


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """Noise over a gradient, of several sizes and modes, so that every step leaves a mark."""
    rng = np.random.default_rng(0)
    out = []
    for width, height in SIZES:
        ramp = np.linspace(0, 155, width)[None, :, None] + rng.integers(0, 100, (height, width, 3))
        out.append(Image.fromarray(ramp.astype(np.uint8)))
    return [*out[:-1], out[-1].convert("L")]


def reference(module: nn.Module, images: list[Image.Image]) -> tuple[Tensor, Tensor]:
    """(inputs, logits) exactly as timm's own validation makes them."""
    config = timm.data.resolve_data_config({}, model=module, use_test_size=True)
    transform = timm.data.create_transform(**config, is_training=False)
    inputs = torch.stack([transform(image.convert("RGB")) for image in images])
    with torch.no_grad():
        return inputs, module(inputs)


def ours(model: LoadedModel, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return model.network.forward(pixels).logits


def normalise(model: LoadedModel, pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(model.data_config[k]).view(1, -1, 1, 1) for k in ("mean", "std"))
    return (pixels - mean) / std


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_inputs_and_logits(architecture: str, images: list[Image.Image], tmp_path: Path) -> None:
    module = seeded(architecture)
    inputs, logits = reference(module, images)
    model = load_model(plan_model(architecture, module, tmp_path), "cpu", "fp32")
    pixels = torch.stack([model.transform(image) for image in images])
    assert 0 <= pixels.min() <= pixels.max() <= 1
    assert torch.equal(normalise(model, pixels), inputs)
    output = ours(model, pixels)
    torch.testing.assert_close(output, logits, rtol=0, atol=1e-5)
    # Labels are the reference's choice on half of the images, so top-1 is known to be one half.
    labels = logits.argmax(dim=1)
    labels[: len(images) // 2] += 1
    assert (output.argmax(dim=1) == labels).float().mean() == 0.5


def planted(bug: str, model: LoadedModel, images: list[Image.Image]) -> Tensor:
    """The pixels that a wrong preprocessing would give."""
    pixels = torch.stack([model.transform(image) for image in images])
    if bug == "BGR":
        return pixels.flip(1)
    if bug == "no normalisation":
        return pixels * torch.tensor(model.data_config["std"]).view(1, -1, 1, 1)
    return pixels


@pytest.mark.parametrize(
    ("bug", "data_config"),
    [
        ("bilinear for bicubic", {"interpolation": "bilinear"}),
        ("crop", {"cropPct": 0.85}),
        ("BGR", {}),
        ("no normalisation", {}),
    ],
)
def test_a_planted_bug_shows(
    bug: str, data_config: dict[str, object], images: list[Image.Image], tmp_path: Path
) -> None:
    module = seeded("test_vit")
    inputs, logits = reference(module, images)
    plan = plan_model("test_vit", module, tmp_path, dataConfig=data_config)
    model = load_model(plan, "cpu", "fp32")
    pixels = planted(bug, model, images)
    assert not torch.equal(normalise(model, pixels), inputs)
    assert (ours(model, pixels) - logits).abs().max() > 1e-4


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "test_byobnet", "test_vit3"])
def test_features_are_what_the_head_reads(architecture: str, tmp_path: Path) -> None:
    module = seeded(architecture)
    model = load_model(plan_model(architecture, module, tmp_path), "cpu", "fp32")
    pixels = torch.rand(3, *model.network.info.input_size)
    with torch.no_grad():
        output = model.network.forward(pixels)
        expected = module.get_classifier()(output.features)  # type: ignore[operator]
    assert output.features.shape == (3, model.network.info.feature_dim)
    torch.testing.assert_close(output.logits, expected, rtol=0, atol=1e-5)


def test_gradients_are_of_pixels_and_weights_get_none(tmp_path: Path) -> None:
    module = seeded("test_resnet")
    model = load_model(plan_model("test_resnet", module, tmp_path), "cpu", "fp32")
    pixels = torch.rand(2, *model.network.info.input_size, requires_grad=True)
    model.network.forward(pixels).logits.sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_is_near_and_comes_out_as_float32(precision: str, tmp_path: Path) -> None:
    module = seeded("test_vit")
    plan = plan_model("test_vit", module, tmp_path)
    full, reduced = (load_model(plan, "cpu", p) for p in ("fp32", precision))
    pixels = torch.rand(4, *full.network.info.input_size)
    a, b = ours(full, pixels), ours(reduced, pixels)
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.05
