"""Content keys: two cells with one key would give the same numbers, so only one of them runs."""

from __future__ import annotations

from .library import DatasetSpec, ModelSpec
from .names import digest
from .plan import Cell, PlanDataset, PlanModel, RunSettings

__all__ = ["cell_key", "is_pinned"]


def _model_identity(spec: ModelSpec) -> dict[str, object]:
    wire = spec.wire()
    wire.pop("description", None)
    if spec.checkpoint is not None:
        # The digest is the identity; where the file lies is not.
        wire["checkpoint"] = spec.checkpoint.sha256
    return wire


def _dataset_identity(item: PlanDataset) -> dict[str, object]:
    wire = item.spec.wire()
    wire.pop("description", None)
    # The name is part of every value's key, so a copied cell must carry the same one.
    return {"name": item.name, **wire}


def cell_key(
    model: PlanModel, dataset: PlanDataset, cell: Cell, run: RunSettings, image: str
) -> str:
    """Digest of all that decides the numbers of one cell.

    Runner, torch, timm and device versions are provenance, not key: `numerics` stands for them
    and is raised by hand. The image counts, since it brings the code (operator-rules.md 15).
    """
    size = dataset.spec.size
    limit = run.limit
    if limit is not None and size is not None and limit >= size:
        limit = None
    return digest(
        {
            "model": _model_identity(model.spec),
            "dataset": _dataset_identity(dataset),
            "entryPoint": cell.entry_point,
            "numerics": cell.numerics,
            "parameters": cell.parameters,
            "precision": run.precision,
            "limit": limit,
            "seed": run.seed,
            "image": image,
        }
    )


def is_pinned(model: ModelSpec, dataset: DatasetSpec, image: str) -> bool:
    """Whether a key stands for one content for ever; a cell that is not pinned always runs."""
    weights = model.checkpoint is not None or model.hub is not None
    data = dataset.embedded is not None or dataset.revision is not None
    return weights and data and "@sha256:" in image
