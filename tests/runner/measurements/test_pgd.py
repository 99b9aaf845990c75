"""PGD on a linear model, whose robust accuracy is known on paper, and on a model of the zoo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from interplay_runner.attacks import Norm
from interplay_runner.measurement import Batch, UnmeasurableError
from interplay_runner.measurements.fgsm import Fgsm
from interplay_runner.measurements.pgd import PgdAccuracy
from tests.runner.attacks.builders import digits, linear, loaded, smallest
from tests.runner.measurements.builders import info, make, number, values

NORMS: tuple[Norm, Norm] = ("linf", "l2")


@pytest.mark.parametrize("norm", NORMS)
def test_two_classes_keep_the_share_whose_margin_is_larger(norm: Norm) -> None:
    network, batch = linear(64, 2)
    distances = smallest(network, batch, norm)
    unit = 255 if norm == "linf" else 1
    epsilons = [0.0, *(round(float(distances.quantile(q)) * unit, 4) for q in (0.25, 0.5, 0.75))]
    item = make(PgdAccuracy, norm=norm, epsilons=epsilons, steps=60)
    got = values(item.compute(item.run_batch(network, batch)))
    curve = [number(v) for name, v in got.items() if "_top1_" in name]
    assert curve == pytest.approx([1, 0.75, 0.5, 0.25], abs=1 / 64 + 1e-9)
    assert number(got[f"pgd_{norm}_gradient_masking"]) == 0
    assert {v.n for v in got.values()} == {64}
    assert {v.method for v in got.values()} == {"wilson"}


def test_names_tell_norm_and_epsilon() -> None:
    network, batch = linear(8)
    item = make(PgdAccuracy, norm="l2", epsilons=[0.5, 2])
    got = item.compute(item.run_batch(network, batch))
    assert [*got] == ["pgd_l2_top1_eps0p5", "pgd_l2_top1_eps2", "pgd_l2_gradient_masking"]


def test_a_model_without_gradients_shows_by_what_it_keeps_when_all_could_be_grey() -> None:
    network, batch = linear(24, 2)
    forward = network.forward
    # The image in two levels: flat almost everywhere, so that no gradient comes back.
    network.forward = lambda images: forward(0.4 + 0.2 * torch.round(images))  # type: ignore[method-assign]
    labels = network.forward(batch.images).logits.argmax(dim=1)
    item = make(PgdAccuracy, norm="l2", epsilons=[0.1], steps=5)
    got = item.compute(item.run_batch(network, Batch(batch.ids, batch.images, labels, 24)))
    masking = got["pgd_l2_gradient_masking"]
    assert not isinstance(masking, float)
    assert number(masking) > 0.3


def test_fgsm_keeps_no_less_than_pgd_which_no_batch_changes() -> None:
    name, n = "digits-resnet-rotation", 64
    network, batch = loaded(name).network, digits(name, n)
    epsilons = [0, 2, 4]
    one = make(Fgsm, epsilons=epsilons).run_batch(network, batch)
    item = make(PgdAccuracy, epsilons=epsilons, steps=10)
    many = item.run_batch(network, batch)
    clean = network.forward(batch.images).logits.argmax(dim=1) == batch.labels
    assert np.array_equal(many["hit_eps0"], clean.numpy())
    for eps in epsilons:
        assert many[f"hit_eps{eps}"].sum() <= one[f"hit_eps{eps}"].sum()
    assert 0 < many["hit_eps4"].sum() < many["hit_eps2"].sum() < n
    with torch.inference_mode():
        rows = range(40, 56)
        part = Batch([batch.ids[i] for i in rows], batch.images[40:56], batch.labels[40:56], 16)
        cut = item.run_batch(network, part)
    for column, hits in many.items():
        assert np.array_equal(cut[column], hits[40:56]), column


def test_it_runs_twice_to_the_same_bits_and_leaves_the_batch_alone() -> None:
    network, batch = linear(24)
    before = batch.images.clone()
    item = make(PgdAccuracy, epsilons=[1, 2], steps=5, restarts=2)
    first, second = item.run_batch(network, batch), item.run_batch(network, batch)
    assert all(np.array_equal(first[c], second[c]) for c in first)
    assert torch.equal(batch.images, before)
    assert item.forwards(info()) == 1 + 3 * 2 * (5 * 2.5 + 1)


def test_logits_that_are_not_finite_are_a_reason() -> None:
    network, batch = linear(8)
    network.weight[0, 0] = float("inf")
    with pytest.raises(UnmeasurableError, match="finite"):
        make(PgdAccuracy).run_batch(network, batch)


def test_parameters_that_make_no_sense_are_refused() -> None:
    for bad in ({"norm": "l1"}, {"epsilons": [1, 1]}, {"epsilons": [-1]}, {"steps": 0}):
        with pytest.raises(ValidationError):
            make(PgdAccuracy, **bad)
