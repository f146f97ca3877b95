"""Couplings that leave rows out, against POT, brute force and their limits."""

import itertools
import warnings

import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import PartialOT, Sinkhorn, Unbalanced
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.methods import Bridge
from interpolants.metrics import energy_distance

F64 = torch.float64


def clouds(n, m, dim=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    x0 = torch.randn(n, dim, generator=g, dtype=F64)
    return x0, torch.rand(m, dim, generator=g, dtype=F64) ** 3 * 4 + 0.5


def squared(x0, x1):
    return (x0[:, None] - x1).square().sum(-1)


@pytest.mark.parametrize("relax", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("side", ["target", "source", "both"])
def test_the_plan_is_pots(relax, side):
    ot = pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(30, 40)
    ours = Unbalanced(relax=relax, side=side, reg=0.1, tol=1e-13, n_iter=100_000).plan(x0, x1)
    penalty = {"target": (float("inf"), ours.rho), "source": (ours.rho, float("inf")), "both": ours.rho}[side]
    weights = [torch.full((n,), 1 / n, dtype=F64).numpy() for n in (30, 40)]
    told = {"reg_type": "kl", "method": "sinkhorn_stabilized", "numItermax": 100_000, "stopThr": 1e-13}
    theirs = ot.unbalanced.sinkhorn_unbalanced(*weights, squared(x0, x1).numpy(), ours.reg, penalty, **told)
    assert_close(ours.plan, torch.from_numpy(theirs), rtol=0, atol=1e-10)
    assert ours.reg == pytest.approx(0.1 * float(squared(x0, x1).mean()))
    assert ours.mass == pytest.approx(float(ours.plan.sum()))


@pytest.mark.parametrize(("side", "kept"), [("target", "kept0"), ("source", "kept1")])
def test_the_side_that_is_not_relaxed_keeps_all_rows(side, kept):
    found = Unbalanced(side=side).plan(*clouds(30, 40))
    assert_close(
        getattr(found, kept), torch.ones(30 if kept == "kept0" else 40, dtype=F64), rtol=1e-12, atol=0
    )
    assert found.mass == pytest.approx(1)
    other = found.kept1 if side == "target" else found.kept0
    assert float(other.max() - other.min()) > 0.3


def test_a_large_penalty_is_the_balanced_plan():
    x0, x1 = clouds(30, 40)
    balanced = Sinkhorn(reg=0.1, tol=1e-12, n_iter=100_000).plan(x0 - x0.mean(0), x1 - x1.mean(0))
    # Units of the mean cost differ: that of clouds with one centre counts the shift, too.
    unit = balanced.reg / 0.1 / float(squared(x0, x1).mean())
    ours = Unbalanced(relax=1e6, side="both", reg=0.1 * unit, tol=1e-13, n_iter=100_000).plan(x0, x1)
    assert_close(ours.plan, balanced.plan, rtol=0, atol=1e-6 / 30)


def test_outliers_of_the_target_are_left_out_and_no_other_rows():
    x0, x1 = clouds(60, 60)
    x1[:3] += 30.0
    found = Unbalanced(relax=0.1).plan(x0, x1)
    assert float(found.kept1[:3].max()) < 1e-3
    assert float(found.kept1[3:].min()) > 0.25
    pairs = Unbalanced(relax=0.1).pair(x0, x1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pairs.index0, torch.arange(60))
    assert not bool((pairs.index1 < 3).any())
    assert bool((Sinkhorn().pair(x0, x1, generator=torch.Generator().manual_seed(0)).index1 < 3).any())


@pytest.mark.slow  # half a minute: nine bridges
def test_a_bridge_does_not_learn_outliers_of_the_target():
    """The table of docs/choose.md; ``pytest -s`` prints it."""

    def ends(seed, n=2000):
        g = torch.Generator().manual_seed(seed)
        x0, rows = torch.randn(n, 2, generator=g), 0.4 * torch.randn(n, 2, generator=g)
        rows += torch.tensor([3.0, 1.5]) * torch.tensor([[1.0, 1.0], [1.0, -1.0]])[torch.arange(n) % 2]
        outliers = torch.rand(n, 1, generator=g) < 0.05
        return x0, torch.where(outliers, torch.tensor([12.0, 10.0]) + rows, rows), rows

    scores = {}
    for coupling in ("independent", "sinkhorn", "unbalanced"):
        for seed in range(3):
            x0, x1, _ = ends(seed)
            small = {"net": {"kind": "mlp", "width": 64, "depth": 3}, "steps": 1000}
            bridge = Bridge(coupling=coupling, seed=seed, **small).fit(x0, x1, progress=False)
            y, rows = bridge.transport(ends(100 + seed)[0]), ends(1000 + seed)[2]
            row = float((y[:, 0] > 9).double().mean()), float(energy_distance(y, rows).value)
            scores.setdefault(coupling, []).append(row)
        print(coupling, scores[coupling])
    assert max(share for share, _ in scores["unbalanced"]) == 0
    assert min(share for share, _ in scores["independent"] + scores["sinkhorn"]) > 0.03
    worst = max(distance for _, distance in scores["unbalanced"])
    assert worst < 0.3 * min(distance for _, distance in scores["independent"] + scores["sinkhorn"])


@pytest.mark.parametrize("side", ["target", "source", "both"])
def test_pairs_are_drawn_from_the_plan(side):
    # 60 x 400 draws, seed 0; each frequency within 5 binomial standard errors.
    x0, x1 = clouds(4, 5)
    coupling, g = Unbalanced(reg=0.3, relax=0.3, side=side), torch.Generator().manual_seed(0)
    copies = x0.repeat(15, 1), x1.repeat(15, 1)
    counts = torch.zeros(4, 5, dtype=F64)
    for _ in range(400):
        pairs = coupling.pair(*copies, generator=g)
        counts.index_put_((pairs.index0 % 4, pairs.index1 % 5), torch.ones(60, dtype=F64), accumulate=True)
    plan = coupling.plan(x0, x1).plan
    p, n = plan / plan.sum(), 60 * 400
    assert float(((counts / n - p).abs() / (p * (1 - p) / n).sqrt()).max()) < 5


def test_an_offset_of_both_sides_and_units_change_nothing():
    x0, x1 = clouds(30, 20)
    plain, moved = (Unbalanced(tol=1e-12).plan(*c) for c in ((x0, x1), (1e-3 * x0 + 50, 1e-3 * x1 + 50)))
    assert_close(moved.plan, plain.plan, rtol=0, atol=1e-10)
    shifted = Unbalanced(side="both").plan(x0, x1 + 3)
    assert abs(shifted.mass - Unbalanced(side="both").plan(x0, x1).mass) > 0.01  # unlike for balanced plans


@pytest.mark.parametrize("mass", [0.3, 0.6, 1.0])
def test_partial_pairs_are_the_best_of_all_partial_pairings(mass):
    x0, x1 = clouds(4, 6, seed=3)
    cost, k = squared(x0, x1), round(mass * 4)
    best = min(
        sum(float(cost[i, j]) for i, j in zip(rows, columns, strict=True))
        for rows in itertools.combinations(range(4), k)
        for columns in itertools.permutations(range(6), k)
    )
    pairs = PartialOT(mass=mass).pair(x0, x1)
    assert len(pairs.x0) == 4
    assert len(set(pairs.index0.tolist())) == len(set(pairs.index1.tolist())) == k
    assert len(set(zip(pairs.index0.tolist(), pairs.index1.tolist(), strict=True))) == k
    assert float((pairs.x0 - pairs.x1)[:k].square().sum()) == pytest.approx(best)


def test_the_partial_cost_is_pots():
    ot = pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(50, 50)
    pairs = PartialOT(mass=0.6).pair(x0, x1)
    weights = [torch.full((50,), 1 / 50, dtype=F64).numpy()] * 2
    theirs = ot.partial.partial_wasserstein(*weights, squared(x0, x1).numpy(), m=0.6)
    assert float((pairs.x0 - pairs.x1)[:30].square().sum()) / 50 == pytest.approx(
        float((torch.from_numpy(theirs) * squared(x0, x1)).sum())
    )


@pytest.mark.parametrize(
    "coupling", [Unbalanced(relax=0.1), PartialOT(mass=0.5)], ids=["unbalanced", "partial"]
)
def test_rows_are_paired_within_their_labels_and_keep_their_conditions(coupling):
    x0, x1 = clouds(40, 40)
    labels = torch.arange(40) % 3
    pairs = coupling.pair(x0, x1, cond0=labels, cond1=labels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pairs.cond0, pairs.cond1)
    assert torch.equal(pairs.cond1, labels[pairs.index1])
    assert_close(pairs.x1, x1[pairs.index1], rtol=0, atol=0)


@pytest.mark.parametrize("coupling", [Unbalanced(), PartialOT()], ids=["unbalanced", "partial"])
def test_numbers_as_conditions_are_refused(coupling):
    with pytest.raises(
        InvalidInputError, match="conditions must be labels, one integer per row, got numbers"
    ):
        coupling.pair(*clouds(5, 5), cond1=torch.randn(5, 1))


def test_bad_settings_and_batches_are_refused():
    with pytest.raises(InvalidInputError, match=r"relax must be finite and > 0.*Use Sinkhorn"):
        Unbalanced(relax=0.0)
    with pytest.raises(InvalidInputError, match="mass must lie in"):
        PartialOT(mass=1.5)
    with pytest.raises(InvalidInputError, match=r"at least one pair must remain, got 1 rows at mass=0.3"):
        PartialOT(mass=0.3).pair(*clouds(1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Unbalanced().pair(*clouds(50, 60))
    with pytest.warns(FitWarning, match="after 3 steps"):
        Unbalanced(n_iter=3, reg=0.005).pair(*clouds(50, 60))
