"""The model's own evaluation preprocessing, timm's, cut in two: before and after the views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from interplay_runner.errors import DataError, ModelError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from interplay_api.library import ModelSpec

__all__ = ["Transform", "exact_transform_of", "resolve_config", "transform_of"]

MODES = {1: "L", 3: "RGB"}


def resolve_config(module: nn.Module, spec: ModelSpec) -> dict[str, Any]:
    """input_size, interpolation, crop_pct, crop_mode, mean and std, as timm's validation sets them.

    The test size of the weights counts where they name one; `spec.dataConfig` goes before all.
    """
    from timm.data import resolve_input_data_config

    given = spec.data_config.model_dump(exclude_none=True) if spec.data_config else {}
    if "input_size" not in given and "img_size" in spec.args:
        given["img_size"] = spec.args["img_size"]
    try:
        config: dict[str, Any] = resolve_input_data_config(module, given, use_test_size=True)
    except (ValueError, AssertionError) as error:
        raise ModelError(f"spec.dataConfig: {one_line(error)}") from error
    if config["input_size"][0] not in MODES:
        raise ModelError(f"spec.args.in_chans: {config['input_size'][0]} channels, not 1 or 3")
    return config


@dataclass(frozen=True, slots=True)
class Transform:
    """image -> float32 [C, H, W] in [0, 1]: right mode, resized and cropped, not normalised."""

    mode: str
    steps: Callable[[Image], Tensor]

    def __call__(self, image: Image) -> Tensor:
        return self.steps(image if image.mode == self.mode else image.convert(self.mode))


def transform_of(config: Mapping[str, Any]) -> Transform:
    """timm's evaluation transform without its last step, which `VisionNetwork` does itself."""
    from timm.data import create_transform
    from torchvision.transforms import Compose, Normalize

    whole = create_transform(**config, is_training=False)
    *steps, last = whole.transforms
    assert isinstance(last, Normalize)
    return Transform(MODES[config["input_size"][0]], Compose(steps))


def exact_transform_of(config: Mapping[str, Any]) -> Transform:
    """The same without resize and crop; an image of another size is a DataError.

    A second resize of images that are stored at the model's size changes what was measured.
    """
    from torchvision.transforms.functional import to_tensor

    _, height, width = config["input_size"]

    def steps(image: Image) -> Tensor:
        if image.size != (width, height):
            raise DataError(f"{image.width} x {image.height} pixels, not {width} x {height}")
        tensor: Tensor = to_tensor(image)
        return tensor

    return Transform(MODES[config["input_size"][0]], steps)
