"""Resampling: the right number of copies in mean, the variance of each scheme, and nothing across groups."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build, names
from interpolants.solvers import Multinomial, Residual, Stratified, Systematic, effective_size

F64 = torch.float64
SCHEMES = {name: build("resampler", name) for name in names("resampler")}
each = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
WEIGHTS = torch.tensor([0.27, 0.0, 0.4, 0.05, 0.17, 0.01, 0.1, 0.0], dtype=F64)


def copies(scheme, weights, trials, seed=0):
    """Number of copies of each particle in many independent groups, ``(trials, m)``."""
    table = weights.expand(trials, -1)
    u = torch.rand(trials, scheme.draws(len(weights)), dtype=F64, generator=generator(seed))
    ancestors = scheme.ancestors(table, u)
    assert bool((ancestors.diff(dim=1) >= 0).all())
    return torch.nn.functional.one_hot(ancestors, len(weights)).sum(1).double()


@each
def test_copies_are_right_in_mean_and_weightless_particles_have_none(scheme):
    trials = 40_000
    found = copies(scheme, WEIGHTS, trials)
    wanted = len(WEIGHTS) * WEIGHTS
    error = (found.var(0) / trials).sqrt()
    assert bool(((found.mean(0) - wanted).abs() <= 4 * error + 1e-12).all())
    assert float(found[:, WEIGHTS == 0].sum()) == 0


def test_systematic_copies_are_the_expected_number_rounded_down_or_up():
    found, wanted = copies(Systematic(), WEIGHTS, 2000), len(WEIGHTS) * WEIGHTS
    assert bool(((found == wanted.floor()) | (found == wanted.ceil())).all())


def test_residual_copies_are_at_least_the_expected_number_rounded_down():
    found, wanted = copies(Residual(), WEIGHTS, 2000), len(WEIGHTS) * WEIGHTS
    assert bool((found >= wanted.floor()).all())
    assert bool((found > wanted.floor() + 1).any())  # the rest is drawn independently


def test_stratified_copies_differ_from_the_expected_number_by_less_than_two():
    found, wanted = copies(Stratified(), WEIGHTS, 2000), len(WEIGHTS) * WEIGHTS
    assert float((found - wanted).abs().max()) < 2


def test_multinomial_copies_have_the_binomial_variance_and_the_others_no_more():
    trials, m = 40_000, len(WEIGHTS)
    binomial = m * WEIGHTS * (1 - WEIGHTS)
    found = copies(Multinomial(), WEIGHTS, trials).var(0)
    assert_close(found, binomial, rtol=0.05, atol=0.01)
    for scheme in (Systematic(), Stratified(), Residual()):
        others = copies(scheme, WEIGHTS, trials).var(0)
        assert bool((others <= binomial * 1.03 + 0.01).all())


@each
@pytest.mark.parametrize("m", [7, 49])  # 49 times 1/49 rounds below 1
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_equal_weights_and_one_weight(scheme, m, dtype):
    same = torch.full((m,), 1 / m, dtype=dtype)
    if not isinstance(scheme, Multinomial):
        assert bool((copies(scheme, same, 50) == 1).all())
    one = torch.zeros(m, dtype=dtype)
    one[3] = 1
    assert bool((copies(scheme, one, 50)[:, 3] == m).all())


@each
@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_ends_of_the_unit_interval_stay_inside(scheme, u, dtype):
    weights = torch.tensor([[0.0, 0.3, 0.3, 0.4, 0.0]], dtype=dtype)
    found = scheme.ancestors(weights, torch.full((1, scheme.draws(5)), u, dtype=dtype))
    assert set(found.flatten().tolist()) <= {1, 2, 3}


@each
def test_groups_do_not_touch_each_other(scheme):
    table = torch.rand(5, 16, dtype=F64, generator=generator(1))
    table = table / table.sum(1, keepdim=True)
    u = torch.rand(5, scheme.draws(16), dtype=F64, generator=generator(2))
    together = scheme.ancestors(table, u)
    for k in range(5):
        assert torch.equal(together[k : k + 1], scheme.ancestors(table[k : k + 1], u[k : k + 1]))


def test_effective_size_of_known_weights():
    log = torch.tensor(
        [[0.0, 0.0, 0.0, 0.0], [5.0, -torch.inf, -torch.inf, -torch.inf], [0.0, 0.0, -1e9, -1e9]]
    )
    assert_close(effective_size(log), torch.tensor([4.0, 1.0, 2.0], dtype=F64))
    weights = torch.tensor([3.0, 1.0, 2.0]).log() + 300
    assert float(effective_size(weights)) == pytest.approx(36 / 14, rel=1e-4)
    assert bool(effective_size(torch.full((3,), -torch.inf)).isnan())
    assert bool(effective_size(torch.tensor([0.0, torch.nan])).isnan())
