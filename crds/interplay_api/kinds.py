"""The kinds of the API, each with what its CRD says beside the types: one table, read by all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .base import ApiModel
from .evaluation import EVALUATION_NAME, EvaluationSpec, EvaluationStatus
from .library import DatasetSpec, MeasurementGroupSpec, MeasurementSpec, ModelSpec
from .mode import ModeSpec
from .modelrun import ModelRunSpec, ModelRunStatus
from .rules import Rule

__all__ = ["KINDS", "Column", "Kind"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `wide` ones need -o wide."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind."""

    name: str
    description: str
    spec: type[ApiModel]
    columns: Sequence[Column]
    status: type[ApiModel] | None = None
    short_names: Sequence[str] = ()
    rules: Sequence[Rule] = ()
    """Rules at the root, where metadata.name is."""
    library: bool = False
    """Evaluations name it."""
    selectable: Sequence[str] = ()
    """Fields for --field-selector."""
    immutable: bool = False
    """The spec is never edited; `spec` is required as well, or else it could be removed."""
    freeze_defaults: bool = False
    """The spec's defaults are written into the object at its creation, so that a later operator
    with other defaults changes nothing that runs. The library's are frozen by the plan instead."""

    @property
    def plural(self) -> str:
        """The name in URLs."""
        return f"{self.name.lower()}s"


def _condition(type_: str) -> Column:
    return Column(type_, f'.status.conditions[?(@.type=="{type_}")].status')


KINDS: Sequence[Kind] = (
    Kind(
        "Evaluation",
        "Which models, which measurements, in which mode; and what came of it.",
        EvaluationSpec,
        status=EvaluationStatus,
        short_names=("eval",),
        rules=(EVALUATION_NAME,),
        freeze_defaults=True,
        columns=(
            Column("Models", ".status.models.total", "integer"),
            Column("Progress", ".status.summary"),
            _condition("Complete"),
            _condition("Failed"),
            Column("Mode", ".spec.mode", wide=True),
            Column("Running", ".status.models.running", "integer", wide=True),
            Column("Reused", ".status.models.reused", "integer", wide=True),
        ),
    ),
    Kind(
        "ModelRun",
        "One model of one Evaluation, its frozen plan and its results; the operator's to write.",
        ModelRunSpec,
        status=ModelRunStatus,
        short_names=("mrun",),
        selectable=(".spec.evaluation",),
        immutable=True,
        columns=(
            Column("Evaluation", ".spec.evaluation"),
            Column("Model", ".spec.model"),
            _condition("Complete"),
            _condition("Failed"),
            Column("Attempt", ".status.attempt", "integer", wide=True),
            Column("Job", ".status.jobName", wide=True),
        ),
    ),
    Kind(
        "Model",
        "Where a model comes from.",
        ModelSpec,
        library=True,
        columns=(
            Column("Timm", ".spec.timm"),
            Column("Hub", ".spec.hub.id"),
            Column("Classes", ".spec.numClasses", "integer"),
        ),
    ),
    Kind(
        "Dataset",
        "Where images and labels come from.",
        DatasetSpec,
        library=True,
        short_names=("dset",),
        columns=(
            Column("Embedded", ".spec.embedded.name"),
            Column("Folder", ".spec.imageFolder.path"),
            Column("Split", ".spec.split"),
            Column("Classes", ".spec.numClasses", "integer"),
        ),
    ),
    Kind(
        "Measurement",
        "What to measure, on which datasets, with which parameters.",
        MeasurementSpec,
        library=True,
        short_names=("meas",),
        columns=(
            Column("Category", ".spec.category"),
            Column("Code", ".spec.entryPoint"),
            Column("Datasets", ".spec.datasets"),
        ),
    ),
    Kind(
        "MeasurementGroup",
        "A named list of measurements.",
        MeasurementGroupSpec,
        library=True,
        short_names=("mgroup",),
        columns=(Column("Measurements", ".spec.measurements"),),
    ),
    Kind(
        "Mode",
        "How to run, which is the administrator's to say.",
        ModeSpec,
        library=True,
        columns=(
            Column("Device", ".spec.device"),
            Column("GPUs", ".spec.gpus", "integer"),
            Column("Queue", ".spec.queueName"),
            Column("Image", ".spec.image", wide=True),
        ),
    ),
)
