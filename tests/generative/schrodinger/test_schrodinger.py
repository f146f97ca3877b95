import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.schrodinger.bridge import SchrodingerBridge, energy_and_residual
from interpolants.generative.schrodinger.drifts import DriftFields, EndsFrame, FramedDrifts
from interpolants.problems.schrodinger import GaussianSchrodingerBridge

F64 = torch.float64
EPS = 0.4
PROBLEM = GaussianSchrodingerBridge(
    [1.0, -0.5], [[1.5, 0.6], [0.6, 0.8]], [-1.0, 2.0], [[0.4, -0.3], [-0.3, 1.2]], EPS
)


def exact(x, t):
    return torch.stack([PROBLEM.drift(x, t), PROBLEM.backward_drift(x, t)], 1)


def states(n=200):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.9])
def test_every_field_follows_from_the_two_drifts(t):
    time = torch.tensor(t, dtype=F64)
    ours = DriftFields(exact, EPS).evaluate(states(), time, QUANTITIES)
    closed = PROBLEM.fields().evaluate(states(), time, QUANTITIES)
    for name in QUANTITIES:
        assert_close(ours[name], closed[name], msg=name)


def test_sampling_at_the_bridges_eps_uses_the_drifts_themselves():
    # The combination b + eps s of their halves must give the forward drift back, and b - eps s the backward one.
    x = states()
    ours, closed = DriftFields(exact, EPS), PROBLEM.fields()
    for reverse in (False, True):
        a, b = (sample(f, x, eps=EPS, reverse=reverse, seed=1, n_steps=20).x for f in (ours, closed))
        assert_close(a, b)


def test_a_frame_changes_the_unit_and_the_origin_only():
    # In the frame the problem has centred ends, covariances over scale^2 and eps over scale^2.
    frame = EndsFrame(PROBLEM.rho0.mean, PROBLEM.rho1.mean, 2.5)
    inner = GaussianSchrodingerBridge(
        [0.0, 0.0],
        PROBLEM.rho0.covariances[0] / 2.5**2,
        [0.0, 0.0],
        PROBLEM.rho1.covariances[0] / 2.5**2,
        EPS / 2.5**2,
    )

    class Inner(torch.nn.Module):
        def forward(self, x, t):
            return torch.stack([inner.drift(x, t), inner.backward_drift(x, t)], 1)

    learnt = FramedDrifts(Inner(), frame)
    for t in (torch.tensor(0.3, dtype=F64), torch.linspace(0, 1, 200, dtype=F64)):
        assert_close(learnt(states(), t), exact(states(), t))


def test_the_energy_along_the_bridge_and_its_residual():
    generator = torch.Generator().manual_seed(3)
    n = 100_000
    pairs = PROBLEM.sample_coupling(n, generator=generator)
    t = (torch.arange(n, dtype=F64) + 0.5) / n
    i = pairs.x0 + t[:, None] * (pairs.x1 - pairs.x0)
    fields = DriftFields(exact, EPS)
    energy, residual = energy_and_residual(fields, i, pairs.x1 - pairs.x0, t, generator)
    # |u|^2/2 has a spread below twice its mean (8.4): three standard errors of 100,000 draws are 0.6%; the residual's
    # terms u.(u - target) spread by about |u| |target| / E|u|^2, near one.
    assert energy == pytest.approx(PROBLEM.kinetic_energy, rel=0.02)
    assert abs(residual) < 0.01
    halved = DriftFields(lambda x, time: 0.5 * exact(x, time), EPS)
    assert energy_and_residual(halved, i, pairs.x1 - pairs.x0, t, generator)[1] == pytest.approx(-1, abs=0.05)


class Known(SchrodingerBridge):
    """The exact bridge, as if it had been solved."""

    def learn(self, data, run):
        return self.solved(self.ends(data)[0], (0.0, 0.0))

    @property
    def fields(self):
        return DriftFields(exact, self.eps)


def test_samples_start_from_stored_rows_and_belong_to_their_index():
    x0 = PROBLEM.rho0.sample(4000, generator=torch.Generator().manual_seed(4))
    result = Known(eps=EPS).fit(x0, x0)
    drawn = result.sample(4000, n_steps=30, seed=2)
    assert torch.equal(result.sample(100, n_steps=30, seed=2, first_index=100), drawn[100:200])
    law = PROBLEM.rho1
    assert_close(drawn.mean(0), law.mean, rtol=0, atol=0.1)
    assert_close(torch.cov(drawn.T), law.covariance, rtol=0, atol=0.15)


@pytest.mark.slow
def test_marginals_and_coupling_of_the_result_are_those_of_the_bridge():
    result = Known(eps=EPS).fit(states(), states())
    n, times = 20_000, (0.25, 0.5, 1.0)
    x0 = PROBLEM.rho0.sample(n, generator=torch.Generator().manual_seed(4))
    paths = result.sample_marginals(x0, times, seed=5, n_steps=50)
    for t, x in zip(times, paths, strict=True):
        law = PROBLEM.marginal(t)
        # Four standard errors of a mean and of a covariance of 20,000, and the steps' own error of second order.
        assert_close(x.mean(0), law.mean, rtol=0, atol=0.04)
        assert_close(torch.cov(x.T), law.covariance, rtol=0, atol=0.07)
    ends = result.sample_coupling(x0, seed=6)
    covariance = (ends.x0 - x0.mean(0)).T @ (ends.x1 - ends.x1.mean(0)) / n
    assert_close(covariance, PROBLEM.coupling_covariance, rtol=0, atol=0.05)
    with pytest.raises(InvalidInputError, match="times must lie in"):
        result.sample_marginals(x0, [1.5])
