"""One injected fault, as a line of JSON, and the file that holds all of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Fault", "Log", "read"]


@dataclass(slots=True)
class Fault:
    """What was done, and what came of it."""

    campaign: str
    round: int
    seed: int
    point: str
    time: float = 0.0
    """On the harness's monotonic clock; not written."""
    violations: list[str] = field(default_factory=list)
    seconds: float | None = None
    """From the end of the harm to the right state, where this was the last fault before it."""
    count: int = 1
    """Inputs that this line stands for."""
    apart: float = 0.0
    """Seconds of Kubernetes' own delays that the promise of 30 s does not count."""

    @property
    def survived(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def line(self) -> str:
        """As JSON."""
        fields = asdict(self)
        del fields["time"]
        for name, usual in (("apart", 0.0), ("count", 1)):
            if fields[name] == usual:
                del fields[name]
        if self.seconds is not None:
            fields["seconds"] = round(self.seconds, 2)
        return json.dumps({"type": "fault", **fields, "survived": self.survived})


class Log:
    """The table so far; each round is appended as a whole, so that a run can be taken up again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def done(self) -> set[tuple[str, int, int]]:
        """Campaign, round and seed of what is in the table already."""
        rounds = (line for line in read(self.path) if line["type"] == "round")
        return {(str(r["campaign"]), int(r["round"]), int(r["seed"])) for r in rounds}

    def append(
        self, faults: list[Fault], campaign: str, number: int, seed: int, **more: object
    ) -> None:
        """Write one round."""
        end = {"type": "round", "campaign": campaign, "round": number, "seed": seed, **more}
        lines = [*(f.line() for f in faults), json.dumps(end)]
        with self._lock, self.path.open("a") as file:
            file.write("\n".join(lines) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every line of a table."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)
