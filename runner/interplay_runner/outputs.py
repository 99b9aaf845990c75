"""What a run leaves in its output folder: report, per-sample records, predictions."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interplay_api.plan import PlanDataset
from interplay_api.report import Report, encode_report

from .state import write_atomically

__all__ = ["CHECKPOINT", "REPORT", "record_path", "write_records", "write_report"]

REPORT = "report.json"
CHECKPOINT = "checkpoint.bin"


def record_path(folder: Path, dataset: PlanDataset) -> Path:
    """`records-<dataset>-<split>.npz`."""
    return folder / f"records-{dataset.name}-{dataset.spec.split}.npz"


def write_report(folder: Path, report: Report) -> None:
    """The very bytes whose digest the termination message names."""
    write_atomically(folder / REPORT, encode_report(report))


def write_records(
    folder: Path, dataset: PlanDataset, columns: dict[str, npt.NDArray[np.generic]]
) -> None:
    """All per-sample columns as .npz; where there are predictions, also as a table for people.

    `correct` is added for every view, since that is what models are compared by.
    """
    correct = {k.replace("rank", "correct", 1): c == 0 for k, c in columns.items() if _is_rank(k)}
    out = io.BytesIO()
    np.savez_compressed(out, **columns, **correct)  # type: ignore[arg-type]
    path = record_path(folder, dataset)
    write_atomically(path, out.getvalue())
    if "pred" in columns:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        names = ("id", "label", "pred", "maxprob")
        writer.writerow(names)
        writer.writerows(zip(*(columns[name].tolist() for name in names), strict=True))
        target = path.with_name(f"predictions-{dataset.name}-{dataset.spec.split}.csv")
        write_atomically(target, table.getvalue().encode())


def _is_rank(column: str) -> bool:
    return column.partition("@")[0] == "rank"
