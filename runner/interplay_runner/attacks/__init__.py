"""Adversarial attacks: pure functions from correctly classified images to images that are not.

An attack is called as `attack(victim, samples, ball)` and gives an Outcome. What becomes of a row
follows from its image, label, id and the attack's seed alone, up to the rounding of the model's
forward: random numbers are drawn per sample id, never per batch. A row leaves the work as soon as
it is fooled, and the model then runs on a smaller batch (victim.py).
"""

from .apgd import ApgdCe, ApgdT
from .ball import Ball, Norm
from .batch import examine
from .fab import FabT
from .outcome import Attack, Outcome, Samples
from .pgd import Pgd
from .square import Square
from .victim import Victim, batch_sizes

__all__ = [
    "ApgdCe",
    "ApgdT",
    "Attack",
    "Ball",
    "FabT",
    "Norm",
    "Outcome",
    "Pgd",
    "Samples",
    "Square",
    "Victim",
    "batch_sizes",
    "examine",
]
