"""Transport with growth: two points in closed form, POT, the action of the interpolation, and what refuses."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import WassersteinFisherRao
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning

F64 = torch.float64


def point(x, mass):
    return torch.tensor([x], dtype=F64), torch.tensor([mass], dtype=F64)


def two_points(distance=1.2, delta=0.7):
    (x0, m0), (x1, m1) = point([0.0], 1.0), point([distance], 2.5)
    return WassersteinFisherRao(delta=delta, tol=1e-12).plan(x0, x1, weights0=m0, weights=m1)


def test_two_points_have_the_cost_of_the_closed_form():
    exact = 4 * 0.7**2 * (3.5 - 2 * math.sqrt(2.5) * math.cos(1.2 / 1.4))
    assert exact == pytest.approx(2.802747, abs=1e-6)
    plan = two_points()
    assert plan.cost == pytest.approx(exact, rel=1e-9)
    assert abs(plan.error) < 1e-9
    assert float(plan.growth0) == pytest.approx(2.5)


def test_the_interpolation_has_the_action_of_the_cost():
    """int m |x'|^2 + delta^2 m'^2 / m dt is the cost, and the momentum m x' is constant."""
    plan, t = two_points(), torch.linspace(0, 1, 1001, dtype=F64)
    rows, masses = zip(*(plan.at(float(s)) for s in t), strict=True)
    x, m = torch.cat(rows)[:, 0], torch.cat(masses)
    assert (float(x[0]), float(x[-1])) == pytest.approx((0.0, 1.2))
    assert (float(m[0]), float(m[-1])) == pytest.approx((1.0, 2.5))
    dt, middle = 1 / 1000, (m[1:] + m[:-1]) / 2
    speed, rate = x.diff() / dt, m.diff() / dt
    action = float((middle * speed.square() + 0.49 * rate.square() / middle).sum() * dt)
    assert action == pytest.approx(plan.cost, rel=1e-5)
    momentum = 2 * 0.7 * math.sqrt(2.5) * math.sin(1.2 / 1.4)
    assert momentum == pytest.approx(1.673423, abs=1e-6)
    assert_close(middle * speed, torch.full_like(speed, momentum), rtol=1e-4, atol=0)


def test_beyond_the_cut_off_mass_is_destroyed_and_created():
    near = torch.tensor([[0.0], [0.3]], dtype=F64)
    far = torch.tensor([[0.1], [0.3 + 0.7 * math.pi]], dtype=F64)
    plan = WassersteinFisherRao(delta=0.7, tol=1e-10).plan(near, far)
    assert plan.created == pytest.approx(0.5)
    rows, masses = plan.at(0.5)
    assert float(masses[rows[:, 0] > 2]) == pytest.approx(0.5 / 4)
    assert float(plan.growth0.mean()) == pytest.approx(0.5)
    alone = WassersteinFisherRao(delta=0.7)
    with pytest.raises(InvalidInputError, match=r"nearer than pi delta, got 2\.19911 at delta=0\.7"):
        alone.plan(torch.zeros(1, 1, dtype=F64), torch.full((1, 1), 0.7 * math.pi, dtype=F64))


def test_it_is_the_unregularised_plan_of_pot():
    ot = pytest.importorskip("ot")
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(n, 2, generator=source, dtype=F64) for n in (12, 15))
    a, b = (torch.rand(n, generator=source, dtype=F64) + 0.1 for n in (12, 15))
    plan = WassersteinFisherRao(delta=1.5, tol=1e-8, n_iter=50_000).plan(x0, x1, weights0=a, weights=b)
    cost = -2 * (torch.cdist(x0, x1) / 3).clamp(max=math.pi / 2 - 1e-9).cos().log()
    theirs = ot.unbalanced.mm_unbalanced(
        a.numpy(), b.numpy(), cost.numpy(), 1.0, numItermax=20_000, stopThr=1e-13
    )
    assert_close(plan.plan, torch.from_numpy(theirs), atol=1e-4, rtol=0)
    assert 0 <= plan.error / (4 * 1.5**2) <= 1e-8 * float(a.sum() + b.sum())


def test_growth_of_two_clusters_is_found_and_depends_on_delta():
    """One cluster grows threefold and the other halves; nothing moves between them."""
    source = torch.Generator().manual_seed(1)
    left, right = (torch.randn(40, 2, generator=source, dtype=F64) * 0.3 + c for c in (-2.0, 2.0))
    x0 = torch.cat([left, right])
    later = torch.cat([left.flip(0) + 0.2, right + 0.1])
    masses = torch.cat([torch.full((40,), 3 / 80, dtype=F64), torch.full((40,), 0.5 / 80, dtype=F64)])
    factors = {}
    for delta in (0.5, 1.0, 2.0, 20.0):
        plan = WassersteinFisherRao(delta=delta, tol=1e-3).plan(x0, later, weights=masses)
        factors[delta] = [float(plan.growth0[:40].mean()), float(plan.growth0[40:].mean())]
        assert sum(factors[delta]) / 2 + plan.created == pytest.approx(1.75, rel=1e-3)
    for delta in (0.5, 1.0):
        assert factors[delta] == pytest.approx([3.0, 0.5], abs=0.02)
    # Growth is dear on the scale of the data: all rows grow alike, and mass moves from right to left.
    assert factors[20.0] == pytest.approx([1.75, 1.75], abs=0.15)


def test_the_automatic_scale_leaves_hardly_a_row_alone():
    source = torch.Generator().manual_seed(2)
    x0, x1 = (torch.randn(200, 2, generator=source, dtype=F64) for _ in range(2))
    plan = WassersteinFisherRao(tol=1e-2).plan(x0, x1)
    nearest = torch.cdist(x0, x1).amin(1)
    assert int((nearest > math.pi * plan.delta).sum()) <= 4
    assert float((plan.growth0 == 0).double().mean()) <= 0.02


def test_a_gap_that_stays_large_is_told():
    source = torch.Generator().manual_seed(2)
    x0, x1 = (torch.randn(20, 2, generator=source, dtype=F64) for _ in range(2))
    with pytest.warns(FitWarning, match="the duality gap must fall to tol=1e-09, got .* after 3 steps"):
        WassersteinFisherRao(n_iter=3, tol=1e-9).plan(x0, x1)


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        (torch.ones(4), "one number for each row"),
        (torch.tensor([1.0, 0.0, 1.0]), "finite and > 0, got 0"),
        (torch.tensor([1.0, math.nan, 1.0]), "finite and > 0"),
    ],
)
def test_bad_masses_are_refused(weights, rule):
    with pytest.raises(InvalidInputError, match=rule):
        WassersteinFisherRao(delta=1.0).plan(torch.zeros(3, 2), torch.ones(3, 2) * 0.1, weights=weights)


def test_a_bad_scale_is_refused():
    with pytest.raises(InvalidInputError, match="delta"):
        WassersteinFisherRao(delta=0.0)
    with pytest.raises(InvalidInputError, match="rows that differ"):
        WassersteinFisherRao().plan(torch.ones(3, 2), torch.ones(3, 2))
