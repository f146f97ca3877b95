"""Methods, samplers and problems in other processes give the same bits; user-defined code is passed to load again."""

import multiprocessing
import pickle

import pytest
import torch
from torch import nn

import interpolants
from interpolants import Bridge
from interpolants.dynamics.grids import time_grid
from interpolants.dynamics.samplers import OdeSampler
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError

SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 5, "batch_size": 32}


class Own(nn.Module):
    """A network of the user's own."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2 + 1, 4)

    def forward(self, x, t, cond=None):
        return self.line(torch.cat([x, t.expand(len(x))[:, None]], 1)).unflatten(1, (2, 2))


def rows(shift=0.0):
    return shift + torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


def bridge(**settings):
    return Bridge(**{**SMALL, **settings}).fit(rows(), rows(2.0), progress=False)


def drawn(one):
    return one.sample(5, seed=3, n_steps=4, eps=0.5)


@pytest.mark.slow
def test_a_process_that_starts_afresh_samples_the_same_bits():
    one = bridge()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert torch.equal(pool.apply(drawn, (one,)), drawn(one))


def test_a_network_of_ones_own_travels_with_its_bridge():
    one = bridge(net=Own())
    assert torch.equal(drawn(pickle.loads(pickle.dumps(one))), drawn(one))


def test_a_network_of_ones_own_is_passed_to_load_again(tmp_path):
    one = bridge(net=Own())
    folder = one.save(tmp_path / "b")
    assert torch.equal(drawn(interpolants.load(folder, net=Own())), drawn(one))
    with pytest.raises(
        InvalidInputError, match=r"net is user-defined code \(Own\).*Pass load\(folder, net=\.\.\.\)"
    ):
        drawn(interpolants.load(folder))


class Other(Own):
    """It has the weights of the other, and gives other answers."""

    def forward(self, x, t, cond=None):
        return 2 * super().forward(x, t, cond)


def test_another_network_than_that_of_the_fit_is_refused(tmp_path):
    folder = bridge(net=Own()).save(tmp_path / "b")
    with pytest.raises(InvalidInputError, match="the code that is passed must be that of the fit"):
        interpolants.load(folder, net=Other())


def test_a_sampler_that_was_used_can_be_pickled():
    one = OdeSampler(fields=bridge(heads=("mean_rate", "noise")).fields, grid=time_grid(4), method="euler")
    before = one.run(rows(), None, 0, keep=False, on_step=None).x
    back = pickle.loads(pickle.dumps(one))
    assert torch.equal(back.run(rows(), None, 0, keep=False, on_step=None).x, before)


def by_default():
    """Members that can be made without arguments."""
    for card in load_cards():
        entry = (
            card.load_entry()
            if card.kind in ("problem", "path", "coupling", "solver", "time_sampler")
            else None
        )
        if isinstance(entry, type):
            try:
                yield pytest.param(entry(), id=f"{card.kind}-{card.id}")
            except (TypeError, InvalidInputError):
                continue


@pytest.mark.parametrize("member", [*by_default()])
def test_members_can_be_pickled(member):
    back = pickle.loads(pickle.dumps(member))
    assert type(back) is type(member)
    if callable(getattr(member, "sample", None)) and hasattr(member, "log_prob"):
        draws = [one.sample(4, generator=torch.Generator().manual_seed(1)) for one in (member, back)]
        assert torch.equal(*draws)
