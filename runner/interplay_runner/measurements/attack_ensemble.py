"""Robust accuracy under an ensemble of four attacks, each on what the ones before have left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from interplay_api.names import metric_key
from interplay_runner.attacks import (
    ApgdCe,
    ApgdT,
    Attack,
    Ball,
    FabT,
    Norm,
    Square,
    examine,
)
from interplay_runner.measurement import (
    GRADIENT,
    Batch,
    BatchMeasurement,
    Columns,
    ModelInfo,
    Need,
    Network,
    Parameters,
    UnmeasurableError,
    Value,
)

from .values import Distinct, absent, share

__all__ = ["AttackEnsemble"]

LAST_BY_GRADIENT, LAST = "fab_t", "square"


class AttackEnsembleParams(Parameters):
    """Norm, radii (linf: in 1/255 of the pixel range; l2: in pixel ranges) and effort.

    The defaults are those of AutoAttack's standard version.
    """

    norm: Norm = "linf"
    epsilons: Distinct[Annotated[float, Field(ge=0, le=10_000)]] = Field(
        (4,), min_length=1, max_length=8
    )
    steps: int = Field(100, ge=1, le=1000)
    targets: int = Field(9, ge=1, le=999)
    queries: int = Field(5000, ge=1, le=20_000)


class AttackEnsemble(BatchMeasurement):
    """Top-1 under four attacks in turn, each on the images that the others have left, per epsilon.

    AutoAttack's four, in its order: APGD on the cross-entropy; APGD on the targeted difference of
    logits ratio and FAB, each towards the `targets` likeliest other classes; Square, which sees
    no gradients (`queries` forwards). `steps` is of each run of APGD and FAB. Ball in pixel space,
    images in [0, 1]; epsilons rise, and an image that fell at a smaller one is not tried again.

    - `attack_<norm>_<stage>_top1_eps<eps>`, stage apgd_ce, apgd_t, fab_t: the share of images that
      are right as they are and under all attacks up to this one. In [0, 1], higher is better.
    - `attack_<norm>_top1_eps<eps>`: the same under all four: the estimate of robust accuracy, still
      an upper bound of it. Epsilon 0 gives the clean top-1.
    - `gradient_masking_<norm>_eps<eps>`: of the images that the three gradient attacks left at this
      epsilon, the share that Square broke. In [0, 1], lower is better: near 0 is right; more means
      that gradients mislead, and that robust accuracy is overestimated. n counts the images left.

    Wilson's interval. With 3 classes or fewer the ratio is not defined and APGD raises the plain
    difference of logits instead; with one there is nothing to attack. With fewer steps, targets or
    queries than the defaults it is weaker than AutoAttack and must not be called so. Rows are
    attacked with random numbers of their own id; they leave once fooled, and the batch shrinks by
    halves, so another batch size may change a value by 0.2 points. Cost G: per epsilon at most
    steps (1 + 2 targets) forwards and backwards and steps targets + queries forwards.
    Source: Croce and Hein 2020, arXiv 2003.01690 and 1907.02044; Andriushchenko et al. 2020,
    arXiv 1912.00049.
    """

    Params = AttackEnsembleParams
    category = "benefit"
    params: AttackEnsembleParams

    def need(self, model: ModelInfo) -> Need:
        if model.num_classes < 2:
            raise UnmeasurableError("a model of one class cannot be fooled")
        return Need()

    def forwards(self, model: ModelInfo) -> float:
        """At most, as rows leave once they are fooled."""
        p = self.params
        targets = min(p.targets, model.num_classes - 1)
        apgd = (1 + targets) * (p.steps + 1) * GRADIENT
        fab = targets * p.steps * (GRADIENT + 1)
        return 1 + sum(eps > 0 for eps in p.epsilons) * (apgd + fab + p.queries)

    @torch.inference_mode(False)
    def run_batch(self, network: Network, batch: Batch) -> Columns:
        seen = examine(network, batch)
        stages = self._stages()
        standing = torch.ones_like(seen.rows, dtype=torch.bool)
        columns: Columns = {}
        for eps in sorted(self.params.epsilons):
            ball = Ball.of(self.params.norm, eps)
            for stage, attack in stages.items():
                rows = standing.nonzero().squeeze(1)
                if ball.radius > 0 and len(rows):
                    outcome = attack(seen.victim, seen.samples.take(rows), ball)
                    standing[rows[outcome.fooled]] = False
                hits = seen.hits.clone()
                hits[seen.rows] = standing
                columns[_column(stage, eps)] = hits.cpu().numpy()
        return columns

    def _stages(self) -> Mapping[str, Attack]:
        p = self.params
        return {
            "apgd_ce": ApgdCe(p.steps, seed=self.seed),
            "apgd_t": ApgdT(p.steps, p.targets, seed=self.seed),
            LAST_BY_GRADIENT: FabT(p.steps, p.targets),
            LAST: Square(p.queries, seed=self.seed),
        }

    def compute(self, columns: Columns) -> dict[str, Value | float]:
        norm = self.params.norm
        values: dict[str, Value | float] = {}
        for eps in sorted(self.params.epsilons):
            hits = {s: columns[_column(s, eps)].astype(np.bool_) for s in self._stages()}
            for stage, standing in hits.items():
                of = f"attack_{norm}" if stage == LAST else f"attack_{norm}_{stage}"
                values[metric_key(f"{of}_top1", eps=eps)] = share(standing)
            masked = _masked(hits[LAST_BY_GRADIENT], hits[LAST])
            values[metric_key(f"gradient_masking_{norm}", eps=eps)] = masked
        return values


def _column(stage: str, eps: float) -> str:
    return metric_key(f"hit_{stage}", eps=eps)


def _masked(left: npt.NDArray[np.bool_], standing: npt.NDArray[np.bool_]) -> Value:
    """Of the images `left` by gradients, the share that no longer stand."""
    if not left.any():
        return absent(0, "the gradient attacks left no image")
    return share(~standing[left])
