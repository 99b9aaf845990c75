"""Noise: Gaussian, shot, impulse and speckle.

Each function takes float32 [n, C, H, W] in [0, 1], the samples' random numbers and the figures of
one severity (constants.py); the registry clips what it returns.
"""

from __future__ import annotations

from torch import Tensor

from .draws import Draws

__all__ = ["gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"]


def gaussian_noise(images: Tensor, draws: Draws, sigma: float) -> Tensor:
    """x + sigma g, g ~ N(0, 1) per value."""
    return images + sigma * draws.normal(*images.shape[1:]).to(images.device)


def shot_noise(images: Tensor, draws: Draws, photons: float) -> Tensor:
    """Poisson(x photons) / photons: mean x, variance x / photons."""
    return draws.poisson(images * photons) / photons


def impulse_noise(images: Tensor, draws: Draws, share: float) -> Tensor:
    """This share of the values becomes 0 or 1, evenly, each channel by itself."""
    shape = images.shape[1:]
    hit = (draws.uniform(*shape, part="hit") < share).to(images.device)
    salt = (draws.uniform(*shape, part="salt") < 0.5).to(images)
    return salt.where(hit, images)


def speckle_noise(images: Tensor, draws: Draws, sigma: float) -> Tensor:
    """x + sigma x g, g ~ N(0, 1) per value."""
    return images + images * (sigma * draws.normal(*images.shape[1:]).to(images.device))
