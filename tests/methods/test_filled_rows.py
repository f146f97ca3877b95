"""Filled-in rows of methods that draw from the exact conditional distribution, answer its mean, or are blind."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.filled_rows import FilledRows, _gaussian_mean
from interpolants.methods.rivals.gaussian_fit import GaussianFit

R = 0.8  # correlation of the columns; the second of the three has ten times the size


class Filling(Method):
    """The last column given the first two: ``r`` times the second, and noise."""

    slope: float = R
    noise: float = 1.0

    def roles(self):
        return (Role(name="x1", axis="x1"),)

    def learn(self, data, run):
        return {}

    @capability(reads={"x": Role(name="x", like="x1", gaps=True)}, like="x")
    def complete(self, x, *, seed=0):
        z = torch.randn(len(x), generator=torch.Generator().manual_seed(seed)).double()
        filled = x.clone()
        filled[:, 2] = self.slope * x[:, 1] / 10 + self.noise * (1 - R**2) ** 0.5 * z
        return filled


def task():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 3, generator=g, dtype=torch.float64)
    x = torch.stack([z[:, 0], 10 * z[:, 1], R * z[:, 1] + (1 - R**2) ** 0.5 * z[:, 2]], 1)
    return Task.of(Filling().roles(), {"x1": x}, Split(test=0.5))


def test_draws_have_the_error_of_theory_and_means_that_of_the_gaussian():
    given, question = task(), FilledRows(share=0.34, n=2000)
    twins = [{"name": "mean", "twin": {"noise": 0.0}}, {"name": "blind", "twin": {"slope": 0.0}}]
    found = ask(question, given.fit(Filling()), given, twins)
    own = (1 - R**2) ** 0.5  # deviation of the last column given the others, whose own is 1
    mean_abs = (2 / torch.pi) ** 0.5
    assert found["error"].value == pytest.approx(2**0.5 * own * mean_abs, rel=0.05)  # by row: one entry each
    assert found["error"].rivals["mean"] == pytest.approx(own * mean_abs, rel=0.05)
    assert found["error_over_gaussian"].value == pytest.approx(2**0.5, rel=0.03)
    assert found["error_over_gaussian"].rivals["mean"] == pytest.approx(1.0, abs=0.01)
    assert found["error_over_gaussian"].rivals["blind"] > 1.9  # (1 + own^2)^(1/2) / own = 1.94
    assert float(found["distance"].value) < 0.01 < found["distance"].rivals["blind"]


def test_draws_are_scored_at_random_gaps_too():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 2, generator=g, dtype=torch.float64)
    x = torch.stack([z[:, 0], 10 * (R * z[:, 0] + (1 - R**2) ** 0.5 * z[:, 1])], 1)
    given = Task.of(GaussianFit().roles(), {"x1": x}, Split(test=0.5))
    question = FilledRows(pattern="random", draws=20, n=400)
    hidden = question._hidden(x[:400])
    assert bool((hidden.sum(1) == 1).all())
    assert 0.4 < float(hidden[:, 0].double().mean()) < 0.6
    found = ask(question, given.fit(GaussianFit()), given, [{"name": "wide", "twin": {"ridge": 1.0}}])
    own = (1 - R**2) ** 0.5
    assert found["crps"].value == pytest.approx(own / torch.pi**0.5, rel=0.08)  # of a normal distribution
    assert found["crps"].rivals["wide"] > found["crps"].value
    assert found["coverage"].value == pytest.approx(0.8, abs=0.06)
    assert found["error_over_gaussian"].value == pytest.approx(2**0.5, rel=0.08)


def test_what_does_not_fit_is_refused():
    given = task()
    with pytest.raises(InvalidInputError, match="some entries along the last axis"):
        ask(FilledRows(share=0.01), given.fit(Filling()), given)


def test_cells_beside_a_constant_column_are_filled_with_their_mean():
    train = torch.tensor([[5.0, 1.0], [5.0, 3.0]])
    filled = _gaussian_mean(train, torch.tensor([[5.0, 0.0]]), torch.tensor([[False, True]]))
    assert filled.tolist() == [[5, 2]]
