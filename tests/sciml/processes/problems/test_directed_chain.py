import math

import pytest
import torch
from scipy import special

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.problems.directed_chain import LinearDirectedChain


def test_closed_forms_are_bessel_functions_and_published_values():
    chain = LinearDirectedChain()
    t = 2.0
    assert chain.covariance(0, t) == pytest.approx(
        t * math.exp(-2 * t) * (special.iv(0, 2 * t) + special.iv(1, 2 * t))
    )
    found = [chain.correlation(k, t) for k in range(1, 7)]
    assert found == pytest.approx([0.4861, 0.2038, 0.0741, 0.0235, 0.0066, 0.0016], abs=6e-5)


@pytest.mark.parametrize("t", [50.0, 200.0])
def test_closed_forms_hold_at_late_times(t):
    found = LinearDirectedChain().covariance(0, t)
    assert found == pytest.approx(t * (special.ive(0, 2 * t) + special.ive(1, 2 * t)), rel=1e-9)


@pytest.mark.slow
def test_a_chain_over_a_long_time_is_walked_until_its_start_is_forgotten(generator):
    """After 40 links, enough for short times, the variance would lack a quarter; Euler's scheme adds some percent."""
    chain = LinearDirectedChain(horizon=70.0, length=701)
    x = chain.sample(1500, generator=generator)
    assert float(x[:, -1].var()) == pytest.approx(chain.covariance(0, 70.0), rel=0.15)


@pytest.mark.parametrize(("horizon", "length"), [(50.0, 51), (1e308, 101)])
def test_times_too_far_apart_for_the_scheme_are_refused(horizon, length):
    with pytest.raises(InvalidInputError, match=r"length must be at least .*0\.1 apart"):
        LinearDirectedChain(horizon, length)
    assert LinearDirectedChain(50.0, 501).length == 501


def test_walks_keep_the_law_and_forget_the_path_that_they_begin_with(generator):
    chain, n = LinearDirectedChain(length=51), 12_000
    first = chain.sample(n, generator=generator)
    second, fourth = chain.walk(first, 1, generator=generator), None
    fourth = chain.walk(second, 2, generator=generator)
    for path in (first, fourth):
        assert float(path[:, -1].var()) == pytest.approx(chain.covariance(0, 2.0), abs=0.04)
        assert float(path[:, 25].var()) == pytest.approx(chain.covariance(0, 1.0), abs=0.03)
    for path, links in ((second, 1), (fourth, 3)):
        both = torch.stack([first[:, -1, 0], path[:, -1, 0]])
        assert float(both.corrcoef()[0, 1]) == pytest.approx(chain.correlation(links, 2.0), abs=0.03)


def test_other_grids_are_refused():
    with pytest.raises(InvalidInputError, match=r"paths must be \(n, 101, 1\), got \(2, 50, 1\)"):
        LinearDirectedChain().walk(torch.zeros(2, 50, 1), 1)
    with pytest.raises(InvalidInputError, match="links must be"):
        LinearDirectedChain().walk(torch.zeros(2, 101, 1), 0)
