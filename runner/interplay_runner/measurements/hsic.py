"""Unbiased HSIC of linear kernels from sums alone, so that no n x n matrix is ever made.

With X float [n, d], K = XX' without its diagonal, and Y, L alike, the unbiased estimator (Song et
al. 2012, JMLR 13:1393) is

    n (n - 3) HSIC_1 = tr(KL) + (1'K1)(1'L1) / ((n - 1)(n - 2)) - 2 / (n - 2) 1'KL1.

It does not change when X or Y is shifted, so both may be centred. Then the rows of XX' sum to 0,
hence (K1)_i = -a_i with a_i = |x_i|^2, and with b_i = |y_i|^2

    tr(KL) = |X'Y|^2 - sum a_i b_i,   1'K1 = -sum a_i,   1'KL1 = sum a_i b_i,

    n (n - 3) HSIC_1 = |X'Y|^2 - n / (n - 2) sum a_i b_i + (sum a_i)(sum b_i) / ((n - 1)(n - 2)).

X'Y and the sums of a b are centred afterwards, from sums over rows as they came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from interplay_runner.measurement import State, UnmeasurableError

__all__ = ["add_rows", "cka", "sums_of", "zeros"]

Pair = tuple[str, str]
MIN_ROWS = 4


def zeros(widths: Mapping[str, int], pairs: Iterable[Pair]) -> State:
    """The empty sums of named features and of the pairs that are compared.

    Per feature: sum x and sum a. Per pair: X'Y, sum a b, sum b x and sum a y.
    """
    state: State = {"n": torch.zeros((), dtype=torch.int64)}
    shapes: dict[str, tuple[int, ...]] = {}
    for x, width in widths.items():
        shapes |= {f"{x}.x": (width,), f"{x}.a": ()}
    for x, y in pairs:
        shapes |= {f"{x}-{y}.xy": (widths[x], widths[y]), f"{x}-{y}.ab": ()}
        shapes |= {f"{x}-{y}.bx": (widths[x],), f"{x}-{y}.ay": (widths[y],)}
    return state | {k: torch.zeros(s, dtype=torch.float64) for k, s in shapes.items()}


def add_rows(state: State, features: Mapping[str, Tensor], pairs: Iterable[Pair]) -> None:
    """Add rows, float [rows, width] of each named feature."""
    given = {name: z.double() for name, z in features.items()}
    norms = {name: z.square().sum(dim=1) for name, z in given.items()}
    state["n"] += len(next(iter(given.values())))
    for name, z in given.items():
        state[f"{name}.x"] += z.sum(dim=0)
        state[f"{name}.a"] += norms[name].sum()
    for x, y in pairs:
        state[f"{x}-{y}.xy"].addmm_(given[x].T, given[y])
        state[f"{x}-{y}.ab"] += norms[x] @ norms[y]
        state[f"{x}-{y}.bx"] += norms[y] @ given[x]
        state[f"{x}-{y}.ay"] += norms[x] @ given[y]


def sums_of(x: str, y: str) -> list[str]:
    """The names of the sums that the CKA of one pair is made of."""
    singles = [f"{name}.{s}" for name in dict.fromkeys((x, y)) for s in ("x", "a")]
    pairs = dict.fromkeys(((x, y), (x, x), (y, y)))
    return singles + [f"{p}-{q}.{s}" for p, q in pairs for s in ("xy", "ab", "bx", "ay")]


def cka(state: State, x: str, y: str) -> float:
    """HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)), in [-1, 1].

    HSIC_1 is an inner product of doubly centred matrices (Szekely & Rizzo 2014), hence the bounds.
    """
    n = int(state["n"])
    if n < MIN_ROWS:
        raise UnmeasurableError(f"{n} samples are too few for the unbiased HSIC")
    own = [_hsic(state, name, name) for name in (x, y)]
    return _hsic(state, x, y) / math.sqrt(own[0] * own[1])


def _hsic(state: State, x: str, y: str) -> float:
    """n (n - 3) HSIC_1 from the sums of a pair."""
    n = int(state["n"])
    p, q = state[f"{x}.x"] / n, state[f"{y}.x"] / n
    a, b = _spread(state, x, n), _spread(state, y, n)
    xy, ab, bx, ay = (state[f"{x}-{y}.{s}"] for s in ("xy", "ab", "bx", "ay"))
    pp, qq = float(p @ p), float(q @ q)
    # a_i of the centred row is a_i - 2 p x_i + |p|^2; the sums of x_i and y_i are n p and n q.
    product = float(ab + 4 * p @ xy @ q - 2 * q @ ay - 2 * p @ bx)
    product += qq * float(state[f"{x}.a"]) + pp * float(state[f"{y}.a"]) - 3 * n * pp * qq
    square = float((xy - n * torch.outer(p, q)).square().sum())
    hsic = square - n / (n - 2) * product + a * b / ((n - 1) * (n - 2))
    if x == y and hsic <= 1e-10 * square:
        raise UnmeasurableError("no two samples are more alike than any other two")
    return hsic


def _spread(state: State, x: str, n: int) -> float:
    """The sum of a over centred rows."""
    mean, total = state[f"{x}.x"] / n, float(state[f"{x}.a"])
    spread = total - n * float(mean @ mean)
    if spread <= 1e-12 * total:
        raise UnmeasurableError("the features do not vary")
    return spread
