"""A log density is refused where there is none, and warns of a diffusion that does not reach its base."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LogDensity
from interpolants.foundations.errors import InvalidInputError
from interpolants.nets import MLP, Potential
from interpolants.paths import VE, VP, General, Linear, OneSidedLinear, ShortestPath, ZeroEnvelope
from interpolants.paths.student_t import StudentT

SMALL = {"kind": "mlp", "width": 8, "depth": 1}
DATA = 2 + torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "path",
    [
        General(lambda t, x0, x1: (1 - t)[:, None] * x0 + t[:, None] * x1),
        Linear(envelope=ZeroEnvelope()),
        OneSidedLinear(base=StudentT(df=4)),
        ShortestPath.power_law((2, 2)),
    ],
    ids=["general", "no noise", "heavy tails", "spectral"],
)
def test_paths_without_such_a_density_are_refused(path):
    """Nothing is known of the divergence of their drift, or there is no Gaussian to start from."""
    with pytest.raises(
        InvalidInputError, match=r"LogDensity: the path must be spatially linear.*OneSidedLinear"
    ):
        LogDensity(path, Potential(2, net=SMALL))


def test_a_network_that_is_no_potential_is_refused():
    with pytest.raises(InvalidInputError, match=r"net must be a Potential, got MLP. Wrap the network"):
        LogDensity(OneSidedLinear(), MLP(2, width=8, depth=1))


@pytest.mark.parametrize("path", [VP(bmin=0.1, bmax=1.0), VE(smin=0.01, smax=2.0)])
def test_a_diffusion_that_stops_too_early_is_told_with_its_cost(path):
    cost = float(path.start_kl(DATA).mean())
    with pytest.warns(UserWarning, match=rf"within 0.1 nats, got {cost:.2g}: samples start"):
        LogDensity.fitted(path, None, DATA, net=SMALL)


@pytest.mark.parametrize("path", [VP(), VE(smin=0.01, smax=50.0), OneSidedLinear()])
def test_one_that_runs_long_enough_is_not(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogDensity.fitted(path, None, DATA, net=SMALL)


@pytest.mark.parametrize("path", [Linear(), OneSidedLinear()])
def test_the_gaussian_is_that_of_the_samples_at_their_ends(path):
    starts = None if path.is_one_sided else 3 * DATA - 5
    density = LogDensity.fitted(path, starts, DATA, net=SMALL)
    for t, x in ((0.0, starts), (1.0, DATA)):
        if x is not None:
            normal = torch.distributions.Normal(x.mean(0), x.var(0, correction=0).mean().sqrt())
            assert_close(density.gaussian(x, torch.tensor(t)), normal.log_prob(x).sum(1))
