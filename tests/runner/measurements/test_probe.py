"""Linear probes: on paper, against scikit-learn and by definition, and where none can be fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from interplay_runner.measurement import UnmeasurableError, Value
from interplay_runner.measurements import probe
from interplay_runner.measurements.probe import LinearProbe, logistic, ridge
from tests.runner.measurements.builders import info, make, number, values
from tests.runner.measurements.test_knn import blobs, labelled

SEED = 20240622


def probed(own: object, train: object, **parameters: object) -> Value:
    tables = {"": own, "train": train}
    (value,) = values(make(LinearProbe, **parameters).compute(tables, info())).values()  # type: ignore[arg-type]
    return value


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_classes_on_a_line_are_told_apart_on_any_scale(loss: str) -> None:
    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None] * [1, 1e-4] + [0, 1e3]
    y = np.where(x[:, 0] > 0, 90, 7)
    assert number(probed(labelled(x[::2], y[::2]), labelled(x[1::2], y[1::2]), loss=loss)) == 1


def test_logistic_is_the_minimum_of_its_definition() -> None:
    x, y = (torch.from_numpy(a) for a in blobs(200, 1))
    x = x.double()
    fit = logistic(x, y, 0.02)
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weight + bias, y) + 0.01 * weight.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.abs().max() < 2e-6


@pytest.mark.parametrize(("n", "d"), [(120, 16), (20, 40)])
def test_ridge_is_what_scikit_learn_says(n: int, d: int) -> None:
    x, y = blobs(n, 3, d=d)
    fit = ridge(torch.from_numpy(x).double(), torch.from_numpy(y), 0.3)
    theirs = Ridge(alpha=0.3 * n).fit(x.astype(np.float64), np.eye(7)[y][:, np.unique(y)])
    assert fit.weight.numpy() == pytest.approx(theirs.coef_.T, abs=1e-9)
    assert fit.bias.numpy() == pytest.approx(theirs.intercept_, abs=1e-9)


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_the_penalty_is_chosen_on_rows_that_are_not_learnt_from(loss: str) -> None:
    # Few images and wrong labels among them: a weak penalty learns those too.
    (x, y), (z, t) = blobs(400, 1, d=60), blobs(90, 2, d=60)
    t[::3] = np.random.default_rng(SEED).integers(0, 7, 30)
    own, train = labelled(x, y), labelled(z, t)
    weak, strong = (number(probed(own, train, loss=loss, l2s=[l2])) for l2 in (1e-4, 1.0))
    assert number(probed(own, train, loss=loss, l2s=[1e-4, 1.0])) == strong > weak


def test_two_classes_and_labels_that_training_never_shows() -> None:
    (x, y), (z, t) = blobs(80, 1, classes=2), blobs(80, 2, classes=2)
    value = probed(labelled(x, np.append(y[:-1], 50)), labelled(z, t))
    assert value.n == 80
    assert 0.7 < number(value) < 1


def test_one_class_few_rows_and_no_convergence_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs(20, 1)
    own, (z, _) = labelled(x, y), blobs(20, 2)
    with pytest.raises(UnmeasurableError, match="samples of two classes"):
        probed(own, labelled(z, np.zeros(20, dtype=int)))
    with pytest.raises(UnmeasurableError, match="1 samples are too few"):
        probed(own, labelled(z[:1], [0]))
    assert probed(labelled(x[:0], []), labelled(z, y)).reason == "no samples"
    monkeypatch.setattr(probe, "MAX_STEPS", 1)
    with pytest.raises(UnmeasurableError, match="converges in 1 steps"):
        probed(own, labelled(z, y))


def test_constant_features_do_no_harm() -> None:
    (x, y), (z, t) = blobs(60, 1), blobs(60, 2)
    plain = number(probed(labelled(x, y), labelled(z, t), loss="squared"))
    padded = [np.c_[a, np.full(60, 0.1)].astype(np.float32) for a in (x, z)]
    own, train = labelled(padded[0], y), labelled(padded[1], t)
    assert number(probed(own, train, loss="squared")) == plain
