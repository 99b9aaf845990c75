"""Every attack: inside the ball, at the optimum of a linear model, and blind to its batch."""

from __future__ import annotations

import pytest
import torch

from interplay_runner.attacks import (
    ApgdCe,
    ApgdT,
    Attack,
    Ball,
    FabT,
    Norm,
    Pgd,
    Samples,
    Square,
    Victim,
    examine,
)
from interplay_runner.attacks.losses import fooled
from tests.runner.attacks.builders import (
    ATTACKS,
    SEED,
    digits,
    linear,
    loaded,
    smallest,
    zoo,
)

NORMS: tuple[Norm, Norm] = ("linf", "l2")
MODEL = "digits-resnet-rotation"
BALLS = {"linf": Ball.of("linf", 3), "l2": Ball.of("l2", 0.25)}
EXACT: dict[str, Attack] = {
    "pgd": Pgd(60),
    "apgd-ce": ApgdCe(50),
    "apgd-t": ApgdT(50, targets=9),
    "fab-t": FabT(20, targets=9),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_what_fools_lies_in_the_ball_and_does_fool(name: str, norm: Norm) -> None:
    victim, samples = zoo(MODEL, 24)
    ball = BALLS[norm]
    if name == "square":  # weak in so few queries
        ball = Ball(norm, 6 * ball.radius)
    outcome = ATTACKS[name](victim, samples, ball)
    delta = outcome.images - samples.images
    assert float(ball.size(delta).max()) <= ball.radius + 1e-6
    assert 0 <= float(outcome.images.min()) <= float(outcome.images.max()) <= 1
    assert torch.equal(fooled(victim.logits(outcome.images), samples.labels), outcome.fooled)
    assert int(outcome.fooled.sum()) > 0
    assert not delta[~outcome.fooled].any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", EXACT)
def test_a_linear_model_falls_at_its_margin_over_the_dual_norm(
    name: str, classes: int, norm: Norm
) -> None:
    network, batch = linear(2, classes)
    seen = examine(network, batch)
    distances = smallest(network, batch, norm)
    for row, distance in enumerate(distances.tolist()):
        one = seen.samples.take(torch.tensor([row]))
        for share, falls in ((0.99, False), (1.02, True)):
            # Cross-entropy climbs towards all other classes at once, so it may miss the nearest.
            if falls and classes > 2 and name in ("pgd", "apgd-ce"):
                continue
            outcome = EXACT[name](seen.victim, one, Ball(norm, share * distance))
            assert bool(outcome.fooled) == falls, (row, share)


@pytest.mark.parametrize("norm", NORMS)
def test_random_search_never_beats_the_optimum_and_comes_near_it(norm: Norm) -> None:
    network, batch = linear(3, 2)
    seen = examine(network, batch)
    near = 1.5 if norm == "linf" else 4
    for row, distance in enumerate(smallest(network, batch, norm).tolist()):
        one = seen.samples.take(torch.tensor([row]))
        assert not Square(100)(seen.victim, one, Ball(norm, 0.99 * distance)).fooled
        assert Square(300)(seen.victim, one, Ball(norm, near * distance)).fooled


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_row_is_attacked_alike_alone_in_any_order_and_again(name: str, norm: Norm) -> None:
    network, batch = linear(16)
    seen = examine(network, batch)
    ball = Ball(norm, float(smallest(network, batch, norm).median()) * 1.2)
    attack = ATTACKS[name]
    whole = attack(seen.victim, seen.samples, ball)
    assert int(whole.fooled.sum()) > 0
    again = attack(seen.victim, seen.samples, ball)
    assert torch.equal(whole.images, again.images)
    for rows in (torch.tensor([5]), torch.arange(15, -1, -1), torch.arange(3, 11)):
        part = attack(seen.victim, seen.samples.take(rows), ball)
        assert torch.equal(part.fooled, whole.fooled[rows])
        assert torch.allclose(part.images, whole.images[rows], atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_smaller_batches_of_the_rows_that_are_left_change_no_hit(name: str, norm: Norm) -> None:
    network, batch = loaded(MODEL).network, digits(MODEL, 24)
    seen = examine(network, batch)
    constant = Victim(lambda images: network.forward(images).logits, [24])
    halved = ATTACKS[name](seen.victim, seen.samples, BALLS[norm])
    same = ATTACKS[name](constant, seen.samples, BALLS[norm])
    assert int((halved.fooled != same.fooled).sum()) == 0


def test_the_rows_that_are_left_run_in_batches_of_fixed_sizes() -> None:
    network, batch = linear(40)
    sizes: list[int] = []

    def forward(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return network.forward(images).logits

    seen = examine(network, batch)
    ball = Ball("linf", float(smallest(network, batch, "linf").quantile(0.7)))
    outcome = Pgd(10)(Victim(forward, [10, 20, 40]), seen.samples, ball)
    assert 10 < len(outcome.left()) <= 20
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {40, 20}


def test_more_restarts_and_targets_only_add() -> None:
    victim, samples = zoo(MODEL, 24)
    ball = BALLS["linf"]
    pairs: list[tuple[Attack, Attack]] = [
        (Pgd(3, 1), Pgd(3, 3)),
        (ApgdCe(3, 1), ApgdCe(3, 3)),
        (ApgdT(3, 1), ApgdT(3, 3)),
        (FabT(3, 1), FabT(3, 3)),
    ]
    for less, more in pairs:
        few, many = less(victim, samples, ball).fooled, more(victim, samples, ball).fooled
        assert not (few & ~many).any()
        assert int(many.sum()) >= int(few.sum())


def test_padding_and_wrong_rows_are_not_attacked() -> None:
    network, batch = linear(12)
    labels = batch.labels.clone()
    labels[3] = (labels[3] + 1) % 5
    padded = type(batch)(batch.ids, batch.images, labels, 9)
    seen = examine(network, padded)
    assert seen.rows.tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert seen.hits.tolist() == [i != 3 for i in range(12)]
    assert len(seen.samples) == 8
    assert all(y not in o for y, o in zip(seen.samples.labels, seen.samples.others, strict=True))
    logits = network.forward(seen.samples.images).logits.gather(1, seen.samples.others)
    assert bool((logits.diff(dim=1) <= 0).all())


@pytest.mark.parametrize("name", ATTACKS)
def test_no_samples_give_an_empty_outcome(name: str) -> None:
    network, batch = linear(12)
    seen = examine(network, batch)
    none: Samples = seen.samples.take(torch.empty(0, dtype=torch.int64))
    assert len(ATTACKS[name](seen.victim, none, Ball("linf", 0.1)).fooled) == 0


def test_the_seed_decides() -> None:
    network, batch = linear(12)
    seen = examine(network, batch)
    ball = Ball("l2", float(smallest(network, batch, "l2").min()) * 3)
    a = Pgd(5, seed=SEED)(seen.victim, seen.samples, ball).images
    assert not torch.equal(a, Pgd(5, seed=SEED + 1)(seen.victim, seen.samples, ball).images)
