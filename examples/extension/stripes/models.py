"""A model of one's own: a class that builds a torch module with the methods of timm's models."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["OrientationEnergy"]

SIDE = 15


class OrientationEnergy(nn.Module):
    """Gabor filters in pairs, one pair per orientation; their mean energy is the evidence for it.

    Its parameters are `args` of the Model resource, and `num_classes`.
    """

    own_weights = True
    """The filters are computed: a Model without a checkpoint is complete."""

    def __init__(self, num_classes: int = 4, wavelength: float = 8.0, gain: float = 20.0) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "input_size": (1, 32, 32), "mean": (0.5,), "std": (0.5,),
            "interpolation": "bilinear", "crop_pct": 1.0,
        }  # fmt: skip
        self.filters = nn.Conv2d(1, 2 * num_classes, SIDE, bias=False)
        self.filters.weight.data = _gabor(num_classes, wavelength)
        self.head = nn.Linear(num_classes, num_classes, bias=False)
        self.head.weight.data = gain * torch.eye(num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """images: float32 [n, 1, 32, 32], normalised. Returns energies [n, classes, h, w]."""
        even, odd = self.filters(images).chunk(2, dim=1)
        return torch.sqrt(even.square() + odd.square() + 1e-12)

    def forward_head(self, energies: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits [n, classes], or the pooled features [n, classes] that they are made of."""
        pooled = energies.mean(dim=(2, 3))
        logits: Tensor = self.head(pooled)
        return pooled if pre_logits else logits

    def forward(self, images: Tensor) -> Tensor:
        """images: float32 [n, 1, 32, 32], normalised. Returns logits [n, classes]."""
        return self.forward_head(self.forward_features(images))


def _gabor(orientations: int, wavelength: float) -> Tensor:
    """Even filters, then odd ones, float32 [2 * orientations, 1, SIDE, SIDE]."""
    place = torch.arange(SIDE) - SIDE // 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    envelope = torch.exp(-(x.square() + y.square()) / (2 * (SIDE / 5) ** 2))
    envelope = envelope / envelope.sum()
    angles = [k * math.pi / orientations for k in range(orientations)]
    phases = [2 * math.pi / wavelength * (x * math.cos(a) + y * math.sin(a)) for a in angles]
    even, odd = ([f(p) * envelope for p in phases] for f in (torch.cos, torch.sin))
    # An even filter must not see the brightness of the image.
    even = [f - f.sum() * envelope for f in even]
    return torch.stack([*even, *odd])[:, None]
