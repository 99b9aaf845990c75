"""Evaluation + library -> frozen ModelRun specs. Pure: the same with and without a cluster."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import ValidationError

from .base import ApiModel
from .catalog import Catalog, problem_of
from .constants import (
    MAX_CELLS,
    MAX_DATASETS,
    MAX_MODELS,
    MAX_PLAN_BYTES,
    MAX_REFERENCE_MODELS,
)
from .evaluation import EVALUATION_NAME, EvaluationSpec, ModelChoice
from .keys import cell_key
from .library import DatasetSpec, MeasurementGroupSpec, MeasurementSpec, ModelSpec
from .mode import ModeSpec
from .modelrun import ModelRunSpec
from .names import canonical_json, digest, modelrun_name, value_key
from .plan import Cell, Plan, PlanDataset, PlanModel, RunSettings

__all__ = ["Problem", "Resolution", "ResolveError", "ResolvedRun", "resolve"]

T = TypeVar("T", bound=ApiModel)
HINTS = 8
"""So often near names are looked for: a thousand times would take minutes, and nobody reads on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where in the manifest."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ResolveError(ValueError):
    """The Evaluation cannot be resolved; carries every problem found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(p) for p in problems))


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """One ModelRun to be: its deterministic name and its spec."""

    name: str
    spec: ModelRunSpec


@dataclass(frozen=True, slots=True)
class Resolution:
    """All ModelRuns of one Evaluation, in the order of its models."""

    runs: tuple[ResolvedRun, ...]


class _Resolver:
    def __init__(
        self,
        name: str,
        namespace: str,
        spec: EvaluationSpec,
        catalog: Catalog,
        modes: Catalog,
        image: str,
    ) -> None:
        self.name, self.namespace, self.spec = name, namespace, spec
        self.catalog, self.modes, self.default_image = catalog, modes, image
        self.problems: list[Problem] = []
        self.references: dict[str, PlanModel] = {}
        self.named: set[str] = set()
        """Models of the library that some choice has named already; once is enough."""

    def reference_model(self, name: str, field: str) -> None:
        if name not in self.references:
            spec = self.lookup("Model", name, field, ModelSpec)
            if spec is not None:
                self.references[name] = PlanModel(name=name, spec=spec)

    def lookup(self, kind: str, name: str, field: str, type_: type[T]) -> T | None:
        catalog = self.modes if kind == "Mode" else self.catalog
        entry = catalog.find(kind, name)
        if entry is None:
            near = catalog.near(kind, name) if len(self.problems) < HINTS else ()
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            self.problems.append(Problem(field, f"no {kind} is called {name}{hint}"))
            return None
        try:
            return type_.read(entry.spec)
        except ValidationError as error:
            path, message = problem_of(error, f"{kind} {name}: spec")
            self.problems.append(Problem(field, f"{path}: {message}"))
            return None

    def models(self) -> Iterator[PlanModel]:
        for i, choice in enumerate(self.spec.models):
            yield from self._choice(choice, f"spec.models[{i}]")

    def _choice(self, choice: ModelChoice, field: str) -> Iterator[PlanModel]:
        if choice.inline is not None:
            source = choice.inline.timm or choice.inline.hub.id  # type: ignore[union-attr]
            yield PlanModel(name=choice.alias or source, spec=choice.inline)
        elif choice.name is not None:
            yield from self._of_library([choice.name], f"{field}.name")
        else:
            assert choice.selector is not None
            wanted = choice.selector.match_labels.items()
            hits = [name for name, labels in self.labelled if wanted <= labels]
            if not hits:
                text = ",".join(f"{k}={v}" for k, v in wanted)
                self.problems.append(Problem(f"{field}.selector", f"no Model has labels {text}"))
            yield from self._of_library(hits, f"{field}.selector")

    @cached_property
    def labelled(self) -> list[tuple[str, ItemsView[str, str]]]:
        """Every Model of the library and its labels."""
        return [(e.name, dict(e.labels).items()) for e in self.catalog.all("Model")]

    def _of_library(self, names: Iterable[str], field: str) -> Iterator[PlanModel]:
        for name in names:
            if name not in self.named:
                self.named.add(name)
                found = self.lookup("Model", name, field, ModelSpec)
                if found is not None:
                    yield PlanModel(name=name, spec=found)

    def measurement_names(self) -> Iterator[tuple[str, str]]:
        for i, group in enumerate(self.spec.measurements.groups):
            field = f"spec.measurements.groups[{i}]"
            found = self.lookup("MeasurementGroup", group, field, MeasurementGroupSpec)
            for name in found.measurements if found else ():
                yield name, field
        for i, name in enumerate(self.spec.measurements.names):
            yield name, f"spec.measurements.names[{i}]"

    def cells(self) -> tuple[list[Cell], list[PlanDataset]]:
        cells: dict[tuple[str, str], Cell] = {}
        datasets: dict[str, PlanDataset] = {}
        for name, field in dict(reversed(list(self.measurement_names()))).items():
            found = self.lookup("Measurement", name, field, MeasurementSpec)
            if found is None:
                continue
            for dataset in dict.fromkeys([*found.datasets, *found.references.values()]):
                if dataset not in datasets:
                    spec = self.lookup("Dataset", dataset, field, DatasetSpec)
                    if spec is not None:
                        datasets[dataset] = PlanDataset(name=dataset, spec=spec)
            if found.reference_model is not None:
                self.reference_model(found.reference_model, field)
            for dataset in found.datasets:
                cells[name, dataset] = Cell(
                    references=found.references,
                    reference_model=found.reference_model,
                    measurement=name,
                    dataset=dataset,
                    entry_point=found.entry_point,
                    category=found.category,
                    numerics=found.numerics,
                    repeatable=found.repeatable,
                    parameters=found.parameters,
                    key="0" * 64,
                )
        return ([cells[k] for k in sorted(cells)], [datasets[k] for k in sorted(datasets)])

    def run_settings(self, mode: ModeSpec) -> RunSettings:
        over = self.spec.overrides
        given = over.model_dump(exclude_none=True) if over else {}
        base = mode.model_dump(include=set(RunSettings.model_fields))
        return RunSettings.model_validate({**base, **given})

    def mode(self) -> ModeSpec | None:
        mode = self.lookup("Mode", self.spec.mode, "spec.mode", ModeSpec)
        if mode and mode.allowed_namespaces and self.namespace not in mode.allowed_namespaces:
            self.problems.append(
                Problem(
                    "spec.mode", f"Mode {self.spec.mode} is not open to namespace {self.namespace}"
                )
            )
        return mode

    def spec_of(
        self, model: PlanModel, cells: list[Cell], datasets: list[PlanDataset], mode: ModeSpec
    ) -> ModelRunSpec:
        pod, run = mode.pod(), self.run_settings(mode)
        if pod.image is None:
            pod = pod.model_copy(update={"image": self.default_image})
        by_name = {d.name: d for d in datasets}
        image = pod.image or ""

        def key(cell: Cell) -> str:
            reference = self.references.get(cell.reference_model or "")
            return cell_key(model, by_name, cell, run, image, reference)

        keyed = [c.model_copy(update={"key": key(c)}) for c in cells]
        others = [self.references[name] for name in sorted(self.references)]
        plan = Plan(model=model, datasets=datasets, cells=keyed, models=others, run=run)
        outputs = self.spec.outputs
        return ModelRunSpec(
            evaluation=self.name,
            model=model.name,
            plan=plan,
            plan_digest=plan.digest(),
            pod=pod,
            outputs_claim=outputs.claim_name if outputs else None,
        )

    def _bound(self, models: int, cells: list[Cell], datasets: list[PlanDataset]) -> None:
        for field, noun, count, limit in (
            ("spec.models", "models", models, MAX_MODELS),
            ("spec.measurements", "measurements on a dataset", len(cells), MAX_CELLS),
            ("spec.measurements", "datasets", len(datasets), MAX_DATASETS),
            (
                "spec.measurements",
                "reference models",
                len(self.references),
                MAX_REFERENCE_MODELS,
            ),
        ):
            if count > limit:
                self.problems.append(Problem(field, f"{count} {noun}, at most {limit}"))
        prefixes: dict[str, str] = {}
        for item in datasets:
            prefix = value_key(item.name, item.spec.split, "")
            if (other := prefixes.setdefault(prefix, item.name)) != item.name:
                message = f"values of datasets {other} and {item.name} would have the same keys"
                self.problems.append(Problem("spec.measurements", message))

    def resolve(self) -> Resolution:
        if not EVALUATION_NAME.holds(self.name):
            message = EVALUATION_NAME.message.removeprefix("metadata.name ")
            self.problems.append(Problem("metadata.name", message))
        mode = self.mode()
        cells, datasets = self.cells()
        models: dict[str, PlanModel] = {}
        for model in self.models():
            known = models.setdefault(model.name, model)
            if known != model:
                self.problems.append(
                    Problem("spec.models", f"two different models are called {model.name}")
                )
        self._bound(len(models), cells, datasets)
        if self.problems or mode is None:
            raise ResolveError(self.problems)
        runs = []
        for model in models.values():
            spec = self.spec_of(model, cells, datasets, mode)
            size = len(canonical_json(spec.plan.wire()))
            if size > MAX_PLAN_BYTES:
                raise ResolveError(
                    [
                        Problem(
                            "spec.measurements",
                            f"the plan has {size} bytes, at most {MAX_PLAN_BYTES}",
                        )
                    ]
                )
            runs.append(ResolvedRun(run_name(self.name, spec), spec))
        return Resolution(tuple(runs))


def run_name(evaluation: str, spec: ModelRunSpec) -> str:
    """The ModelRun's name; its digest covers the plan and the pod, so that a change of either
    makes another ModelRun."""
    return modelrun_name(evaluation, spec.model, digest(spec.wire()))


def resolve(
    name: str,
    namespace: str,
    spec: EvaluationSpec,
    catalog: Catalog,
    *,
    image: str,
    modes: Catalog | None = None,
) -> Resolution:
    """Resolve one Evaluation.

    `catalog` serves every kind but Mode; `modes` (the admin's layers only) serves Modes and is
    `catalog` where there is no cluster. `image` is the runner image of Modes that name none.
    Raises ResolveError with every problem found, each naming its field.
    """
    return _Resolver(name, namespace, spec, catalog, modes or catalog, image).resolve()
