"""Optimal transport beside continuous conditions: the base that each condition sees is the whole base."""

import numpy as np
import pytest
import scipy.optimize
import torch

from interpolants import Bridge
from interpolants.couplings import MinibatchOT, Sinkhorn
from interpolants.couplings.condition_cost import with_conditions
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.methods.parts.start_points import Pool
from interpolants.objectives.times import UniformTimes
from interpolants.training.pairs import PairBatches

F64 = torch.float64


def pairs_of(coupling, *, batches=12, n=256, size=1, form=lambda c: c, cond0=None):
    """``x1 = 2 c + e/2``: all pairs of some batches, with the condition of x1."""
    source, found = generator(0, "pairs"), []
    for _ in range(batches):
        c, x0 = (torch.randn(n, k, dtype=F64, generator=source) for k in (1, size))
        x1 = 2 * c + torch.randn(n, size, dtype=F64, generator=source) / 2
        done = coupling.pair(x0, x1, generator=source, cond1=form(c), cond0=cond0)
        found.append((done.x0, done.x1, c[done.index1]))
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def slope(x0, c):
    """Of the mean of x0 as a function of the condition; 0 where they are independent, to 0.02 for 3072 pairs."""
    return float((x0.mean(1) * c[:, 0]).mean())


@pytest.mark.parametrize("size", [1, 2])
def test_the_base_does_not_follow_the_condition(size):
    x0, x1, c = pairs_of(MinibatchOT(), size=size)
    assert abs(slope(x0, c)) < 0.06
    far = float(x0.var(0).sum() + x1.var(0).sum())
    assert float((x0 - x1).square().sum(1).mean()) < 0.93 * far  # it still shortens the way


def test_plain_transport_follows_it_and_so_does_a_small_weight():
    assert slope(*pairs_of(MinibatchOT(condition_weight=0))[::2]) > 0.9
    assert 0.4 < slope(*pairs_of(MinibatchOT(condition_weight=1.0))[::2]) < 0.7


def test_sinkhorn_takes_the_same_costs():
    assert abs(slope(*pairs_of(Sinkhorn(), batches=4)[::2])) < 0.1
    assert slope(*pairs_of(Sinkhorn(condition_weight=0), batches=4)[::2]) > 0.8


def test_units_of_data_and_conditions_do_not_matter():
    x0, _, c = pairs_of(MinibatchOT(), batches=1)
    for factor in (2.0**-30, 2.0**30):
        again = pairs_of(MinibatchOT(), batches=1, form=lambda c, f=factor: {"age": c * f})
        assert torch.equal(again[0], x0)
        assert torch.equal(again[2], c)


def test_conditions_of_both_ends_are_compared_as_they_are():
    """The assignment is that of ``|x0 - x1|^2 + 100 |c0 - c1|^2``, each in units of its mean, by another solver."""
    source = generator(3, "both ends")
    x0, x1 = torch.randn(2, 40, 2, dtype=F64, generator=source)
    c0, c1 = (
        3 * torch.rand(40, 1, dtype=F64, generator=source),
        torch.rand(40, 1, dtype=F64, generator=source),
    )
    done = MinibatchOT().pair(x0, x1, cond0=c0, cond1=c1, generator=source)
    a, b, f, g = x0 - x0.mean(0), x1 - x1.mean(0), c0 - c0.mean(0), c1 - c1.mean(0)
    parts = [torch.cdist(*pair).square() for pair in ((a, b), (f, g))]
    cost = parts[0] / parts[0].mean() + 100 * parts[1] / parts[1].mean()
    _, best = scipy.optimize.linear_sum_assignment(cost.numpy())
    assert done.index1.tolist() == best.tolist()
    blind = MinibatchOT().pair(x0, x1, cond1=c1, generator=source)
    assert blind.index1.tolist() != best.tolist()


def test_conditions_of_x0_bind_it():
    """x0 = 3 c0 + noise: pairs that draw c0 anew give every c1 an x0 of another condition."""
    source = generator(4, "bound")
    c0, c1 = (2 * torch.rand(256, 1, dtype=F64, generator=source) - 1 for _ in range(2))
    x0, x1 = (
        s * 3 * c + 0.3 * torch.randn(256, 1, dtype=F64, generator=source) for s, c in ((1, c0), (-1, c1))
    )
    for coupling in (MinibatchOT(), Sinkhorn()):
        told = coupling.pair(x0, x1, cond0=c0, cond1=c1, generator=source)
        blind = coupling.pair(x0, x1, cond1=c1, generator=source)
        gaps = [float((one.cond1 - c0[one.index0]).square().mean()) for one in (told, blind)]
        assert gaps[0] < 0.05 * gaps[1]  # Sinkhorn draws, 0.027


@pytest.mark.parametrize("cond1", [torch.zeros(6, 2, dtype=F64), None])
def test_conditions_that_cannot_be_compared_are_refused(cond1):
    x, c0 = torch.randn(6, 2, dtype=F64), torch.randn(6, 3, dtype=F64)
    with pytest.raises(InvalidInputError, match=r"cond0 must have as many numbers a row .* got 3 and [02]"):
        MinibatchOT().pair(x, x + 1, cond0=c0, cond1=cond1)
    assert len(MinibatchOT(condition_weight=0).pair(x, x + 1, cond0=c0, cond1=cond1).x0) == 6


def test_training_tells_the_condition_on_the_way():
    source = generator(5, "on the way")
    x0, x1, c0, c1 = (torch.randn(64, 1, dtype=F64, generator=source) for _ in range(4))
    batches = PairBatches(x0, x1, 32, MinibatchOT(), UniformTimes(), cond=c1, cond0=c0)
    batch = batches(0, generator(0, "a step"), 0, 1)
    rows0, rows1 = ((batch[end] == x.T).nonzero()[:, 1] for end, x in (("x0", x0), ("x1", x1)))
    t = batch["t"].double()[:, None]
    torch.testing.assert_close(batch["cond"], (1 - t) * c0[rows0] + t * c1[rows1])
    assert torch.equal(batch["cond1"], c1[rows1])
    plain = PairBatches(x0, x1, 32, MinibatchOT(), UniformTimes(), cond=c1)(0, generator(0, "a step"), 0, 1)
    assert "cond1" not in plain
    assert bool(torch.isin(plain["cond"], c1).all())


def test_samples_start_from_rows_of_nearly_their_condition():
    x = torch.arange(100.0)[:, None]
    pool = Pool(x, x / 50)
    asked = torch.tensor([[0.0], [1.0], [1.98]]).repeat(40, 1)
    starts = pool.draw_near(120, 0, 0, asked)
    for first, value in ((0, 0), (1, 50), (2, 99)):
        own = starts[first::3]
        assert float((own - value).abs().max()) <= 9  # ten of a hundred rows, at an end all on one side
        assert len(own.unique()) > 5
    assert torch.equal(pool.draw_near(20, 0, 100, asked[100:]), starts[100:])


@pytest.mark.slow
def test_a_bridge_between_conditions_of_both_ends_has_the_answer_of_each():
    """``x0 = 3 c0 + .3 n, x1 = -3 c1 + .3 n``: c0 drawn anew gave -1.32 +- 0.05 for -1.50 +- 0.30."""
    rng = np.random.default_rng(0)
    c0, c1 = rng.uniform(-1, 1, size=(2, 4000, 1))
    x0, x1 = 3 * c0 + 0.3 * rng.normal(size=c0.shape), -3 * c1 + 0.3 * rng.normal(size=c1.shape)
    bridge = Bridge(
        coupling="minibatch_ot",
        net={"kind": "mlp", "width": 64, "depth": 3},
        steps=1500,
        batch_size=256,
        held_out=0,
    ).fit(x0, x1, cond=c1, cond0=c0, progress=False)
    for c in (0.5, -0.8, 0.0):
        start = 3 * c + 0.3 * rng.normal(size=(2000, 1))
        moved, drawn = bridge.transport(start, cond=[c]), bridge.sample(2000, cond=[c], seed=0)
        assert float(moved.mean()) == pytest.approx(-3 * c, abs=0.08)
        assert 0.27 <= float(moved.std()) <= 0.33
        # Samples start from 64 rows of nearly that condition, whose own deviation is right to 0.03.
        assert float(drawn.mean()) == pytest.approx(-3 * c, abs=0.12)
        assert 0.22 <= float(drawn.std()) <= 0.38


@pytest.mark.slow
def test_a_bridge_with_conditions_has_the_law_of_each_condition():
    """``x1 | c ~ N(2 tanh(4 c), 1/16)``. Plain transport gave means off by 0.9 to 1.1, and deviations of 1.0 to 1.4."""
    rng = np.random.default_rng(0)
    c, x0 = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1))
    x1 = 2 * np.tanh(4 * c) + rng.normal(size=(4000, 1)) / 4
    net = {"kind": "mlp", "width": 64, "depth": 2}
    bridge = Bridge(coupling="minibatch_ot", net=net, steps=600, lr=3e-3, held_out=0)
    bridge.fit(x0, x1, cond=c, progress=False)
    for a in (-1.0, -0.3, 0.3, 1.0):
        made = bridge.sample(1000, cond=[a], seed=0)
        assert float(made.mean()) == pytest.approx(2 * np.tanh(4 * a), abs=0.15)
        assert float(made.std()) == pytest.approx(0.25, abs=0.08)


def test_a_coupling_with_nothing_to_pair_is_named():
    x1 = np.random.default_rng(0).normal(size=(50, 2))
    bridge = Bridge(path="one_sided_linear", coupling="minibatch_ot", steps=2, held_out=0)
    with pytest.warns(UserWarning, match="MinibatchOT has nothing to pair on a one-sided path"):
        bridge.fit(x1=x1, progress=False)


def test_a_condition_that_does_not_vary_adds_nothing():
    x = torch.randn(6, 2, dtype=F64, generator=generator(0, "x"))
    same = torch.full((6, 1), 3.0, dtype=F64)
    a, b = with_conditions(x, x + 1, None, same, weight="auto", within=None, generator=generator(0, "deal"))
    assert bool((a[:, 2:] == 0).all() and (b[:, 2:] == 0).all())
