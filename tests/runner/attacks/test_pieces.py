"""The pieces of attacks, each against its definition: balls, planes, losses, windows, draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from interplay_runner.attacks import Ball, Norm, batch_sizes
from interplay_runner.attacks.apgd import checkpoints
from interplay_runner.attacks.draws import generators
from interplay_runner.attacks.losses import margin, targeted
from interplay_runner.attacks.planes import onto_plane
from interplay_runner.attacks.proposals import first_pattern, propose, window_side
from tests.runner.attacks.builders import SEED

NORMS: tuple[Norm, Norm] = ("linf", "l2")


def images(n: int = 6, channels: int = 3) -> torch.Tensor:
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    return torch.rand(n, channels, 5, 4, generator=generator)


@pytest.mark.parametrize("norm", NORMS)
def test_a_projection_lies_in_the_ball_and_leaves_alone_what_does(norm: Norm) -> None:
    origin, ball = images(), Ball(norm, 0.3)
    far = ball.project(origin + 3 * (images().flip(0) - 0.5), origin)
    assert float(ball.size(far - origin).max()) <= 0.3 + 1e-6
    assert 0 <= float(far.min()) <= float(far.max()) <= 1
    assert torch.allclose(ball.project(far, origin), far, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_the_steepest_step_has_norm_1_however_small_the_gradient(norm: Norm) -> None:
    gradient = images() - 0.5
    for scale in (1, 1e-30, 1e30):
        step = Ball(norm, 1).steepest(gradient * scale)
        assert torch.allclose(Ball(norm, 1).size(step), torch.ones(6))
    assert not Ball(norm, 1).steepest(torch.zeros_like(gradient)).any()


@pytest.mark.parametrize("norm", NORMS)
def test_starts_fill_the_ball(norm: Norm) -> None:
    origin = torch.full((4000, 1, 1, 2), 0.5)
    ball = Ball(norm, 0.25)
    ids = [str(i) for i in range(len(origin))]
    delta = ball.start(origin, generators(ids, "a", SEED)) - origin
    assert float(ball.size(delta).max()) <= 0.25 + 1e-6
    # Uniform in a plane: the size squared is uniform, its median 1/2.
    assert abs(float((ball.size(delta) / 0.25).square().median()) - 0.5) < 0.04
    assert abs(float(delta.mean())) < 0.01


@pytest.mark.parametrize("norm", NORMS)
def test_the_grey_ball_holds_grey_for_black_and_white(norm: Norm) -> None:
    black, grey = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    for origin in (black, 1 - black):
        assert torch.allclose(Ball.grey(norm, 48).project(grey, origin), grey)
    assert Ball.of("linf", 4).radius == 4 / 255
    assert Ball.of("l2", 4).radius == 4


def test_the_nearest_image_of_a_plane_is_what_linear_programming_finds() -> None:
    x, normal = images(8, 1), images(16, 1)[8:] - 0.5
    values = torch.tensor([0.01, 0.2, 0.5, 1.0, -0.01, -0.2, -0.5, -1.0])
    normal[:, :, 0, 0] = 0
    step = onto_plane(x, normal, values, "linf")
    for point, w, c, d in zip(x, normal, values, step, strict=True):
        p, a = point.flatten().double().numpy(), w.flatten().double().numpy()
        # Least t with |d_i| <= t, 0 <= p + d <= 1 and c + a.d = 0.
        ones = np.ones((len(p), 1))
        found = linprog(
            np.r_[np.zeros(len(p)), 1],
            A_ub=np.r_[np.c_[np.eye(len(p)), -ones], np.c_[-np.eye(len(p)), -ones]],
            b_ub=np.zeros(2 * len(p)),
            A_eq=np.r_[a, 0][None],
            b_eq=[-float(c)],
            bounds=[*zip(-p, 1 - p, strict=True), (0, None)],
        )
        assert found.status == 0
        assert float(d.abs().max()) == pytest.approx(found.fun, abs=1e-6)
        assert float(c + (w * d).sum()) == pytest.approx(0, abs=1e-6)


def test_the_nearest_image_of_a_plane_is_what_quadratic_programming_finds() -> None:
    x, normal = images(4, 1), images(8, 1)[4:] - 0.5
    values = torch.tensor([0.05, 0.8, -0.05, -0.8])
    step = onto_plane(x, normal, values, "l2")
    for point, w, c, d in zip(x, normal, values, step, strict=True):
        p, a, value = point.flatten().double().numpy(), w.flatten().double().numpy(), float(c)
        found = minimize(
            lambda e: e @ e,
            np.zeros(len(p)),
            jac=lambda e: 2 * e,
            bounds=[*zip(-p, 1 - p, strict=True)],
            constraints={"type": "eq", "fun": lambda e, a=a, v=value: v + a @ e},
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        assert float(d.norm()) == pytest.approx(math.sqrt(found.fun), rel=1e-4)
        assert float(c + (w * d).sum()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_plane_out_of_reach_is_met_at_the_corner(norm: Norm) -> None:
    x, normal = images(1), images(2)[1:] - 0.5
    step = onto_plane(x, normal, torch.tensor([100.0]), norm)
    assert torch.allclose(x + step, (normal < 0).float())


def test_losses_are_their_definitions() -> None:
    z = torch.tensor([[5.0, 1.0, 3.0, -2.0, 0.5]], dtype=torch.float64)
    label, target = torch.tensor([0]), torch.tensor([1])
    assert float(margin(z, label)) == 3 - 5
    assert float(margin(z, target)) == 5 - 1
    assert float(targeted(z, label, target)) == pytest.approx((1 - 5) / (5 - (1 + 0.5) / 2))
    scaled = targeted(10 * z + 7, label, target)
    assert float(scaled) == pytest.approx(float(targeted(z, label, target)))
    # Too few classes for a ratio: the difference alone.
    assert float(targeted(z[:, :3], label, target)) == 1 - 5


def test_checkpoints_are_the_papers() -> None:
    assert [*checkpoints(100)] == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sum(checkpoints(100).values()) == 99
    assert next(iter(checkpoints(1))) == 1


def test_batches_are_halved_down_to_8() -> None:
    assert batch_sizes(64) == [8, 16, 32, 64]
    assert batch_sizes(100) == [12, 25, 50, 100]
    assert batch_sizes(5) == [5]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(3, 1, 2), (3, 4, 7), (1, 32, 32)])
def test_square_uses_all_of_the_ball(norm: Norm, shape: tuple[int, int, int]) -> None:
    rng, ball = np.random.default_rng(SEED), Ball(norm, 0.2)
    pattern = torch.from_numpy(first_pattern(ball, rng, shape))[None]
    assert float(ball.size(pattern)) == pytest.approx(0.2, rel=1e-5)
    origin = torch.full((1, *shape), 0.5)
    for share in (0.8, 0.1, 0.001):
        side = window_side(ball, share, *shape[1:])
        draws = torch.from_numpy(rng.random((1, 5 + shape[0]), dtype=np.float32))
        new = propose(ball, origin + pattern, origin, side, draws) - origin
        assert new.isfinite().all()
        if min(shape[1:]) > 1:
            assert float(ball.size(new)) == pytest.approx(0.2, rel=1e-4)
        if norm == "linf":
            changed = (new - pattern).abs() > 1e-6
            assert int(changed.any(dim=1).sum()) <= side**2


def test_a_draw_belongs_to_its_id_alone() -> None:
    a = generators(["x", "y"], "pgd", 0, 1)[1].random()
    assert generators(["y"], "pgd", 0, 1)[0].random() == a
    assert generators(["y"], "pgd", 1, 1)[0].random() != a
    assert generators(["y"], "pgd", 0, 2)[0].random() != a
