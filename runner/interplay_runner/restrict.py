"""A model seen through the classes of one dataset: only their logits compete.

ImageNet-A and -R have 200 of the 1,000 classes, and a prediction is the best of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from .measurement import Head, ModelInfo, Network, Output, UnmeasurableError

__all__ = ["RestrictedNetwork", "restricted"]


def restricted(info: ModelInfo, classes: Sequence[int] | None) -> ModelInfo:
    """The model with these classes alone, in their order; None leaves it as it is.

    Raises UnmeasurableError where it does not have them.
    """
    if classes is None:
        return info
    if not classes:
        raise UnmeasurableError("spec.logits: Mapped needs labelMap or labelSets")
    if classes[-1] >= info.num_classes:
        raise UnmeasurableError(
            f"spec.labelMap: class {classes[-1]} is not below the model's {info.num_classes}"
        )
    index = list(classes)
    head = info.head and Head(info.head.weight[index], info.head.bias[index])
    reference = info.reference
    if reference is not None and classes[-1] < reference.num_classes:
        reference = restricted(reference, classes)
    return replace(info, num_classes=len(index), head=head, reference=reference)


class RestrictedNetwork:
    """A network with some of its logits."""

    def __init__(self, network: Network, classes: Sequence[int]) -> None:
        self._network, self._classes = network, list(classes)
        self.info = restricted(network.info, classes)

    def forward(self, images: Tensor) -> Output:
        """images: float32 [n, C, H, W] in [0, 1]."""
        return self._cut(self._network.forward(images))

    def forward_layers(self, images: Tensor) -> Output:
        """The same with the outputs of the stages."""
        return self._cut(self._network.forward_layers(images))

    def _cut(self, output: Output) -> Output:
        return replace(output, logits=output.logits[:, self._classes])
