"""Optimal transport beside continuous conditions: the base that each condition sees is the whole base."""

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.couplings import MinibatchOT, Sinkhorn
from interpolants.couplings.condition_cost import with_conditions
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator

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


def test_conditions_of_x0_do_not_bind_it():
    """Samples start from all of x0, whatever its conditions: so must the pairs."""
    c0 = torch.randn(256, 3, dtype=F64, generator=generator(1))
    assert torch.equal(pairs_of(MinibatchOT(), batches=1, cond0=c0)[2], pairs_of(MinibatchOT(), batches=1)[2])


def test_bad_weights_and_conditions_of_two_shapes_are_refused():
    for kind in (MinibatchOT, Sinkhorn):
        with pytest.raises(InvalidInputError, match="condition_weight"):
            kind(condition_weight=-1.0)


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
