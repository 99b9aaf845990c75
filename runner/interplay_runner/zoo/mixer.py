"""A small MLP-Mixer: the example of an architecture of one's own, registered by an entry point."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Mixer"]


class Block(nn.Module):
    """Mix over the patches, then over the channels, each with a residual."""

    def __init__(self, patches: int, width: int, ratio: float) -> None:
        super().__init__()
        self.norm_patches = nn.LayerNorm(width)
        self.mix_patches = _mlp(patches, int(patches * ratio))
        self.norm_channels = nn.LayerNorm(width)
        self.mix_channels = _mlp(width, int(width * ratio))

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [n, patches, width], to the same shape."""
        x = x + self.mix_patches(self.norm_patches(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.mix_channels(self.norm_channels(x))
        return mixed


def _mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021) with the three methods that the runner calls.

    Entry point `small_mixer` of the group `interplay.models`; its parameters are the Model's args.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_chans: int = 1,
        img_size: int = 32,
        patch_size: int = 4,
        width: int = 64,
        depth: int = 4,
        ratio: float = 2.0,
    ) -> None:
        super().__init__()
        patches = (img_size // patch_size) ** 2
        self.pretrained_cfg = {"input_size": (in_chans, img_size, img_size)}
        self.stem = nn.Conv2d(in_chans, width, patch_size, stride=patch_size)
        self.blocks = nn.Sequential(*(Block(patches, width, ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        # As timm's own models list their stages, for what compares layers.
        self.feature_info = [
            {"module": f"blocks.{i}", "num_chs": width, "reduction": patch_size}
            for i in range(depth)
        ]

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        return self.head

    def forward_features(self, images: Tensor) -> Tensor:
        """images: float32 [n, C, H, W], normalised. Returns [n, patches, width]."""
        tokens: Tensor = self.norm(self.blocks(self.stem(images).flatten(2).transpose(1, 2)))
        return tokens

    def forward_head(self, tokens: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits [n, classes], or the pooled features [n, width] that they are made of."""
        pooled = tokens.mean(dim=1)
        logits: Tensor = self.head(pooled)
        return pooled if pre_logits else logits

    def forward(self, images: Tensor) -> Tensor:
        """images: float32 [n, C, H, W], normalised. Returns logits [n, classes]."""
        return self.forward_head(self.forward_features(images))
