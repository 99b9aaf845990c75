"""Disentanglement: does each feature speak of one known factor, and each factor to one feature."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints
from scipy import special

from interplay_api.names import metric_key
from interplay_runner.intervals import Estimate
from interplay_runner.measurement import (
    IDENTITY,
    OWN,
    ModelInfo,
    Need,
    Parameters,
    Table,
    TableMeasurement,
    UnmeasurableError,
    Value,
)

from .axis_gaps import information_gap, variance_gap
from .dci import completeness, disentanglement, fit_importance
from .known_factors import Factor, read_factors
from .lasso import Scaled
from .values import absent, measured

__all__ = ["Disentanglement"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Scores = dict[str, float]
"""By metric; NaN where it cannot be had."""

MIN_ROWS = 100
MAX_FEATURES = 4096
BLOCKS = 20
"""The images in blocks of equal size; half of them, at random, make a half of the images."""
HALVES, HALVES_OF = (5, 20), 8192
"""Fewest and most, and in between of so many features together: a wide fit takes seconds."""
ROTATIONS, ROTATIONS_OF = (1, 10), 1024
"""The same; rotations of many features differ little."""
ALIGNED = ("dci_disentanglement", "dci_completeness", "mig", "sap")
"""What a rotation of the features would change."""
UNORDERED = (
    "factor_shape",
    "factor_color",
    "factor_object_shape",
    "factor_object_color",
    "factor_background_color",
    "factor_object_hue",
    "factor_wall_hue",
    "factor_floor_hue",
)
"""Columns of the known datasets whose numbers have no order (a hue runs in a circle)."""

ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


class DisentanglementParams(Parameters):
    """Which columns are factors (all that start with factor_), which of them have no order, and of
    how many images at most."""

    factors: tuple[ColumnName, ...] | None = Field(None, min_length=1, max_length=32)
    categorical: tuple[ColumnName, ...] = Field(UNORDERED, max_length=64)
    rows: int = Field(4000, ge=MIN_ROWS, le=20_000)


class Disentanglement(TableMeasurement):
    """Whether each feature speaks of one known factor of the images (DCI, MIG, SAP).

    Of n images with features z, float [n, d], and K factors, which vary independently of each
    other. A factor with an order is one number v of variance 1; one without (a shape) is an
    indicator per category, variance 1 in sum. Importance R_ij >= 0 of feature i for factor j: size
    of the weight of z_i, scaled to variance 1, in the Lasso for v_j (norm over the indicators).
    It is fitted on the images of one half, by a hash of the id, with that of 16 penalties that has
    the least generalised cross-validation error.

    - `dci_disentanglement`: D = sum_i w_i (1 - H_K(R_i. / sum_j R_ij)), H_K the entropy to base K,
      w_i feature i's share of all importance. In [0, 1]; 1 if each feature serves one factor.
    - `dci_completeness`: C = sum_j w_j (1 - H_d(R_.j / sum_i R_ij)), w_j factor j's share. In
      [0, 1]; 1 if each factor is told by one feature.
    - `dci_informativeness`, and `dci_informativeness_<factor>` of each: mean_j, and each, R^2_j =
      1 - sum |v_j - prediction|^2 / sum |v_j - mean|^2 on the images of the other half. At most 1;
      0 if features say no more than the mean. D and C mean little where this is low.
    - `mig`: mean_j (I(z_a; v_j) - I(z_b; v_j)) / H(v_j), a and b the two features that know most;
      20 bins of equal width per feature, entropies with Miller and Madow's correction. In [0, 1].
    - `sap`: mean_j of the gap between the two largest shares of variance that a feature and v_j
      have in common: squared correlation, or correlation ratio where v_j has no order (instead of
      a classifier's accuracy). In [0, 1].

    Higher is more aligned with the axes, neither good nor bad by itself. `null` is the same of the
    features, scaled to variance 1, after a random rotation, which keeps all information while no
    axis means anything; the mean of up to 10. Informativeness has none: 0 already is its null.
    Delete-half jackknife over 20 random halves (5 of 2,048 features), penalties chosen anew. A
    factor that does not vary is left out with a reason. Sources: Eastwood & Williams 2018 (ICLR);
    Chen et al. 2018 (arXiv 1802.04942); Kumar et al. 2018 (arXiv 1711.00848). Cost: L, D.
    """

    Params = DisentanglementParams
    category = "property"
    cost = "D+L"
    params: DisentanglementParams

    def need(self, model: ModelInfo) -> Need:
        """The features of some images, whose labels mean nothing here."""
        if model.feature_dim < 2:
            raise UnmeasurableError("one feature cannot be disentangled")
        if model.feature_dim > MAX_FEATURES:
            raise UnmeasurableError(
                f"{model.feature_dim} features are more than the {MAX_FEATURES} that can be fitted"
            )
        return Need(outputs=frozenset({"features"}), labels=False, rows=self.params.rows)

    def compute(self, tables: Mapping[str, Table], model: ModelInfo) -> dict[str, Value | float]:
        del model
        table = tables[OWN]
        record = table.records[IDENTITY]
        n = len(record.ids)
        factors, left_out = read_factors(record.meta, self.params.factors, self.params.categorical)
        values: dict[str, Value | float] = {
            _informativeness(name): absent(n, reason) for name, reason in left_out.items()
        }
        reason = None
        if n < MIN_ROWS:
            reason = f"{n} samples are too few, {MIN_ROWS} are needed"
        elif len(factors) < 2:
            reason = f"too few factors vary: {len(factors)}, 2 are needed"
        if reason is not None:
            names = [*ALIGNED, "dci_informativeness", *map(_informativeness, factors)]
            return values | {name: absent(n, reason) for name in names}
        z = table.features[IDENTITY].double().numpy()
        return values | _values(_Scene.of(z, record.ids, factors), self.seed)


def _informativeness(factor: str) -> str:
    return metric_key(f"dci_informativeness_{factor}")


@dataclass(frozen=True, slots=True)
class _Scene:
    """Features float64 [n, d] and factors of n images.

    fit: the half that is fitted; block: int64 [n].
    """

    z: Array
    factors: Mapping[str, Factor]
    fit: Mask
    block: npt.NDArray[np.int64]

    @classmethod
    def of(cls, z: Array, ids: Iterable[str], factors: Mapping[str, Factor]) -> _Scene:
        digests = [hashlib.sha256(f"disentanglement:{i}".encode()).digest() for i in ids]
        first = np.array([d[0] for d in digests])
        rank = np.argsort(np.argsort([int.from_bytes(d[1:8]) for d in digests]))
        return cls(z, factors, first % 2 == 0, rank * BLOCKS // len(z))

    def rotated(self, rng: np.random.Generator) -> _Scene:
        """The same images, their scaled features turned at random."""
        d = self.z.shape[1]
        q, r = np.linalg.qr(rng.standard_normal((d, d)))
        turn = q * np.sign(np.diagonal(r))  # uniform over all rotations
        return replace(self, z=Scaled.of(self.z).x @ turn)

    def rows(self, keep: Mask) -> _Scene:
        """A part of the images."""
        factors = {name: f.rows(keep) for name, f in self.factors.items()}
        return _Scene(self.z[keep], factors, self.fit[keep], self.block[keep])

    def scores(self) -> Scores:
        """Every metric."""
        factors = [*self.factors.values()]
        importance, r2 = fit_importance(self.z, [f.target for f in factors], self.fit)
        return {
            "dci_disentanglement": disentanglement(importance),
            "dci_completeness": completeness(importance),
            "dci_informativeness": float(r2.mean()),
            "mig": information_gap(self.z, factors),
            "sap": variance_gap(self.z, factors),
            **{_informativeness(n): float(x) for n, x in zip(self.factors, r2, strict=True)},
        }


def _values(scene: _Scene, seed: int) -> dict[str, Value]:
    n, d = scene.z.shape
    rng = np.random.Generator(np.random.PCG64(seed))
    full = scene.scores()
    count = int(np.clip(HALVES_OF // d, *HALVES))
    halves = [rng.permutation(BLOCKS)[: BLOCKS // 2] for _ in range(count)]
    parts = [scene.rows(np.isin(scene.block, half)).scores() for half in halves]
    turns = int(np.clip(ROTATIONS_OF // d, *ROTATIONS))
    turned = [scene.rotated(rng).scores() for _ in range(turns)]

    def value(name: str) -> Value:
        aligned = name in ALIGNED
        null = float(np.mean([t[name] for t in turned]))
        return measured(
            n,
            "half-jackknife",
            lambda: _half_jackknife(name, full[name], [p[name] for p in parts]),
            null=null if aligned and math.isfinite(null) else None,
            bounds=(0, 1) if aligned else (-math.inf, 1),
        )

    return {name: value(name) for name in full}


def _half_jackknife(name: str, full: float, parts: Sequence[float]) -> Estimate:
    """full +- t standard errors, by the delete-half jackknife: the deviation over random halves.

    Leaving out d of n samples multiplies the variance by (n - d) / d, here 1. It holds where a
    choice, of a penalty here, makes a statistic jump, and leaving out one block does not (Shao &
    Wu 1989, Ann. Stat. 17:1176).
    """
    if not all(map(math.isfinite, [full, *parts])):
        told = name.startswith("dci_informativeness")
        raise UnmeasurableError(
            "a factor does not vary on a part of the samples"
            if told
            else "no factor can be told from the features"
        )
    half = float(special.stdtrit(len(parts) - 1, 0.975)) * float(np.std(parts, ddof=1))
    return Estimate(full, full - half, full + half)
