"""Rates of samples beyond the modes, of exact fields and of smoothed ones, through the question."""

import pytest
import torch

from interpolants.dynamics import Sampling
from interpolants.dynamics import sample as run_dynamics
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.beyond_modes import BeyondModes
from interpolants.paths import VP
from interpolants.problems import GaussianMixture

SIGMA = 0.05
LAW = GaussianMixture(torch.tensor([0.5, 0.5]), torch.tensor([[-1.0], [1.0]]), torch.tensor([SIGMA**2] * 2))

SEEDS = []  # of all samples drawn


class Smooth(Method):
    """Samples by fields whose step between the modes is smoother than the exact one by ``blur``."""

    blur: float = 0.2

    def roles(self):
        return (Role(name="x1", axis="x1"),)

    def learn(self, data, run):
        return {}

    def _fields(self):
        path = VP()

        def denoised(x, t):
            a, b = path.alpha(t)[:, None], path.beta(t)[:, None]
            variance = b**2 * SIGMA**2 + a**2
            side = torch.tanh(b * x / (variance + self.blur))
            return side + b * SIGMA**2 / variance * (x - b * side)

        return LearnedFields(path, denoised=denoised)

    @capability(like="x1", passes=Sampling)
    def sample(self, n, *, seed=0, details=False, **options):
        SEEDS.append(seed)
        start = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
        done = run_dynamics(self._fields(), start, **options)
        return done if details else done.x


def task(law=LAW):
    x = LAW.sample(50, generator=torch.Generator().manual_seed(0))
    return Task.of(Smooth().roles(), {"x1": x}, truths={"x1": law})


def test_the_exact_field_has_none_and_the_filter_takes_most_of_the_others_away():
    given = task()
    question = BeyondModes(n=1500, window=(0.91, 1.0), options={"method": "ddim", "n_steps": 60})
    found = ask(question, given.fit(Smooth()), given, [{"name": "exact", "twin": {"blur": 0.0}}])
    assert found["wrong"].rivals["exact"] == 0.0 == found["wrong"].floor
    assert 0.005 < found["wrong"].value < 0.05
    assert found["wrong_after"].value < 0.6 * found["wrong"].value
    assert found["kept"].value == pytest.approx(0.96, abs=0.02)
    assert 0.9 < found["kept_of_worst_mode"].value <= found["kept"].value


def test_without_a_good_sample_there_is_a_rate_and_no_filter():
    given = task()
    found = ask(BeyondModes(n=20, reach=1e-9, options={"n_steps": 20}), given.fit(Smooth()), given)
    assert found["wrong"].value == 1.0
    assert [score.name for score in found.scores] == ["wrong"]


def test_what_does_not_fit_is_refused():
    several = GaussianMixture(LAW.weights, LAW.means, torch.tensor([0.01, 0.02]))
    for law in (None, several):
        given = task(law)
        with pytest.raises(InvalidInputError, match="Gaussian mixture with one variance"):
            ask(BeyondModes(n=20), given.fit(Smooth()), given)
    with pytest.raises(InvalidInputError, match="two rising times"):
        BeyondModes(window=(0.5, 0.5))


def test_the_filter_is_set_by_other_samples_than_those_it_is_judged_by():
    SEEDS.clear()
    given = task()
    ask(BeyondModes(n=20, seed=7, options={"n_steps": 20}), given.fit(Smooth()), given)
    assert SEEDS[:2] == [8, 7]
