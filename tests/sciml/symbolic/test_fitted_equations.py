import pytest
import torch
from torch.testing import assert_close

from interpolants.data.equation_trees import read_system
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.problems.dynamical_systems import dynamical_system
from interpolants.sciml.symbolic import FittedEquations
from interpolants.sciml.symbolic.fitted_equations import smoothed_end, smoothed_slopes
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies
from interpolants.sciml.symbolic.recovered_equations import symbol_error, terms_of

FAMILIES = EquationFamilies(systems=("oscillator",))


def clean(name, points=400, **parameters):
    system = dynamical_system(name, **parameters)
    start = system.starts(1, generator=torch.Generator().manual_seed(1))
    times = torch.linspace(0, 2, points, dtype=torch.float64)
    return system, torch.cat([times[:, None], system.trajectories(start, times, finer=4)[0]], 1)


@pytest.mark.parametrize("name", ["oscillator", "lorenz"])
def test_sparse_regression_finds_noiseless_systems(name):
    system, window = clean(name)
    (text,) = FittedEquations().fit(FAMILIES).identify(window)
    found = read_system(text)
    assert symbol_error(found, system.equations()) < 0.01
    assert terms_of(found) == terms_of(system.equations())


def test_predictions_are_the_integrated_equation():
    system, window = clean("oscillator")
    times = torch.tensor([5.0, 3.0, 4.0])
    found = FittedEquations().fit(FAMILIES).predict(window, times=times)
    exact = system.trajectories(window[:1, 1:], torch.tensor([0.0, 3.0, 4.0, 5.0]), finer=8)[0]
    assert_close(found[:, 1:], exact[[3, 1, 2]], rtol=0.02, atol=0.02)
    still = FittedEquations(by="still").fit(FAMILIES).predict(window, times=times)
    assert_close(still[:, 1:], window[-1:, 1:].expand(3, -1))


def test_smoothing_is_exact_for_parabolas():
    t = torch.linspace(0, 1, 30, dtype=torch.float64)
    window = torch.stack([t, 2 * t.square() - t, 3 - t], 1)
    assert_close(smoothed_end(window), torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert_close(smoothed_slopes(window), torch.stack([4 * t - 1, -torch.ones_like(t)], 1))


def test_pysindy_finds_a_noiseless_oscillator():
    pytest.importorskip("pysindy")
    system, window = clean("oscillator")
    (text,) = FittedEquations(by="pysindy").fit(FAMILIES).identify(window)
    assert symbol_error(read_system(text), system.equations()) < 0.1


def test_gplearn_finds_the_first_equation_of_an_oscillator():
    pytest.importorskip("gplearn")
    _, window = clean("oscillator", points=60)
    (text,) = FittedEquations(by="gplearn", population=100, generations=3).fit(FAMILIES).identify(window)
    assert terms_of(read_system(text))[0] == terms_of(read_system("u2 | 0"))[0]


def test_times_inside_of_the_window_are_refused():
    with pytest.raises(InvalidInputError, match="after the window"):
        FittedEquations().fit(FAMILIES).predict(clean("oscillator")[1], times=[1.0])


def test_an_equation_whose_terms_are_all_below_the_threshold_is_told():
    """A decay by 0.5 a second, in milliseconds: the answer was that nothing changes."""
    t = torch.linspace(0, 2, 80, dtype=torch.float64)
    model = FittedEquations().fit(FAMILIES)
    (text,) = model.identify(torch.stack([t, torch.exp(-0.5 * t)], 1))
    assert text.startswith("-(0.499993")
    with pytest.warns(FitWarning, match="no term of u1' is as large as threshold = 0.05"):
        model.identify(torch.stack([1000 * t, torch.exp(-0.5 * t)], 1))
    assert model.identify(torch.stack([t, torch.ones_like(t)], 1)) == ["0"]


def test_query_times_may_differ_by_window():
    """A linear system in closed form, asked at other times in each window."""
    t = torch.linspace(0, 2, 60, dtype=torch.float64)
    windows = torch.stack([torch.stack([t + k, torch.exp(-0.5 * t)], 1) for k in (0, 10)])
    method = FittedEquations().fit(FAMILIES)
    own = [torch.tensor([3.0, 2.5]), torch.tensor([14.0])]
    found = method.predict(windows, times=own)
    for k, offset in enumerate((0, 10)):
        assert torch.equal(found[k][:, 0], own[k].double())
        assert_close(found[k][:, 1], torch.exp(-0.5 * (own[k].double() - offset)), rtol=2e-3, atol=0)
