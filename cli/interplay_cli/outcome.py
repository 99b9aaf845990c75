"""What a finished Evaluation looks like to the commands, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass, field

from interplay_api.evaluation import ModelResult

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """Numbers by model, models without any, and measurements that failed alone."""

    results: list[ModelResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    failed_cells: list[str] = field(default_factory=list)
