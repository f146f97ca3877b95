import warnings

import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import MinibatchOT, Sinkhorn
from interpolants.couplings.pairs import costs
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning


def clouds(n, m, dim=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    x0 = torch.randn(n, dim, generator=g, dtype=torch.float64)
    return x0, torch.rand(m, dim, generator=g, dtype=torch.float64) ** 3 * 4


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 50)])
@pytest.mark.parametrize("reg", [0.01, 0.05, 1.0, 50.0])
def test_marginals(n, m, reg):
    tol = 1e-5 if reg < 0.05 else 1e-9  # steps to a tolerance grow like exp(max C / reg)
    plan = Sinkhorn(reg=reg, tol=tol, n_iter=50_000).plan(*clouds(n, m))
    assert plan.converged
    assert_close(plan.plan.sum(1), torch.full((n,), 1 / n, dtype=torch.float64), rtol=1e-13, atol=0)
    assert_close(plan.plan.sum(0), torch.full((m,), 1 / m, dtype=torch.float64), rtol=0, atol=tol)


@pytest.mark.parametrize("reg", [0.02, 0.05, 0.5])
def test_plan_is_pots_at_the_same_absolute_regularisation(reg):
    ot = pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(40, 30)
    ours = Sinkhorn(reg=reg, tol=1e-10, n_iter=100_000).plan(x0, x1)
    distances = (x0[:, None] - x1).square().sum(-1).numpy()  # not centred: the plan is the same
    weights = [torch.full((n,), 1 / n, dtype=torch.float64).numpy() for n in (40, 30)]
    theirs = ot.sinkhorn(
        *weights, distances, reg=ours.reg, method="sinkhorn_log", numItermax=100_000, stopThr=1e-10
    )
    assert_close(ours.plan, torch.from_numpy(theirs), rtol=0, atol=1e-9)
    assert ours.reg == pytest.approx(reg * costs("test", x0, x1)[1])


def test_two_points_in_closed_form():
    # x0 = x1 = {-1, +1}: C in units of its mean is {0, 2}, so P_11 / P_12 = exp(2 / reg).
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    odds = torch.exp(torch.tensor(2 / 0.7, dtype=torch.float64))
    plan = Sinkhorn(reg=0.7, tol=1e-12).plan(x, x)
    same, other = odds / (1 + odds) / 2, 1 / (1 + odds) / 2
    assert_close(plan.plan, torch.stack([same, other, other, same]).reshape(2, 2))
    assert plan.reg == pytest.approx(1.4)  # the mean of C is 2


def test_small_reg_is_the_assignment_and_large_reg_is_independence():
    x0, x1 = clouds(30, 30)
    sharp = Sinkhorn(reg=1e-4).plan(x0, x1).plan * 30
    optimal = torch.eye(30, dtype=torch.float64)[MinibatchOT().pair(x0, x1).index1]
    assert float((sharp - optimal).abs().sum(1).mean()) < 0.05
    blunt = Sinkhorn(reg=1e4).plan(x0, x1).plan
    # |log P_ij n m| <= 2 max C / reg, and max C is below 30 here.
    assert float((blunt * 900 - 1).abs().max()) < 60 / 1e4


def test_neither_scale_nor_offset_changes_the_plan():
    x0, x1 = clouds(30, 20)
    plain = Sinkhorn(tol=1e-9).plan(x0, x1)
    moved = Sinkhorn(tol=1e-9).plan(1e-5 * x0 + 1, 1e-5 * x1 - 2)
    assert_close(moved.plan, plain.plan, rtol=0, atol=1e-9)
    assert moved.reg == pytest.approx(1e-10 * plain.reg)


def test_rows_draw_their_column_from_the_plan():
    # 2,000 draws a row, seed 0; each frequency within 5 binomial standard errors. Points stand there ten times: the
    # mass of a pair is then shared by its copies.
    x0, x1 = clouds(4, 5)
    coupling = Sinkhorn(reg=0.5)
    g = torch.Generator().manual_seed(0)
    copies = x0.repeat(10, 1), x1.repeat(10, 1)
    many = torch.cat([coupling.pair(*copies, generator=g).index1.reshape(10, 4) % 5 for _ in range(200)])
    frequency = torch.stack([(many == j).double().mean(0) for j in range(5)], 1)
    distribution = coupling.plan(x0, x1).plan * 4
    error = (distribution * (1 - distribution) / 2_000).sqrt()
    assert bool(((frequency - distribution).abs() <= 5 * error + 1e-12).all())


def test_base_is_kept_and_expected_multiplicities_are_one():
    x0, x1 = clouds(400, 400)
    pairs = Sinkhorn().pair(x0, x1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pairs.index0, torch.arange(400))
    assert (pairs.x0 - pairs.x1).square().sum() < 0.6 * (x0 - x1).square().sum()
    error = x1.std(0) / 400**0.5
    assert bool(((pairs.x1.mean(0) - x1.mean(0)).abs() < 5 * error).all())


def test_within_draws_equal_labels_even_when_counts_differ():
    x0, x1 = clouds(20, 30)
    labels0, labels1 = torch.arange(20) % 3, torch.arange(30) % 4
    pairs = Sinkhorn(within="labels").pair(x0, x1, cond0=labels0, cond1=labels1)
    assert torch.equal(pairs.cond0, pairs.cond1)
    with pytest.raises(InvalidInputError, match=r"must have the same labels, got counts"):
        Sinkhorn(within="labels").pair(x0, x1, cond0=labels0 + 2, cond1=labels1)
    with pytest.raises(InvalidInputError, match=r"when x0 has no labels, got 20 and 30"):
        Sinkhorn(within="labels").pair(x0, x1, cond1=labels1)


def test_no_convergence_is_said_and_never_hidden():
    x0, x1 = clouds(50, 50)
    coupling = Sinkhorn(reg=1e-3, n_iter=3)
    plan = coupling.plan(x0, x1)
    assert not plan.converged
    assert plan.steps == 3
    with pytest.warns(FitWarning, match=r"right to tol=0.001, got .* after 3 steps at reg=0.001. Use"):
        coupling.pair(x0, x1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sinkhorn().pair(x0, x1)


@pytest.mark.parametrize("reg", [1e-9, 1e-5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_reg_never_falls_back_to_uniform(reg, dtype):
    # exp(-C / reg) underflows everywhere; the log-domain step must take over.
    x0, x1 = (x.to(dtype) for x in clouds(40, 40, dim=300))
    plan = Sinkhorn(reg=reg, n_iter=200).plan(x0, x1).plan
    assert bool(torch.isfinite(plan).all())
    assert float(plan.max(1).values.mean()) > 0.9 / 40


def test_an_outlier_keeps_its_row():
    x0, x1 = clouds(40, 40)
    x0[0] += 1e4
    plan = Sinkhorn(reg=1e-5, n_iter=500).plan(x0, x1).plan
    assert_close(plan.sum(1), torch.full((40,), 1 / 40, dtype=torch.float64))


def reference_plan(x0, x1, reg, steps=500):
    """Sinkhorn as in the textbook, in the log domain, float64."""
    cost, f, g = (x0[:, None] - x1).square().sum(-1), x0.new_zeros(len(x0)), x1.new_zeros(len(x1))
    for _ in range(steps):
        g = -reg * torch.logsumexp((f[:, None] - cost) / reg, 0)
        f = -reg * torch.logsumexp((g - cost) / reg, 1)
    return torch.exp((f[:, None] + g - cost) / reg) / len(x0)


def test_an_outlier_among_many_rows_has_the_partners_of_the_textbook():
    """Its cost is 400 times the mean: exp(-C / reg) is zero along its row."""
    x0, x1 = clouds(400, 5)
    x0[0] += 1e3
    plan = Sinkhorn(reg=1.0, tol=1e-9).plan(x0, x1)
    assert_close(plan.plan, reference_plan(x0, x1, plan.reg), rtol=1e-6, atol=0)


@pytest.mark.parametrize("n_iter", [1, 2, 50])
def test_potentials_and_error_are_those_of_the_plan_when_steps_run_out_too(n_iter):
    """With an outlier whose cost in units of reg runs through what a kernel can and cannot hold."""
    x0, x1 = clouds(1000, 20)
    x0[0] += 100
    a, b = x0 - x0.mean(0), x1 - x1.mean(0)
    cost = (a[:, None] - b).square().sum(-1)
    for reg in torch.linspace(2, 4, 41).tolist():
        plan = Sinkhorn(reg=reg, n_iter=n_iter).plan(x0, x1)
        of_potentials = torch.exp((plan.f[:, None] + plan.g - cost) / plan.reg) / 20_000
        assert_close(plan.plan, of_potentials, rtol=1e-9, atol=0)
        assert float((plan.plan.sum(0) - 1 / 20).abs().sum()) <= plan.error + 1e-12


@pytest.mark.parametrize("reg", [1.0, 0.05])
@pytest.mark.parametrize("side", [0, 1])
def test_an_outlier_that_weighs_less_than_the_tolerance_has_its_partners_too(reg, side):
    """Without any mass in its place the marginals are right to 8e-4, which is within the tolerance."""
    ends = clouds(2500, 3) if side == 0 else clouds(3, 2500)
    ends[side][0] += 1e3
    plan = Sinkhorn(reg=reg).plan(*ends)
    assert plan.converged
    wanted = reference_plan(*ends, plan.reg, steps=50)
    share, true = (2500 * p.select(side, 0) for p in (plan.plan, wanted))
    assert_close(share, true, rtol=0, atol=0.01)


def test_wide_float32_data():
    x0, x1 = clouds(30, 30, dim=400)
    plan = Sinkhorn().plan(x0.float(), x1.float())
    assert plan.converged
    # float32 costs are right to about 1e-6 of their mean, 2e-5 of reg; the plan to as much, relatively.
    moved = clouds(30, 30, dim=400)
    reference = reference_plan(moved[0], moved[1], plan.reg)
    assert_close(plan.plan.double(), reference, rtol=1e-3, atol=1e-6)


def test_a_condition_without_a_name_is_refused():
    with pytest.raises(InvalidInputError, match="Sinkhorn: within must be None or the name"):
        Sinkhorn(within="")
