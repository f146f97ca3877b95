"""Known chaotic flows: rates, paths, series and invariants, beside formulas and solvers of our own."""

import pytest
import torch

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics.lyapunov import LyapunovSpectrum
from interpolants.problems.chaotic_invariants import checked_invariants, known_invariants, written
from interpolants.problems.dynamical_systems import dynamical_system

pytest.importorskip("dysts")

from interpolants.problems.chaotic_systems import ChaoticSystem, chaotic_systems


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
@pytest.mark.parametrize("name", ["Halvorsen", "Lorenz84"])
def test_stored_exponents_are_found_again_from_other_starts(name):
    stored = known_invariants()[name]
    fresh = ChaoticSystem(name).lyapunov_spectrum(starts=16, periods=15, seed=5)
    error = 4 * (float(fresh.errors[0]) + stored.errors[0])
    assert abs(float(fresh.exponents[0]) - stored.exponents[0]) < error
    assert fresh.mismatch < 0.01
