"""Exact dynamics of two moments, against all weights; the delay between learning and generalising."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.sciml import QuadraticNetwork
from interpolants.sciml.theory.data.quadratic_teacher import load_quadratic_teacher
from interpolants.sciml.theory.learning_curves import LearningCurves, recorded_steps
from interpolants.sciml.theory.learning_delay import LearningDelay
from interpolants.sciml.theory.quadratic_dynamics import QuadraticModel


def teacher(rows, seed=0, dimension=30):
    table = load_quadratic_teacher("all", rows=rows, seed=seed, dimension=dimension).x
    return table[:, :-1], table[:, -1]


def test_moments_move_as_all_weights_do():
    """400 steps of gradient descent on 50 neurons, weight by weight."""
    x, y = teacher(40, dimension=6)
    model, source = QuadraticModel(2.0, 0.3, 1.0), torch.Generator().manual_seed(1)
    w = torch.randn(50, 6, dtype=torch.float64, generator=source)
    mean, second = w.mean(0), w.T @ w / 50
    for _ in range(400):
        mean, second = model.step(mean, second, x, model.outputs(mean, second, x) - y)
        w.requires_grad_()
        h = x @ w.T
        f = model.alpha * (h + 0.5 * model.eps * h.square()).mean(1)
        loss = (f - y).square().mean() / (2 * model.alpha**2)
        (slope,) = torch.autograd.grad(loss, w)
        w = (w - model.lr * 50 * slope).detach()
    torch.testing.assert_close(mean, w.mean(0), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(second, w.T @ w / 50, rtol=1e-10, atol=1e-12)


def test_loss_in_closed_form_is_that_of_many_rows():
    x, y = teacher(200_000, dimension=8)
    # The direction from the values: y = (b.x)^2 / 2.
    b = torch.linalg.eigh(torch.einsum("n,ni,nj->ij", y - y.mean(), x, x)).eigenvectors[:, -1] * 8**0.5
    model = QuadraticModel(3.0, 0.4, 1.0)
    mean, second = model.start(8, 20, torch.Generator().manual_seed(2))
    errors = (model.outputs(mean, second, x) - 0.5 * (x @ b).square()).square()
    assert (
        abs(float(errors.mean() - model.teacher_loss(mean, second, b)))
        < 3 * float(errors.std()) / len(x) ** 0.5
    )


def test_the_tangent_kernel_moves_outputs():
    x, y = teacher(20, dimension=5)
    model = QuadraticModel(2.0, 0.3, 1e-6)
    mean, second = model.start(5, 30, torch.Generator().manual_seed(0))
    before = model.outputs(mean, second, x)
    after = model.outputs(*model.step(mean, second, x, before - y), x)
    known = -1e-6 * model.tangent(mean, second, x, x) @ (before - y) / 20
    torch.testing.assert_close(after - before, known, rtol=1e-4, atol=1e-14)


def test_a_lazy_network_is_its_kernel():
    """At a very large scale the trained network is the solution with frozen features."""
    x, y = teacher(20, dimension=4)
    x = 2 * x  # larger inputs: squares are learnt nearly as soon as lines
    settings = {"eps": 1.0, "neurons": 200_000, "standardise": False, "steps": 4_000, "centred": True}
    trained = QuadraticNetwork(alpha=1e4, **settings).fit(x, y)
    frozen = QuadraticNetwork(alpha=1e4, frozen=True, **settings).fit(x, y)
    fresh = 2 * teacher(25, seed=0, dimension=4)[0][20:]
    gap = torch.as_tensor(trained.predict(fresh) - frozen.predict(fresh))
    assert gap.shape == (5,)
    assert float(gap.abs().max()) < 0.02
    assert float(trained.curves.column("drift")[-1]) < 1e-3


@pytest.mark.parametrize("neurons", [30, 3000])
def test_the_first_output_has_a_mean_that_more_neurons_do_not_change(neurons):
    """Mean ``alpha eps |x|^2 / 2``, variance ``alpha^2 (|x|^2 + eps^2 |x|^4 / 2) / N``, over 400 networks."""
    alpha, eps = 20.0, 0.4
    x = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.1, 0.0]], dtype=torch.float64)
    source = torch.Generator().manual_seed(0)
    drawn = (QuadraticModel.start(3, neurons, source) for _ in range(400))
    outputs = torch.stack([QuadraticModel(alpha, eps, 1.0).outputs(*moments, x) for moments in drawn])
    size = x.square().sum(1)
    variance = alpha**2 * (size + eps**2 * size.square() / 2) / neurons
    off = (outputs.mean(0) - alpha * eps * size / 2) / (variance / 400).sqrt()
    assert float(off.abs().max()) < 4
    assert outputs.var(0).tolist() == pytest.approx(variance.tolist(), rel=0.25)  # 3.5 errors


def test_a_large_scale_is_lazy_only_when_centred():
    """Features take back the first output, which is of order alpha eps, by order eps, whatever N."""
    x, y = teacher(140)
    found = {}
    for centred in (False, True):
        model = QuadraticNetwork(
            alpha=300.0, eps=0.25, neurons=20_000, steps=400, centred=centred, standardise=False
        )
        found[centred] = float(model.fit(x, y).curves.column("drift")[-1])
    assert found[True] < 0.02
    assert found[False] > 5 * found[True]


def test_generalising_comes_late():
    x, y = teacher(1140)
    model = QuadraticNetwork(alpha=0.5, lr=10.0, standardise=False, steps=1500, seed=1)
    curves = model.fit(x[:140], y[:140], held={"x": x[140:], "y": y[140:]}).curves
    assert curves.first_below("held", 0.1) > 3 * curves.first_below("train", 0.1)


@pytest.mark.slow
def test_a_lazy_start_delays_and_more_rows_do_not():
    delays = {}
    for rows, alpha in ((140, 0.5), (140, 8.0), (400, 8.0)):
        x, y = teacher(rows + 1000)
        model = QuadraticNetwork(alpha=alpha, lr=10.0, standardise=False, steps=12_000, seed=1)
        model.fit(x[:rows], y[:rows], held={"x": x[rows:], "y": y[rows:]})
        curves = model.curves
        delays[rows, alpha] = curves.first_below("held", 0.1) / curves.first_below("train", 0.1)
    assert delays[140, 8.0] > delays[140, 0.5] > 3
    assert delays[400, 8.0] < 2.5


def test_watched_rows_are_never_learnt_from():
    x, y = teacher(200, dimension=6)
    alone = QuadraticNetwork(steps=50).fit(x[:50], y[:50])
    watched = QuadraticNetwork(steps=50).fit(x[:50], y[:50], held={"x": x[50:], "y": y[50:]})
    np.testing.assert_array_equal(alone.predict(x), watched.predict(x))
    assert alone.curves.column("held").isnan().all()


def test_units_do_not_matter():
    x, y = teacher(60, dimension=5)
    plain = QuadraticNetwork(steps=100).fit(x, y).predict(x)
    other = QuadraticNetwork(steps=100).fit(1000 * x + 7, 3 * y - 2).predict(1000 * x + 7)
    np.testing.assert_allclose(other, 3 * plain - 2, rtol=1e-8, atol=1e-8)


def test_a_step_that_is_too_large_is_told_with_one_that_is_not():
    x, y = teacher(140)
    with pytest.raises(DivergedError, match=r"Use a value below (\d+\.?\d*)") as told:
        QuadraticNetwork(standardise=False, lr=500.0, steps=400).fit(x, y)
    limit = float(str(told.value).rsplit("below ", 1)[1].rstrip("."))
    fitted = QuadraticNetwork(standardise=False, lr=0.9 * limit, steps=400).fit(x, y)
    assert float(fitted.curves.column("train")[-1]) < 1


def test_bad_input():
    x, y = teacher(20, dimension=4)
    with pytest.raises(InvalidInputError, match="eps"):
        QuadraticNetwork(eps=0.0)
    with pytest.raises(InvalidInputError, match="one column"):
        QuadraticNetwork().fit(x, torch.stack([y, y], 1))
    with pytest.raises(InvalidInputError, match="two rows"):
        QuadraticNetwork().fit(x[:1], y[:1])
    with pytest.raises(InvalidInputError, match="frozen"):
        _ = QuadraticNetwork(frozen=True).fit(x, y).curves


def test_a_fit_of_some_steps_is_that_many_steps():
    x, y = teacher(20, dimension=4)
    model = QuadraticNetwork(steps=3, lr=0.05, standardise=False).fit(x, y)
    dynamics, first = model._with_rate(0.05), model.state["first"]
    mean, second = first["mean"], first["second"]
    for _ in range(3):
        mean, second = dynamics.step(mean, second, x, dynamics.outputs(mean, second, x) - y)
    torch.testing.assert_close(model.state["mean"], mean)
    torch.testing.assert_close(model.state["second"], second)


@pytest.mark.timeout(20)
def test_recorded_steps_end_where_they_should():
    found = recorded_steps(1000)
    assert (found[0], found[-1]) == (0, 1000)
    assert all(a < b for a, b in pairwise(found))
    assert recorded_steps(1) == [0, 1]


def question_on(values, **settings):
    """Numbers of the question on given curves."""
    model = QuadraticNetwork(steps=1, standardise=False)
    x, y = teacher(30, dimension=3)
    task = Task.of([Role(name="x"), Role(name="y")], {"x": x, "y": y}, Split(test=5, held=0.2))
    task.fit(model)
    model.state["curves"] = LearningCurves(torch.tensor(values, dtype=torch.float64))
    return ask(LearningDelay(**settings), model, task)


def test_delay_of_known_curves():
    nan = math.nan
    found = question_on([[0, 1, 1, 0, 0], [10, 0.05, 0.8, 0, 0], [40, 0.01, 0.05, 0.3, 0]])
    assert found["delay"].value == 4
    assert found["held_when_trained"].value == 0.8
    assert found["held_at_end"].value == 0.05
    assert found["drift"].value == 0.3
    never = question_on([[0, 1, 1, 0, 0], [10, 0.05, 0.8, 0, 0], [40, 0.01, 0.5, 0, 0]])
    assert never["delay"].value == 4
    assert "not learnt to 0.1 within 40" in never.findings[0].text
    exact = question_on([[0, 1, 1, 0, 0], [10, 0.0, 0.8, 0, 0], [40, 0.0, 0.05, 0.3, 0]])
    lines = [one for one in exact.figures[0].panels[0].series if one.mark == "line"]
    assert all(bool((one.arrays["y"] > 0).all()) for one in lines)  # the axis is logarithmic
    alone = question_on([[0, 1, nan, 0, 0], [10, 0.05, nan, 0, 0]])
    assert "No rows were watched" in alone.findings[0].text
