import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.problems.dynamical_systems import SYSTEMS, DynamicalSystem, dynamical_system, lorenz96

EVERY = [*SYSTEMS.values(), lorenz96(6)]


@pytest.mark.parametrize("system", EVERY, ids=lambda s: s.name)
def test_jacobians_are_those_of_automatic_differentiation(system):
    u = torch.randn(5, system.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = [torch.autograd.functional.jacobian(system.rates_at, row) for row in u]
    assert_close(system.jacobian_at(u), torch.stack(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("system", EVERY, ids=lambda s: s.name)
def test_half_the_step_changes_little_over_the_times_of_families(system):
    start = system.starts(4, generator=torch.Generator().manual_seed(1))
    times = torch.linspace(0, 2, 41)
    coarse, fine = (system.trajectories(start, times, finer=k) for k in (1, 2))
    assert bool(torch.isfinite(fine).all())
    assert float((coarse - fine).abs().max()) < 2e-4 * float(fine.abs().max())


@pytest.mark.parametrize(("finer", "steps"), [(1, 3), (2, 5)])
def test_steps_are_the_fewest_that_are_no_longer_than_the_systems_own(finer, steps):
    """A step of the scheme on ``u' = -u`` is the polynomial of order 4 of ``exp(-h)``; 1.2 is 2.4 steps of 0.5."""
    own = DynamicalSystem(name="decay", rates=("-u1",), step=0.5)
    h = 1.2 / steps
    once = 1 - h + h**2 / 2 - h**3 / 6 + h**4 / 24
    found = own.trajectories(torch.ones(1, 1), torch.tensor([0.0, 1.2]), finer=finer)[0, 1]
    assert_close(found, torch.tensor([once**steps], dtype=torch.float64), rtol=1e-7, atol=0)


def test_the_oscillator_is_the_closed_form():
    system = dynamical_system("oscillator", stiffness=2.25, damping=0.2)
    t = torch.linspace(0, 6, 50, dtype=torch.float64)
    found = system.trajectories(torch.tensor([[1.0, 0.5]]), t)[0, :, 0]
    w = math.sqrt(2.25 - 0.01)
    assert_close(
        found,
        torch.exp(-0.1 * t) * (torch.cos(w * t) + (0.5 + 0.1) / w * torch.sin(w * t)),
        rtol=0,
        atol=2e-6,
    )


def test_known_points_of_lorenz_and_the_circle():
    lorenz = dynamical_system("lorenz", beta=8 / 3)
    c = math.sqrt(8 / 3 * 27)
    assert_close(lorenz.rates_at(torch.tensor([c, c, 27.0], dtype=torch.float64)), torch.zeros(3, dtype=torch.float64),
                 rtol=0, atol=1e-12)  # fmt: skip
    trace = lorenz.jacobian_at(lorenz.sample(3, after=1.0)).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert_close(trace, torch.full((3,), -(10 + 1 + 8 / 3), dtype=torch.float64))
    u = torch.randn(7, dtype=torch.float64)
    loop = [(u[(i + 1) % 7] - u[i - 2]) * u[i - 1] - u[i] + 8 for i in range(7)]
    assert_close(lorenz96(7).rates_at(u), torch.stack(loop))


def test_parameters_may_differ_by_row_and_times_too():
    system = dynamical_system("oscillator", damping=0.0)
    start, times = torch.ones(2, 2), torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.4, 3.0]])
    stiffness = torch.tensor([1.0, 4.0], dtype=torch.float64)
    found = system.trajectories(start, times, {"stiffness": stiffness})
    for k, w in enumerate((1.0, 2.0)):
        t = times[k].double()
        assert_close(found[k, :, 0], torch.cos(w * t) + torch.sin(w * t) / w, rtol=0, atol=1e-5)


def test_a_system_of_ones_own_solves_as_an_evolution_equation():
    own = DynamicalSystem(name="decay", rates=("-(k*u1)",), parameters={"k": 0.5})
    problem = own.problem((2.0,), 3.0)
    assert_close(
        problem.truth_at(torch.tensor([[3.0]])), torch.tensor([[2 * math.exp(-1.5)]], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rates": ("k*u1",)}, "'k'"),
        ({"rates": ("u2",)}, "states u1"),
        ({"rates": ("u1",), "start": ((1.0, 0.0),)}, "start must have 1 boxes"),
        ({"rates": ("k*u1",), "parameters": {"k": math.nan}}, "k must be finite"),
    ],
)
def test_bad_systems_are_refused(given, said):
    with pytest.raises(InvalidInputError, match=said):
        DynamicalSystem(name="own", **given)


def test_unknown_names_are_answered_with_the_nearest_and_blow_up_is_said():
    with pytest.raises(InvalidInputError, match="Did you mean 'lorenz'"):
        dynamical_system("lorentz")
    with pytest.raises(InvalidInputError, match="Did you mean 'sigma'"):
        dynamical_system("lorenz", sgma=1.0)
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        DynamicalSystem(name="own", rates=("u1*u1",), start=((5.0, 6.0),)).sample(3)


def test_trajectories_end_when_none_is_of_use_and_are_the_same_before():
    system = DynamicalSystem(name="growth", rates=("u1",), step=0.1)
    times = torch.linspace(0, 3, 7, dtype=torch.float64)
    start = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    plain = system.trajectories(start, times)
    assert torch.equal(
        system.trajectories(start, times, largest=15.0), plain
    )  # one stays below until the last
    ended = system.trajectories(start, times, largest=2.5)
    assert ended.shape == plain.shape
    assert torch.equal(ended[:, :3], plain[:, :3])
    assert bool(ended[:, 3:].isnan().all())
