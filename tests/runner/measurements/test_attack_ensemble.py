"""The ensemble of attacks: its optimum on a linear model, its order, and gradients that mislead."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from interplay_runner.attacks import Norm
from interplay_runner.measurement import Batch, Columns, UnmeasurableError
from interplay_runner.measurements.attack_ensemble import AttackEnsemble
from interplay_runner.measurements.pgd import PgdAccuracy
from tests.runner.attacks.builders import digits, linear, loaded, smallest
from tests.runner.measurements.builders import info, make, number, values

NORMS: tuple[Norm, Norm] = ("linf", "l2")
STAGES = ("apgd_ce", "apgd_t", "fab_t", "square")
SMALL = {"steps": 8, "targets": 3, "queries": 20}


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_model_keeps_the_share_that_is_far_from_other_classes(
    norm: Norm, classes: int
) -> None:
    network, batch = linear(32, classes)
    distances = smallest(network, batch, norm)
    unit = 255 if norm == "linf" else 1
    epsilons = [0.0, *(round(float(distances.quantile(q)) * unit, 4) for q in (0.25, 0.5))]
    item = make(AttackEnsemble, norm=norm, epsilons=epsilons, steps=20, targets=3, queries=5)
    columns = item.run_batch(network, batch)
    got = values(item.compute(columns))
    curve = [number(v) for name, v in got.items() if name.startswith(f"attack_{norm}_top1")]
    assert curve == pytest.approx([1, 0.75, 0.5], abs=1 / 32 + 1e-9)
    for eps in epsilons[1:]:
        hits = columns[f"hit_square_eps{eps:g}".replace(".", "p")]
        beyond = (distances * unit > eps).numpy()
        assert int((hits != beyond).sum()) <= 1


def test_each_stage_leaves_less_and_pgd_no_less_than_all() -> None:
    name = "digits-resnet-rotation"
    network, batch = loaded(name).network, digits(name, 24)
    item = make(AttackEnsemble, epsilons=[3, 0, 2], steps=20, targets=2, queries=20)
    columns = item.run_batch(network, batch)
    got = values(item.compute(columns))
    pgd = make(PgdAccuracy, epsilons=[0, 2, 3], steps=20).run_batch(network, batch)
    order = [
        columns[f"hit_{stage}_eps{eps}"].astype(np.bool_) for eps in (0, 2, 3) for stage in STAGES
    ]
    assert all(bool((b <= a).all()) for a, b in itertools.pairwise(order))
    for eps in (0, 2, 3):
        assert columns[f"hit_square_eps{eps}"].sum() <= pgd[f"hit_eps{eps}"].sum()
    assert np.array_equal(columns["hit_square_eps0"], pgd["hit_eps0"])
    assert 0 < number(got["attack_linf_top1_eps3"]) < number(got["attack_linf_top1_eps2"]) < 1


def test_it_runs_twice_to_the_same_bits_and_alike_in_another_batch() -> None:
    network, batch = linear(32)
    item = make(AttackEnsemble, norm="l2", epsilons=[0.02, 0.05], **SMALL)
    whole, again = item.run_batch(network, batch), item.run_batch(network, batch)
    assert all(np.array_equal(whole[c], again[c]) for c in whole)
    assert 0 < whole["hit_square_eps0p02"].sum() < 32
    with torch.inference_mode():
        part = Batch(batch.ids[9:25], batch.images[9:25], batch.labels[9:25], 16)
        cut = item.run_batch(network, part)
    assert all(np.array_equal(whole[c][9:25], cut[c]) for c in whole)


def test_names_tell_norm_stage_and_epsilon() -> None:
    network, batch = linear(8)
    item = make(AttackEnsemble, norm="l2", epsilons=[0.01], **SMALL)
    assert [*item.compute(item.run_batch(network, batch))] == [
        "attack_l2_apgd_ce_top1_eps0p01",
        "attack_l2_apgd_t_top1_eps0p01",
        "attack_l2_fab_t_top1_eps0p01",
        "attack_l2_top1_eps0p01",
        "gradient_masking_l2_eps0p01",
    ]


def test_gradients_that_are_zero_mask_and_random_search_tells() -> None:
    network, batch = linear(24, 2)
    forward = network.forward
    # Steps so fine that the image hardly changes, but flat: no gradient comes back.
    network.forward = lambda images: forward(torch.round(images * 500) / 500)  # type: ignore[method-assign]
    labels = network.forward(batch.images).logits.argmax(dim=1)
    masked = Batch(batch.ids, batch.images, labels, 24)
    item = make(AttackEnsemble, epsilons=[8], steps=5, targets=1, queries=100)
    got = values(item.compute(item.run_batch(network, masked)))
    assert number(got["attack_linf_fab_t_top1_eps8"]) > 0.5
    assert number(got["attack_linf_top1_eps8"]) < 0.2
    masking = got["gradient_masking_linf_eps8"]
    assert number(masking) > 0.8
    assert masking.n == round(24 * number(got["attack_linf_fab_t_top1_eps8"]))


def test_without_images_left_masking_is_absent_with_a_reason() -> None:
    network, batch = linear(16)
    item = make(AttackEnsemble, epsilons=[128], **SMALL)
    masking = values(item.compute(item.run_batch(network, batch)))["gradient_masking_linf_eps128"]
    assert masking.value is None
    assert masking.reason == "the gradient attacks left no image"


def test_no_samples_and_one_class_are_reasons() -> None:
    item = make(AttackEnsemble, **SMALL)
    columns: Columns = {f"hit_{stage}_eps4": np.zeros(0, dtype=np.bool_) for stage in STAGES}
    assert {v.reason for v in values(item.compute(columns)).values()} == {
        "no samples",
        "the gradient attacks left no image",
    }
    with pytest.raises(UnmeasurableError, match="one class"):
        item.need(info(classes=1))


def test_its_defaults_are_autoattacks_standard_version() -> None:
    item = make(AttackEnsemble)
    assert (item.params.steps, item.params.targets, item.params.queries) == (100, 9, 5000)
    assert item.forwards(info()) == 1 + 10 * 101 * 2.5 + 9 * 100 * 3.5 + 5000
