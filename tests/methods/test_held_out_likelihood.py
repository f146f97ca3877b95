"""Held-out likelihood of methods whose density is known."""

import math
import warnings

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.held_out_likelihood import held_out_likelihood
from interpolants.methods.rivals.gaussian_fit import GaussianFit


class Normal(torch.distributions.MultivariateNormal):
    """The truth, as a problem has it."""


def task_of(rows=6000, truth=True):
    g = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(rows, 3, generator=g, dtype=torch.float64)
    law = Normal(torch.zeros(3, dtype=torch.float64), 4 * torch.eye(3, dtype=torch.float64))
    method = GaussianFit(ridge=1e-6)
    task = Task.of(method.roles(), {"x1": x}, Split(test=0.5), truths={"x1": law} if truth else {})
    return task.fit(method), task


def test_a_gaussian_of_the_right_moments_reaches_the_exact_density_and_the_entropy():
    method, task = task_of()
    found = ask(held_out_likelihood(n=3000), method, task, [{"twin": {"ridge": 3.0}}])
    whole, each = found["log_likelihood"], found["log_likelihood_per_dim"]
    entropy = 1.5 * math.log(2 * math.pi * math.e * 4)
    assert abs(whole.value + entropy) < 4 * whole.error
    assert abs(whole.value - whole.floor) < 0.02
    assert each.value == pytest.approx(whole.value / 3)
    assert each.floor == pytest.approx(whole.floor / 3)
    # The same rows: the difference to the rival is known far better than the values.
    assert whole.gaps["twin"] < whole.error
    assert whole.rivals["twin"] < whole.value
    assert found.figures[0].name == "log_densities"
    assert not found.findings


def test_without_a_truth_there_is_no_floor_and_the_overfit_shows_on_training_rows():
    method, task = task_of(rows=24, truth=False)
    found = ask(held_out_likelihood(), method, task)
    assert found["log_likelihood"].floor == "unknown: nobody said"
    assert found["log_likelihood_train"].value > found["log_likelihood"].value
    with pytest.raises(InvalidInputError, match="no option 'steps'"):
        ask(held_out_likelihood(options={"steps": 3}), method, task)


class ByHeart(GaussianFit):
    """Training rows are two nats likelier than they are."""

    def learn(self, data, run):
        return {**super().learn(data, run), "rows": data["x1"]}

    @capability(like="x1")
    def log_prob(self, x):
        known = torch.cdist(x, self.state["rows"]).amin(1) < 1e-9
        return super().log_prob(x) + 2 * known


def test_rows_that_were_learnt_by_heart_are_a_finding():
    _, task = task_of(rows=2000)
    found = ask(held_out_likelihood(), task.fit(ByHeart()), task).findings
    assert len(found) == 1
    gap = found[0].text.removeprefix("Overfitted: the log density of training rows is ").partition(" ")[0]
    assert abs(float(gap) - 2) < 0.4


def test_a_learnt_log_density_is_held_against_that_of_the_flow():
    method, task = task_of(rows=200)

    class Fields:
        def log_density_of(self, cond):
            return lambda x, t: method.log_prob(x.double()) + 2 * x[:, 0]

    class Both(GaussianFit):
        fields, frame = Fields(), Standard()

    class Bent(Standard):
        """Units that are the data's, and a volume as if they were not: the density in them then lacks 2 x."""

        def log_volume(self, rows):
            return 2 * rows[:, 0]

    class InThem(Both):
        frame = Bent()

    rows = task.test["x1"]
    for kind, spread in ((Both, float((2 * rows[:, 0]).std())), (InThem, float((4 * rows[:, 0]).std()))):
        found = ask(held_out_likelihood(), task.fit(kind(ridge=1e-6)), task)["log_density_mismatch"]
        assert found.value == pytest.approx(spread, rel=1e-4)
        assert found.floor == 0


def test_rows_that_cannot_be_are_told_and_do_not_stop_the_figure():
    g = torch.Generator().manual_seed(2)
    x = torch.cat([torch.randn(60, 2, generator=g), torch.full((60, 1), 3.0)], 1)
    held = x[:20].clone()
    held[4, 2] = 3.5
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=2, held_out=0)
    task = Task.of(bridge.roles(), {"x1": torch.cat([x[20:], held])}, Split(by="time", test=20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the constant column, and that there are few rows
        found = ask(held_out_likelihood(options={"method": "euler", "n_steps": 2}), task.fit(bridge), task)
    assert found["log_likelihood"].value == -math.inf
    assert "1 of 20 held-out rows have density zero (row 4, ...)" in found.findings[0].text
    assert found.findings[0].grave
    assert found.figures


def test_a_leg_is_told_beside_log_densities_by_a_loaded_model_too(tmp_path):
    g = torch.Generator().manual_seed(2)
    data = {"x0": torch.randn(60, 2, generator=g), "x1": torch.randn(60, 2, generator=g)}
    bridge = Bridge("linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=2, held_out=0, leg={})
    assert bridge.caveat("log_prob") == ""
    task = Task.of(bridge.roles(), data)
    fitted = task.fit(bridge)
    for method in (fitted, Bridge.load(fitted.save(tmp_path / "model"))):
        found = ask(held_out_likelihood(options={"method": "euler", "n_steps": 2}), method, task)
        assert [one.grave for one in found.findings if "learnt from samples by a leg" in one.text] == [False]


def test_a_learnt_log_density_in_other_units_is_held_against_the_flow_in_these():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(200, 3, generator=g, dtype=torch.float64).exp()
    method = GaussianFit(ridge=1e-6)
    task = Task.of(method.roles(), {"x1": x}, Split(test=0.5))
    task.fit(method)

    class Logarithms(Standard):
        def encode(self, x, cond=None):
            return x.log()

        def log_volume(self, x, cond=None):
            return -x.log().sum(1)

    class Fields:
        def log_density_of(self, cond):
            # of y = log x: that of x, and the sum of y for the volume
            return lambda y, t: method.log_prob(y.double().exp()) + y.double().sum(1) + 2 * y[:, 0]

    class Both(GaussianFit):
        fields, frame = Fields(), Logarithms()

    found = ask(held_out_likelihood(), task.fit(Both(ridge=1e-6)), task)["log_density_mismatch"]
    assert found.value == pytest.approx(float((2 * task.test["x1"][:, 0].log()).std()), rel=1e-3)


@pytest.mark.parametrize("more", [{}, {"heads": "log_density"}])
def test_conditions_may_be_words(more):
    words = np.array(["ash", "birch"])[np.arange(60) % 2]
    net = {"kind": "mlp", "width": 8, "depth": 1}
    bridge = Bridge("one_sided_linear", net=net, steps=2, held_out=0, **more)
    x = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    task = Task.of(bridge.roles(), {"x1": x, "cond": words}, Split(test=0.5))
    fitted = bridge.fit(x1=task.train["x1"], cond=task.train["cond"], progress=False)
    question = held_out_likelihood(options={"method": "midpoint", "n_steps": 2})
    found = ask(question, fitted, task)
    assert math.isfinite(found["log_likelihood"].value)
    assert not more or math.isfinite(found["log_density_mismatch"].value)
