"""Adversarial accuracy under projected gradient descent, by a fixed protocol."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from interplay_api.names import metric_key
from interplay_runner.attacks import Ball, Norm, Pgd, examine
from interplay_runner.measurement import (
    GRADIENT,
    Batch,
    BatchMeasurement,
    Columns,
    ModelInfo,
    Network,
    Parameters,
    Value,
)

from .values import Distinct, share

__all__ = ["PgdAccuracy"]


class PgdParams(Parameters):
    """Norm, radii (linf: in 1/255 of the pixel range; l2: in pixel ranges) and effort."""

    norm: Norm = "linf"
    epsilons: Distinct[Annotated[float, Field(ge=0, le=10_000)]] = Field(
        (1, 2, 4, 8), min_length=1, max_length=16
    )
    steps: int = Field(20, ge=1, le=1000)
    restarts: int = Field(1, ge=1, le=20)


class PgdAccuracy(BatchMeasurement):
    """Top-1 under projected gradient descent (PGD) in the maximum or l2 norm, per epsilon.

    x_0 uniform in the ball of radius eps around x; x_{k+1} = P(x_k + 2.5 eps/steps u_k), u_k the
    step of norm 1 along which CE(f(x_k), y) rises fastest (its gradient's sign for linf, its
    direction for l2), P back into [0, 1] and, towards x, into the ball. Pixel space; `restarts`
    starts.

    - `pgd_<norm>_top1_eps<eps>`: the share of images that are right as they are and at every x_k
      of every start. In [0, 1], higher is better; epsilon 0 gives the clean top-1. An upper bound
      of robust accuracy, since an attack that fails proves nothing.
    - `pgd_<norm>_gradient_masking`: the same at the radius at which each image can become one and
      the same grey one (linf 1/2, l2 sqrt(C H W)/2), where no model keeps more than the share of
      its commonest label. In [0, 1], 0 is right; clearly above that share, gradients mislead the
      attack and the values beside it are too high.

    Wilson's interval. Rows are attacked with random numbers of their own id; a row leaves once
    fooled, and the batch shrinks by halves, so another batch size may change a value by 0.2 points.
    Cost G: at most steps + 1 forwards and backwards per epsilon and start.
    Source: Madry et al. 2018, arXiv 1706.06083; the value of gradient masking is ours, after
    Athalye et al. 2018, arXiv 1802.00420.
    """

    Params = PgdParams
    category = "benefit"
    params: PgdParams

    def forwards(self, model: ModelInfo) -> float:
        """At most, as rows leave once they are fooled."""
        del model
        balls = 1 + sum(eps > 0 for eps in self.params.epsilons)
        return 1 + balls * self.params.restarts * (self.params.steps * GRADIENT + 1)

    @torch.inference_mode(False)
    def run_batch(self, network: Network, batch: Batch) -> Columns:
        seen = examine(network, batch)
        attack = Pgd(self.params.steps, self.params.restarts, self.seed)
        columns: Columns = {}
        for column, ball in self._balls(batch.images[0].numel()).items():
            hits = seen.hits.clone()
            if ball.radius > 0:
                hits[seen.rows] = ~attack(seen.victim, seen.samples, ball).fooled
            columns[column] = hits.cpu().numpy()
        return columns

    def _balls(self, pixels: int) -> dict[str, Ball]:
        norm = self.params.norm
        balls = {metric_key("hit", eps=e): Ball.of(norm, e) for e in self.params.epsilons}
        return {**balls, "hit_grey": Ball.grey(norm, pixels)}

    def compute(self, columns: Columns) -> dict[str, Value | float]:
        name = f"pgd_{self.params.norm}"
        hits = {
            metric_key(f"{name}_top1", eps=e): metric_key("hit", eps=e)
            for e in self.params.epsilons
        }
        hits[f"{name}_gradient_masking"] = "hit_grey"
        return {metric: share(columns[c].astype(np.bool_)) for metric, c in hits.items()}
