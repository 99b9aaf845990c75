"""FGSM on a linear model, where the attack and its effect are known on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interplay_runner.measurement import Batch, UnmeasurableError
from interplay_runner.measurements.fgsm import Fgsm
from tests.runner.measurements.builders import Linear, ids, make, number, values

SEED = 20240606


def fgsm(*epsilons: float) -> Fgsm:
    return make(Fgsm, epsilons=list(epsilons))


def batch(images: torch.Tensor, labels: torch.Tensor) -> Batch:
    return Batch(ids(len(images)), images, labels, len(images))


def random_batch(n: int = 40) -> tuple[Linear, Batch]:
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    network = Linear(torch.randn(48, 4, generator=generator))
    images = torch.rand(n, 3, 4, 4, generator=generator)
    return network, batch(images, network.forward(images).logits.argmax(dim=1))


def test_two_classes_fall_at_the_margin_over_the_gradients_norm() -> None:
    # f1 - f0 = w.(x - 1/2), |w|_1 = 6: class 1 falls when eps * 6 exceeds its margin.
    weight = torch.stack([torch.zeros(3), torch.tensor([3.0, -2.0, 1.0])], dim=1)
    margins = torch.tensor([0.02, 0.05, 0.3])
    images = 0.5 + (margins / 6)[:, None] * weight[:, 1].sign()
    given = batch(images[:, :, None, None], torch.ones(3, dtype=torch.int64))
    columns = fgsm(0, 1, 2.5, 13).run_batch(Linear(weight), given)
    assert {name: list(hits) for name, hits in columns.items()} == {
        "hit_eps0": [True, True, True],
        "hit_eps1": [False, True, True],
        "hit_eps2p5": [False, False, True],
        "hit_eps13": [False, False, False],
    }


def test_the_attack_stays_in_the_ball_and_in_range_and_costs_one_forward_each() -> None:
    network, given = random_batch()
    before = given.images.clone()
    network.seen.clear()
    fgsm(1, 8, 60).run_batch(network, given)
    assert len(network.seen) == 4
    assert torch.equal(given.images, before)
    for eps, attacked in zip((1, 8, 60), network.seen[1:], strict=True):
        assert (attacked - before).abs().max() <= eps / 255 + 1e-6
        assert 0 <= attacked.min() <= attacked.max() <= 1


def test_epsilon_zero_is_clean_and_more_is_never_better_for_a_linear_model() -> None:
    network, given = random_batch()
    measurement = fgsm(0, 2, 8, 32, 128)
    got = values(measurement.compute(measurement.run_batch(network, given)))
    curve = [number(got[f"fgsm_top1_eps{e}"]) for e in (0, 2, 8, 32, 128)]
    assert curve[0] == 1
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] == 0


def test_a_row_is_attacked_alike_in_any_batch_and_in_inference_mode() -> None:
    network, given = random_batch()
    whole = fgsm(8).run_batch(network, given)["hit_eps8"]
    with torch.inference_mode():
        part = batch(given.images[8:16].clone(), given.labels[8:16].clone())
        cut = fgsm(8).run_batch(network, part)["hit_eps8"]
    assert np.array_equal(whole[8:16], cut)


def test_logits_that_are_not_finite_are_a_reason() -> None:
    network, given = random_batch()
    network.weight[0, 0] = float("inf")
    with pytest.raises(UnmeasurableError, match="finite"):
        fgsm(8).run_batch(network, given)
