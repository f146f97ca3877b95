"""Known chaotic flows: rates, paths, series and invariants, beside formulas and solvers of our own."""

import math

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics.lyapunov import LyapunovSpectrum
from interpolants.problems.dynamical_systems import dynamical_system
from interpolants.sciml.chaos.problems.chaotic_invariants import checked_invariants, known_invariants, written
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.rk4 import RK4
from thirds import third

pytest.importorskip("dysts")

from interpolants.sciml.chaos.problems import chaotic_systems as module
from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem, chaotic_systems


def test_rates_jacobian_and_path_of_lorenz_are_those_of_the_formula():
    system, formula = ChaoticSystem("Lorenz"), dynamical_system("lorenz", beta=2.667)
    u = 10 * torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(system.rates_at(u), formula.rates_at(u))
    assert torch.allclose(system.jacobian_at(u), formula.jacobian_at(u), atol=1e-6)
    path = system.trajectory(20, per_period=15)
    times = torch.arange(20).double() * system.period / 15
    assert torch.allclose(path, formula.trajectories(system.start[None], times, finer=10)[0], atol=1e-3)


def test_every_flow_gives_finite_rates_for_many_states_as_for_one():
    assert len(chaotic_systems()) == 129
    for name in ("Lorenz96", "MacArthur", "BickleyJet", "Hopfield", "CellularNeuralNetwork"):
        system = ChaoticSystem(name)
        u = (
            system.start
            + 0.01 * torch.randn(4, system.dim, generator=torch.Generator().manual_seed(0)).double()
        )
        together = system.rates_at(u)
        assert torch.allclose(together, torch.stack([system.rates_at(row) for row in u]))
        assert bool(torch.isfinite(together).all())


def test_the_one_flow_that_depends_on_time_goes_around():
    path = ChaoticSystem("Torus").trajectory(120, per_period=15)
    assert float(path.std(0).min()) > 0.05
    assert float(path.abs().max()) < 20


def knot(t, a, n, r):
    """The curve that Torus runs along."""
    wide = r + a * (n * t).cos()
    return torch.stack([wide * t.cos(), wide * t.sin(), a * (n * t).sin()], -1)


@pytest.mark.parametrize("name", ["a", "n", "r"])
def test_the_rates_of_torus_are_the_slopes_of_its_knot_at_every_time(name):
    values = {"a": 0.5, "n": 15.3, "r": 1.0} | {name: 0.7}
    system = ChaoticSystem("Torus", **values)
    t, states = torch.tensor(0.3, dtype=torch.float64), torch.zeros(5, 3)
    slope = torch.autograd.functional.jvp(lambda at: knot(at, **values), t, torch.ones_like(t))[1]
    assert system.vectorised
    assert torch.allclose(system.rates_at(states, 0.3), slope.expand(5, 3))


def test_states_come_one_from_each_stretch_of_a_path():
    """Torus goes round once in 2 pi: its angle is the time."""
    system, values = ChaoticSystem("Torus", a=0.5, n=15.3, r=1.0), {"a": 0.5, "n": 15.3, "r": 1.0}
    spread = 1.5 / system.period
    x = system.sample(200, generator=torch.Generator().manual_seed(0), spread=spread)
    x = x - system.start + knot(torch.zeros((), dtype=torch.float64), **values)
    angles = torch.atan2(x[:, 1], x[:, 0])
    gaps = (angles.diff() % (2 * math.pi)).numpy()
    assert gaps.max() < 3
    assert gaps.mean() == pytest.approx(1.5, abs=0.02)
    assert gaps.std() == pytest.approx(1.5 / 6**0.5, abs=0.08)  # of two independent uniform times
    first = (angles[0] - 10 * system.period) % (2 * math.pi)
    assert 0 < float(first) < 1.5


def test_what_is_wrong_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="Did you mean 'Lorenz'"):
        ChaoticSystem("Lorens")
    with pytest.raises(InvalidInputError, match="flow without delay"):
        ChaoticSystem("MackeyGlass")
    with pytest.raises(InvalidInputError, match="Did you mean 'rho'"):
        ChaoticSystem("Lorenz", rh=3.0)
    with pytest.raises(InvalidInputError, match="per_period"):
        ChaoticSystem("Lorenz").trajectory(10, per_period=1)
    with pytest.raises(InvalidInputError, match="3 coordinates"):
        ChaoticSystem("Lorenz").trajectory(10, start=torch.zeros(2))
    with pytest.raises(InvalidInputError, match="of the default system"):
        _ = ChaoticSystem("Lorenz", rho=20.0).invariants
    with pytest.raises(DivergedError, match="Lorenz: the integration stopped after time"):
        ChaoticSystem("Lorenz", beta=-900.0).trajectory(2000)


def test_other_parameters_are_those_of_one_system_alone():
    changed = ChaoticSystem("Lorenz", rho=20.0)
    u = torch.tensor([[1.0, 2.0, 3.0]])
    assert float((changed.rates_at(u) - ChaoticSystem("Lorenz").rates_at(u))[0, 1]) == pytest.approx(-8.0)


def test_exponents_take_steps_that_are_short_enough_and_hardly_shorter(monkeypatch):
    """A quarter of a period, good to 1e-4 of the attractor's size, beside a solver of much smaller errors."""
    system, told = ChaoticSystem("Lorenz"), {}
    monkeypatch.setattr(
        module, "lyapunov_spectrum", lambda rates, u, **given: told.update(given, rates=rates, u=u)
    )
    system.lyapunov_spectrum(starts=4)
    quarter, u = round(system.period / told["step"] / 4), told["u"]
    exact = torch.stack([system.trajectory(2, per_period=4, start=row)[1] for row in u])

    def missed(steps):
        times = np.linspace(0, system.period / 4, steps + 1)
        found = integrate_fixed(lambda x, t: told["rates"](x), u, times, RK4()).x
        return float(((found - exact).abs() / u.std(0)).max())

    assert missed(quarter) < 1e-4 < missed(quarter // 3)


# --- invariants


def test_flags_say_what_does_not_fit():
    good = LyapunovSpectrum(torch.tensor([0.9, 0.0, -14.57]), torch.full((3,), 0.01), -13.67, 0.0)
    says = {"maximum_lyapunov_estimated": 0.89, "lyapunov_spectrum_estimated": [0.9, 0.0, -14.6]}
    assert checked_invariants(says, good).flags == ()
    wrong = {"maximum_lyapunov_estimated": 0.15, "lyapunov_spectrum_estimated": [0.9, 0.0, -10.0]}
    flags = checked_invariants(wrong, good).flags
    assert flags == ("annotated largest exponent differs", "annotated sum is not the divergence")
    assert checked_invariants({}, good).flags == ()  # nothing said is nothing wrong
    still = LyapunovSpectrum(torch.tensor([0.01, -1.0]), torch.full((2,), 0.01), -2.0, 0.0)
    assert {"not chaotic within errors", "exponents do not sum to the divergence"} <= set(
        checked_invariants({}, still).flags
    )


def spectrum(*exponents, error=0.01, divergence=None):
    values = torch.tensor(exponents, dtype=torch.float64)
    total = float(values.sum()) if divergence is None else divergence
    return LyapunovSpectrum(values, torch.full_like(values, error), total, 0.0)


def test_flags_begin_at_three_standard_errors():
    assert "not chaotic within errors" in checked_invariants({}, spectrum(0.029, -1.0)).flags
    assert checked_invariants({}, spectrum(0.031, -1.0)).flags == ()


@pytest.mark.parametrize("side", [-1, 1])
def test_flags_leave_annotations_a_tenth_and_the_errors(side):
    """The largest exponent a tenth and three errors, the sum a tenth of the divergence and 1 % of all sizes."""
    found, conservative = spectrum(1.0, -4.0), spectrum(1.0, 0.0, -1.0)

    def flags(found, largest, total):
        says = {"maximum_lyapunov_estimated": largest, "lyapunov_spectrum_estimated": [total]}
        return checked_invariants(says, found).flags

    assert flags(found, 1 + side * 0.125, -3.0) == ()
    assert flags(found, 1 + side * 0.135, -3.0) == ("annotated largest exponent differs",)
    assert flags(found, 1.0, -3 + side * 0.34) == ()
    assert flags(found, 1.0, -3 + side * 0.36) == ("annotated sum is not the divergence",)
    assert flags(conservative, 1.0, side * 0.019) == ()
    assert flags(conservative, 1.0, side * 0.021) == ("annotated sum is not the divergence",)


def test_the_stored_table_is_read_as_it_was_written_and_has_every_system():
    known = known_invariants()
    assert set(known) == set(chaotic_systems())
    lorenz, rossler = known["Lorenz"], known["Rossler"]
    assert abs(lorenz.exponents[0] - 0.90) < 0.02
    assert abs(sum(lorenz.exponents) + 13.667) < 0.01 * 13.667
    assert abs(rossler.exponents[0] - 0.072) < 0.012
    assert "annotated largest exponent differs" in rossler.flags
    assert "Lorenz," in written(known)
    assert written(known).count("\n") == 130


@pytest.mark.slow
@pytest.mark.parametrize("name", third(["Halvorsen", "Lorenz84"]))
def test_stored_exponents_are_found_again_from_other_starts(name):
    stored = known_invariants()[name]
    fresh = ChaoticSystem(name).lyapunov_spectrum(starts=16, periods=15, seed=5)
    error = 4 * (float(fresh.errors[0]) + stored.errors[0])
    assert abs(float(fresh.exponents[0]) - stored.exponents[0]) < error
    assert fresh.mismatch < 0.01


def _counted(system, monkeypatch):
    """Evaluations of the rates of a path of 133 periods, and its error."""
    asked, one = [], system._one
    monkeypatch.setitem(vars(system), "_one", lambda x, t: asked.append(1) or one(x, t))
    with pytest.raises(DivergedError, match=f"{system.name}: the integration stopped after time") as told:
        system.trajectory(2000)
    return len(asked), str(told.value)


def test_a_change_that_makes_a_flow_leave_for_ever_is_refused_soon(monkeypatch):
    """z grows as e^{8t} while x and y turn around it faster and faster: the solver went on for minutes."""
    evaluations, said = _counted(ChaoticSystem("Lorenz", beta=-8.0), monkeypatch)
    assert evaluations < 100_000
    assert "with {'beta': -8.0}; change them less" in said


def test_evaluations_are_bounded_by_the_length_of_a_path(monkeypatch):
    """A path that stays small, but takes ever smaller steps, ends too."""
    monkeypatch.setattr(module, "_EVALUATIONS", 10)
    monkeypatch.setattr(module, "_EVALUATIONS_MORE", 100)
    evaluations, _ = _counted(ChaoticSystem("Lorenz"), monkeypatch)
    assert evaluations == 100 + math.ceil(10 * 1999 / 15)
