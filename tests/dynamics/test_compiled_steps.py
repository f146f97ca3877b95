"""Several steps in one compiled call: the plain steps up to rounding, compiled once, and refused where they cannot be.

The graphs are captured and run by PyTorch's "eager" backend, which takes a tenth of the time that code for them takes.
"""

import functools

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from interpolants.dynamics import Langevin, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.nets import MLP
from interpolants.paths import Linear, OneSidedLinear
from stirred_nets import stirred


@pytest.fixture
def counter(monkeypatch):
    """Counts graphs."""
    torch._dynamo.reset()
    found = CompileCounter()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=found))
    yield found
    torch._dynamo.reset()


def net(dtype=torch.float64, **settings):
    return stirred(MLP(2, width=16, depth=2, **settings).to(dtype).eval().requires_grad_(False))


def fields(made=None, **given):
    return LearnedFields(OneSidedLinear(), velocity=made or net(), **given)


def start(rows=20, dtype=torch.float64):
    return torch.randn(rows, 2, generator=generator(1), dtype=dtype)


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4"])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_samples_are_those_of_plain_steps(counter, method, reverse):
    how = {"method": method, "n_steps": 11, "reverse": reverse, "time_grid": "cosine", "invariant": False}
    plain, compiled = sample(fields(), start(), **how), sample(fields(), start(), **how, compiled=4)
    assert torch.allclose(plain.x, compiled.x, rtol=0, atol=1e-13)
    assert (plain.nfe, plain.method) == (compiled.nfe, compiled.method)


def test_conditions_are_passed_on(counter):
    made, labels = net(n_classes=3), torch.arange(20) % 3
    how = {"n_steps": 6, "invariant": False, "cond": labels}
    plain, compiled = (sample(fields(made), start(), **how, compiled=k).x for k in (0, 3))
    assert torch.allclose(plain, compiled, rtol=0, atol=1e-13)
    assert not torch.allclose(
        compiled, sample(fields(made), start(), **how | {"cond": labels.roll(1)}, compiled=3).x
    )


@pytest.mark.slow
def test_a_network_is_compiled_for_its_first_size_and_then_for_all(counter):
    made = net()
    compilations = []
    for rows in (20, 33, 64, 257, 20):
        for steps in (10, 12, 16):  # other grids, and other numbers of steps left over
            sample(fields(made), start(rows), n_steps=steps, invariant=False, compiled=5)
        compilations.append(counter.frame_count)
    assert compilations[0] == 1
    assert compilations[2] <= 3
    assert compilations[2:] == [compilations[2]] * 3


@pytest.mark.slow
def test_another_network_has_functions_of_its_own(counter):
    """PyTorch stops compiling after eight versions of one function; a session may see more networks than that."""
    for _ in range(10):
        sample(fields(net()), start(), n_steps=4, invariant=False, compiled=2)
    assert counter.frame_count == 10


def test_weights_may_change_without_another_compilation(counter):
    made = net()
    how = {"n_steps": 4, "invariant": False}
    sample(fields(made), start(), **how, compiled=2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.5)
    plain, compiled = (sample(fields(made), start(), **how, compiled=k).x for k in (0, 2))
    assert torch.allclose(plain, compiled, rtol=0, atol=1e-13)
    assert counter.frame_count == 1


def test_networks_of_users_get_their_times_by_row(counter):
    class Own(nn.Module):
        def forward(self, x, t):
            return torch.sin(x) * t[:, None]

    how = {"n_steps": 4, "invariant": False}
    plain, compiled = (sample(fields(Own()), start(), **how, compiled=k).x for k in (0, 2))
    assert torch.allclose(plain, compiled, rtol=0, atol=1e-13)


REFUSED = [
    ({}, "may round a sample differently in another batch"),
    ({"invariant": False, "eps": 0.5}, "those of a flow by a Runge-Kutta method"),
    ({"invariant": False, "method": "dopri5"}, "those of a flow by a Runge-Kutta method"),
    ({"invariant": False, "method": "ddim"}, "those of a flow by a Runge-Kutta method"),
    ({"invariant": False, "return_path": True}, "without what sees every step, got a kept path"),
    ({"invariant": False, "corrector": Langevin(steps=1)}, "got correctors and constraints"),
    ({"invariant": False, "modifiers": {"kind": "size_guard", "limit": 9}}, "got modifiers"),
    ({"invariant": False, "compiled": 2.5}, "compiled must be a whole number"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_must_see_single_steps_is_refused(given, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(fields(), start(), **{"n_steps": 4, "compiled": 2, "seed": 0} | given)


def test_a_velocity_that_follows_from_other_fields_is_refused():
    learnt = LearnedFields(Linear(), mean_rate=net(), noise=net())
    with pytest.raises(InvalidInputError, match="learnt as such, got mean_rate, noise"):
        sample(learnt, start(), n_steps=4, compiled=2, invariant=False)


@pytest.mark.slow
def test_compiled_for_the_machine_the_samples_are_those_of_plain_steps():
    torch._dynamo.reset()
    how = {"n_steps": 12, "invariant": False}
    plain, compiled = (
        sample(fields(net(torch.float32)), start(64, torch.float32), **how, compiled=k).x for k in (0, 4)
    )
    assert torch.allclose(plain, compiled, rtol=0, atol=1e-5)
    torch._dynamo.reset()
