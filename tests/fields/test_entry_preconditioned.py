"""The network with one time per entry: what goes into it, and what it makes of what comes out, in closed form."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.fields.entry_preconditioned import EntryPreconditioned
from interpolants.paths import OneSidedLinear

SD = 2.0


class Recorded(nn.Module):
    """Return ones, and keep the input."""

    def forward(self, x, t, cond=None):
        self.x, self.t = x, t
        return torch.ones_like(x[:, : x.shape[1] // 2])


@pytest.mark.parametrize("times", [torch.tensor([[0.2, 1.0, 0.0]]), torch.tensor([[0.5, 0.9, 0.7]])])
def test_inputs_have_unit_variance_and_a_clock_and_outputs_the_closed_form(times):
    inner, x = Recorded(), torch.tensor([[0.3, -1.2, 2.0], [1.0, 0.4, -0.6]])
    net = EntryPreconditioned(inner, OneSidedLinear(), SD)
    t = times.expand(2, 3)
    alpha, beta = 1 - t, t
    total = alpha.square() + (beta * SD).square()
    found = net(x, t)
    state, clock = inner.x.chunk(2, 1)
    assert_close(state, x / total.sqrt())
    share = beta * SD / (beta * SD + alpha)
    assert_close(clock, 12**0.5 * (share - 0.5), rtol=1e-4, atol=1e-4)
    out = alpha * SD / total.sqrt()
    assert_close(found, beta * SD**2 / total * x + out)
    whole = out > 0
    assert_close(net.weight(x, t)["denoised"][whole], out.square().reciprocal()[whole])


def test_an_untrained_network_with_a_covariance_is_the_denoiser_of_the_gaussian():
    covariance = torch.tensor([[1.0, 0.6, 0.2], [0.6, 2.0, -0.3], [0.2, -0.3, 0.5]])
    net = EntryPreconditioned(nn.Module(), OneSidedLinear(), SD, covariance)
    x, t = torch.tensor([[0.3, -1.2, 2.0]]), torch.tensor([[0.2, 0.6, 0.9]])
    a, b, c = (1 - t[0]).double().diag(), t[0].double().diag(), covariance.double()
    expected = c @ b @ torch.linalg.solve(b @ c @ b + a @ a, x[0].double())
    assert_close(net._gaussian_mean(x, t, covariance)[0].double(), expected, rtol=1e-5, atol=1e-6)
