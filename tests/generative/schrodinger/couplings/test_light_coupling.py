import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import UnfittedCoupling, get_coupling
from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.schrodinger.couplings.light_coupling import LightCoupling, PlanCoupling
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.pairs import PairBatches

PLAN = LightPlan(0.1, torch.zeros(2), torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), torch.full((2, 2), 0.3))


def ends(n=2000):
    g = torch.Generator().manual_seed(0)
    x0 = torch.randn(n, 2, generator=g)
    return x0, PLAN.sample(torch.randn(n, 2, generator=g), generator=g)


def test_pairs_keep_x0_and_draw_x1_from_the_plan(generator):
    x0, x1 = ends(20_000)
    pairs = PlanCoupling(PLAN).pair(x0, x1, generator=generator, cond0=x0[:, :1])
    assert torch.equal(pairs.x0, x0)
    assert torch.equal(pairs.cond1, x0[:, :1])
    assert pairs.index1.unique().tolist() == [-1]
    moments = PLAN.moments(x0)
    off = pairs.x1 - moments.mean
    # E of the residual and of its products with x0 vanish: four standard errors of means of 20,000 terms.
    scale = float(moments.covariance.diagonal(dim1=1, dim2=2).mean()) ** 0.5
    assert_close(off.mean(0), torch.zeros(2), rtol=0, atol=4 * scale / 20_000**0.5)
    assert_close(
        (off[:, :, None] * x0[:, None, :]).mean(0), torch.zeros(2, 2), rtol=0, atol=4 * scale / 20_000**0.5
    )
    again = PlanCoupling(PLAN).pair(x0, x1[:3], generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.x1, pairs.x1)


def test_reverse_keeps_x1_and_images_keep_their_shape(generator):
    coupling = PlanCoupling(LightPlan(0.1, torch.zeros(1), torch.zeros(1, 4), torch.ones(1, 4)), reverse=True)
    x0, x1 = torch.randn(2, 6, 1, 2, 2, generator=generator)
    pairs = coupling.pair(x0, x1, generator=generator)
    assert torch.equal(pairs.x1, x1)
    assert pairs.x0.shape == x0.shape
    assert pairs.index0.tolist() == [-1] * 6


def test_a_trainer_fits_the_coupling_before_the_first_batch():
    x0, x1 = ends()
    coupling = get_coupling("light_coupling", eps=0.1, n_components=2)
    assert isinstance(coupling, UnfittedCoupling)
    assert not isinstance(coupling.fit(x0, x1), UnfittedCoupling)
    batches = PairBatches(x0, x1, 512, coupling, StratifiedTimes())
    batch = batches(0, torch.Generator().manual_seed(0), 0, 1)
    # Right coupled ends lie on the same side: x1 has modes at +-2, and x0 decides which one.
    assert float((batch["x0"][:, 0] * batch["x1"][:, 0] > 0).float().mean()) > 0.85
    with pytest.raises(InvalidInputError, match="LightCoupling needs samples of both ends, got x0=None"):
        PairBatches(None, x1, 512, coupling, StratifiedTimes())


def test_both_directions_are_one_coupling():
    x0, x1 = ends(6000)
    there = LightCoupling(eps=0.1, n_components=3).fit(x0, x1)
    back = LightCoupling(eps=0.1, n_components=6, reverse=True).fit(x0, x1)
    g = torch.Generator().manual_seed(1)
    crosses = []
    for coupling in (there, back):
        pairs = coupling.pair(x0, x1, generator=g)
        a, b = (x.double() - x.double().mean(0) for x in (pairs.x0, pairs.x1))
        crosses.append(a.T @ b / len(a))
    # An entry of a covariance of 6,000 has a standard error of about 2/sqrt(6,000) = 0.026.
    assert_close(crosses[0], crosses[1], rtol=0, atol=0.13)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="eps must be finite and > 0, got 0"):
        LightCoupling(eps=0)
    with pytest.raises(InvalidInputError, match=r"x must have shape \(B, 2\)"):
        PlanCoupling(PLAN).pair(torch.zeros(3, 5), torch.zeros(3, 5))


@pytest.mark.parametrize("reverse", [False, True])
def test_conditions_of_the_made_side_alone_are_refused(reverse):
    """They used to be dropped: a network trained on such pairs never saw them."""
    x, labels = torch.randn(4, 2), torch.arange(4)
    kept, made = ("cond1", "cond0") if reverse else ("cond0", "cond1")
    coupling = PlanCoupling(PLAN, reverse=reverse)
    with pytest.raises(InvalidInputError, match=f"must come with the kept side, got {made} alone"):
        coupling.pair(x, x, **{made: labels})
    pairs = coupling.pair(x, x, **{kept: labels})
    assert torch.equal(pairs.cond0, labels)
    assert torch.equal(pairs.cond1, labels)


@pytest.mark.parametrize("reverse", [False, True])
def test_columns_of_one_value_at_the_end_that_is_drawn_are_refused(reverse):
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    flat = torch.cat([x[:, :1], torch.full((100, 1), 0.1)], 1)
    coupling = LightCoupling(n_components=2, reverse=reverse)
    with pytest.raises(InvalidInputError, match="end that is drawn must vary, got 1 of one value"):
        coupling.fit(*((flat, x) if reverse else (x, flat)))
    coupling.fit(*((x, flat) if reverse else (flat, x)))
