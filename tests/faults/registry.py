"""The campaigns by id: what `python -m tests.faults` can run, and how often.

A campaign is a function of a world and a round. Each round is a unit of its own: it gets a seed,
makes its namespaces, returns its faults, and leaves nothing. Rounds run side by side (`width`) in
one world unless they harm the world itself. Any module `tests/faults/campaign_*.py` or
`tests/faults/hostile*.py` is found by its name:

    @campaign("F31", "Reports of a hostile pod", quick=2, full=10, kind="input")
    def reports(world: World, round_: Round) -> list[Fault]: ...
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.record import Fault
from tests.faults.world import World

__all__ = ["CAMPAIGNS", "Campaign", "Round", "campaign", "load"]


@dataclass(frozen=True)
class Round:
    """One unit of a campaign."""

    campaign: str
    number: int
    seed: int
    """Of the whole run."""
    fast: bool = False
    """End at the first broken promise."""
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dice", random.Random(self.name))

    @property
    def name(self) -> str:
        """What all randomness of this round follows from."""
        return f"{self.seed}/{self.campaign}/{self.number}"

    def fault(self, point: str, **more: float) -> Fault:
        """A fault of this round, injected now."""
        made = Fault(self.campaign, self.number, self.seed, point)
        for key, value in more.items():
            setattr(made, key, value)
        return made


Run = Callable[[World, Round], list[Fault]]


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is run under one id."""

    id: str
    title: str
    run: Run
    quick: int
    """Rounds of `make faults`."""
    full: int
    """Rounds of `make faults-full`."""
    width: int
    """Rounds at the same time; 1 where a round harms what the others share."""
    kind: str
    """`fault`, or `input` where each line is a hostile input."""


CAMPAIGNS: dict[str, Campaign] = {}


def campaign(
    id_: str, title: str, *, quick: int, full: int, width: int = 4, kind: str = "fault"
) -> Callable[[Run], Run]:
    """Register a campaign."""

    def register(run: Run) -> Run:
        CAMPAIGNS[id_] = Campaign(id_, title, run, quick, full, width, kind)
        return run

    return register


def load() -> dict[str, Campaign]:
    """All campaigns, in the order of their ids."""
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("campaign_*.py"), *folder.glob("hostile*.py")]):
        importlib.import_module(f"tests.faults.{path.stem}")
    return dict(sorted(CAMPAIGNS.items()))
