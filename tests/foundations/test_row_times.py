"""One contract for times: users' functions get one per row, everywhere, and what mixes rows is refused at once."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.row_times import check_row_times
from interpolants.guidance import ClassifierGuided
from interpolants.likelihood import log_prob
from interpolants.methods import Bridge
from interpolants.objectives import VelocityLoss
from interpolants.paths import OneSidedLinear
from interpolants.solvers import Dopri5, integrate_adaptive

SIZE = 16  # columns: as many as an adaptive solver has rows at least
X = torch.linspace(-1, 1, SIZE * SIZE, dtype=torch.float64).reshape(SIZE, SIZE)

# How users write a time beside a state.
RIGHT = {
    "cat": lambda x, t: torch.cat([x, t[:, None]], 1),
    "stack": lambda x, t: torch.cat([x, t.unsqueeze(-1)], -1),
    "view": lambda x, t: torch.cat([x, t.view(-1, 1)], 1),
    "reshape": lambda x, t: torch.cat([x, t.reshape(len(x), 1)], 1),
}
WRONG = {
    "expand": lambda x, t: torch.cat([x, t.expand(len(x), 1)], 1),
    "ones": lambda x, t: torch.cat([x, t * torch.ones(len(x), 1, dtype=x.dtype)], 1),
    "repeat": lambda x, t: torch.cat([x, t.repeat(len(x), 1)], 1),
    "column": lambda x, t: torch.cat([x, t], 1),
    "number": lambda x, t: torch.cat([x, torch.full_like(x[:, :1], float(t))], 1),
    "first": lambda x, t: torch.cat([x, t[0].expand(len(x), 1)], 1),
    "mean": lambda x, t: torch.cat([x, t.mean().expand(len(x), 1)], 1),
    "product": lambda x, t: torch.cat([x * t, x[:, :1]], 1),
}


class Net(nn.Module):
    """A user's plain network in one of the ways to write it."""

    def __init__(self, join):
        super().__init__()
        self.join, self.calls = join, 0
        self.layers = nn.Sequential(nn.Linear(SIZE + 1, 32), nn.Tanh(), nn.Dropout(0.0), nn.Linear(32, SIZE))
        self.double()
        with torch.no_grad():
            for part in self.parameters():
                part.copy_(0.3 * torch.arange(1.0, part.numel() + 1).sin().reshape(part.shape))

    def forward(self, x, t, cond=None):
        self.calls += 1
        return self.layers(self.join(x, t))


def fields(join):
    return LearnedFields(OneSidedLinear(), velocity=Net(join))


DOORS = {
    "fixed": lambda join: sample(fields(join), X, n_steps=2),
    "adaptive": lambda join: sample(fields(join), X, method="dopri5"),
    "density": lambda join: log_prob(fields(join), X, OneSidedLinear().base),
    "fixed density": lambda join: log_prob(fields(join), X, OneSidedLinear().base, method="rk4", n_steps=2),
    "loss": lambda join: VelocityLoss(OneSidedLinear())(
        Net(join), x1=X, t=torch.linspace(0, 1, SIZE).double()
    ),
    "fit": lambda join: Bridge("one_sided_linear", net=Net(join).float(), steps=1, batch_size=SIZE).fit(
        x1=X.float()
    ),
    "guidance": lambda join: sample(
        ClassifierGuided(fields(RIGHT["cat"]), Net(join), strength=1.0), X, cond=torch.arange(SIZE), n_steps=2
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("idiom", RIGHT)
def test_one_time_per_row_is_what_every_door_gives(door, idiom):
    DOORS[door](RIGHT[idiom])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("idiom", WRONG)
def test_what_wants_another_shape_or_mixes_rows_is_refused_on_the_first_call(door, idiom):
    with pytest.raises(InvalidInputError, match=r"t\[:, None\]"):
        DOORS[door](WRONG[idiom])


def test_ways_to_write_it_agree_by_fixed_steps_adaptive_ones_and_in_the_density():
    for run in (DOORS["fixed"], DOORS["adaptive"]):
        first, *others = (run(RIGHT[idiom]).x for idiom in RIGHT)
        for other in others:
            assert torch.equal(first, other)
    assert_close(DOORS["fixed"](RIGHT["cat"]).x, DOORS["adaptive"](RIGHT["cat"]).x, atol=1e-2, rtol=0)


@pytest.mark.slow
def test_with_as_many_rows_as_columns_a_product_is_refused_and_a_widened_one_is_right():
    with pytest.raises(InvalidInputError, match="x \\* t multiplies the columns"):
        integrate_adaptive(lambda x, t: x * t, X, 0.0, 1.0, Dopri5())
    done = integrate_adaptive(lambda x, t: x * t[:, None], X, 0.0, 1.0, Dopri5(), rtol=1e-9, atol=1e-9)
    assert_close(done.x, X * torch.e**0.5, rtol=1e-7, atol=1e-7)
    with pytest.raises(InvalidInputError, match="depend on t"):
        sample(
            LearnedFields(OneSidedLinear(), velocity=lambda x, t: x * t), X[:1, :1].repeat(3, 1), n_steps=2
        )


def test_a_function_is_checked_once_and_leaves_no_trace():
    net = Net(RIGHT["cat"]).train()
    net.layers[2].p = 0.5
    t, before = torch.linspace(0, 1, SIZE).double(), torch.get_rng_state()
    check_row_times("who", net, X, t)
    once = net.calls
    assert torch.equal(before, torch.get_rng_state())
    check_row_times("who", net, X, t)
    assert net.calls == once
    assert all(part.training for part in net.modules())
    LearnedFields(OneSidedLinear(), velocity=net).velocity(X, 0.5)
    assert net.calls == once + 1  # known by now


def test_a_function_that_changes_its_arguments_is_refused():
    with pytest.raises(InvalidInputError, match="in place"):
        sample(LearnedFields(OneSidedLinear(), velocity=lambda x, t: x * t.mul_(2)[:, None]), X, n_steps=2)


def test_errors_that_have_to_do_with_something_else_stay_what_they_are():
    def broken(x, t):
        raise ValueError("my own fault")

    with pytest.raises(ValueError, match="my own fault") as caught:
        sample(LearnedFields(OneSidedLinear(), velocity=broken), X, n_steps=2)
    assert not isinstance(caught.value, InvalidInputError)
