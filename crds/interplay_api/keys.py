"""Content keys: two cells with one key would give the same numbers, so only one of them runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    model: PlanModel,
    datasets: Mapping[str, PlanDataset],
    cell: Cell,
    run: RunSettings,
    image: str,
    reference: PlanModel | None = None,
) -> str:
    """Digest of all that decides the numbers of one cell; `reference` is its reference model.

    Runner, torch, timm and device versions are provenance, not key: `numerics` stands for them
    and is raised by hand. The image counts, since it brings the code (operator-rules.md 15).
    """
    read = {role: datasets[name] for role, name in cell.datasets.items()}
    limit = run.limit
    if limit is not None and all(d.spec.size and limit >= d.spec.size for d in read.values()):
        limit = None
    own = read.pop("")
    more: dict[str, object] = {}
    if read:
        more["references"] = {role: _dataset_identity(d) for role, d in read.items()}
    if reference is not None:
        more["referenceModel"] = _model_identity(reference.spec)
    return digest(
        {
            "model": _model_identity(model.spec),
            "dataset": _dataset_identity(own),
            "entryPoint": cell.entry_point,
            "numerics": cell.numerics,
            "parameters": cell.parameters,
            "precision": run.precision,
            "limit": limit,
            "seed": run.seed,
            "image": image,
            **more,
        }
    )


def is_pinned(models: Iterable[ModelSpec], datasets: Iterable[DatasetSpec], image: str) -> bool:
    """Whether a key stands for one content for ever; a cell that is not pinned always runs.

    models, datasets: all that the cell reads.
    """
    weights = all(m.checkpoint is not None or m.hub is not None for m in models)
    data = all(d.embedded is not None or d.revision is not None for d in datasets)
    return weights and data and "@sha256:" in image
