"""Exponents and dimensions of known flows and maps, and errors of paths by hand."""

import pytest
import torch

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics.attractor_dimension import correlation_dimension, correlation_integral
from interpolants.metrics.lyapunov import LyapunovSpectrum, central_jacobian, kaplan_yorke, lyapunov_spectrum
from interpolants.metrics.path_errors import normalised_error, smape, valid_time
from interpolants.problems.dynamical_systems import dynamical_system


def test_exponents_of_a_linear_flow_are_the_real_parts_of_its_eigenvalues():
    a = torch.tensor([[0.3, 2.0, 0.0], [-2.0, 0.3, 0.0], [1.0, 0.0, -1.5]], dtype=torch.float64)
    jacobian = a.expand(2, 3, 3)
    start = torch.ones(2, 3, dtype=torch.float64)
    found = lyapunov_spectrum(
        lambda u: u @ a.T, start, step=0.02, steps=1500, settle=300, jacobian=lambda u: jacobian
    )
    assert torch.allclose(found.exponents, torch.tensor([0.3, 0.3, -1.5]).double(), atol=2e-3)
    assert found.divergence == pytest.approx(-0.9)
    assert found.mismatch < 1e-6


@pytest.mark.parametrize(
    ("name", "wanted", "tolerance"),
    [
        ("lorenz", (0.90, 0.0, -14.57), (0.08, 0.04, 0.08)),
        ("rossler", (0.072, 0.0, -5.39), (0.04, 0.03, 0.2)),
    ],
)
def test_exponents_of_known_attractors(name, wanted, tolerance):
    system = dynamical_system(name)
    start = system.sample(64, generator=torch.Generator().manual_seed(0), after=30.0)
    step, steps = (0.01, 500) if name == "lorenz" else (0.05, 700)
    found = lyapunov_spectrum(
        system.rates_at,
        start,
        step=step,
        steps=steps,
        settle=steps // 3,
        jacobian=system.jacobian_at,
        every=5,
    )
    for k in range(3):
        assert abs(float(found.exponents[k]) - wanted[k]) < tolerance[k], found
    assert found.mismatch < 0.01
    if name == "lorenz":
        assert found.divergence == pytest.approx(-13.67)
        assert found.dimension == pytest.approx(2.062, abs=0.005)


def test_central_differences_are_the_jacobian_and_need_permission():
    system = dynamical_system("lorenz")
    u = 10 * torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(central_jacobian(system.rates_at, u), system.jacobian_at(u), atol=1e-6)
    with pytest.raises(InvalidInputError, match="jacobian must be a function"):
        lyapunov_spectrum(system.rates_at, u, step=0.01, steps=2)
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        lyapunov_spectrum(lambda x: x**3, 5 + u.abs(), step=0.1, steps=60, differences=True)


def test_central_differences_hold_at_a_fixed_point():
    system = dynamical_system("lorenz")
    origin = torch.zeros(1, 3, dtype=torch.float64)
    assert torch.allclose(central_jacobian(system.rates_at, origin), system.jacobian_at(origin), atol=1e-9)


def test_the_mismatch_is_relative_to_the_divergence_or_to_the_exponents_where_that_is_nearly_nothing():
    def mismatch(exponents, divergence):
        exponents = torch.tensor(exponents, dtype=torch.float64)
        return LyapunovSpectrum(exponents, exponents, divergence, 0.0).mismatch

    assert mismatch([1.0, -2.0], -1.25) == pytest.approx(0.25 / 1.25)
    assert mismatch([1.0, -0.999], 0.0) == pytest.approx(0.001 / 0.01999)


def test_the_dimension_of_kaplan_and_yorke_by_hand():
    assert kaplan_yorke(torch.tensor([-14.57, 0.9, 0.0])) == pytest.approx(2 + 0.9 / 14.57)
    assert kaplan_yorke(torch.tensor([-1.0, -2.0])) == 0
    assert kaplan_yorke(torch.tensor([1.0, -0.5])) == 2
    assert kaplan_yorke(torch.tensor([0.5, -1.0])) == 1.5


def test_correlation_dimensions_of_sets_that_are_known():
    source = torch.Generator().manual_seed(2)
    square = torch.rand(2000, 2, generator=source, dtype=torch.float64)
    assert correlation_dimension(square, share=0.005).value == pytest.approx(2.0, abs=0.1)
    line = torch.rand(2000, 1, generator=source, dtype=torch.float64) * torch.tensor([1.0, 2.0]).double()
    assert correlation_dimension(line, share=0.01).value == pytest.approx(1.0, abs=0.05)
    x, y, henon = 0.1, 0.1, []
    for _ in range(3100):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        henon.append((x, y))
    assert correlation_dimension(torch.tensor(henon[100:]).double(), share=0.01).value == pytest.approx(
        1.21, abs=0.05
    )


def test_the_error_of_a_correlation_dimension_is_its_spread_over_sets():
    source = torch.Generator().manual_seed(3)
    angles = 2 * torch.pi * torch.rand(40, 150, generator=source, dtype=torch.float64)
    found = [correlation_dimension(torch.stack([a.cos(), a.sin()], 1), share=0.02) for a in angles]
    spread = float(torch.tensor([one.value for one in found]).std())  # to 11%; pairs that overlap leave room
    assert 0.5 < spread / (sum(one.error for one in found) / 40) < 1.5


def test_the_correlation_integral_by_hand_and_the_window_of_a_path():
    points = torch.tensor([[0.0], [1.0], [3.0], *[[100.0 * k] for k in range(1, 9)]])
    assert correlation_integral(points, [1.5, 2.5, 3.5]).tolist() == pytest.approx([1 / 55, 2 / 55, 3 / 55])
    path = torch.linspace(0, 1, 400).double()[:, None]  # neighbours in time alone are near
    assert correlation_integral(path, [0.01], window=10).item() == 0
    with pytest.raises(InvalidInputError, match="20 close pairs"):
        correlation_dimension(torch.zeros(50, 2))


def test_the_correlation_integral_counts_each_pair_of_many_points_once():
    line = torch.arange(1201.0).double()[:, None]
    found = correlation_integral(line, [1.5, 2.5], window=1)  # pairs two apart: 1199 of 1200 * 1199 / 2
    assert found.tolist() == pytest.approx([0, 2 / 1200], rel=1e-12)


def test_errors_of_paths_by_hand():
    truth = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    assert smape(truth, truth).item() == 0
    assert smape([[3.0, 2.0, 0.0, 1.0]], truth).item() == pytest.approx(200 * (2 / 4 + 0 + 0 + 1) / 4)
    assert normalised_error([[3.0, 2.0, 0.0, -1.0]], truth, [2.0]).item() == pytest.approx(0.5)
    t = torch.arange(10.0)
    grown = valid_time(0.09 * t[None], torch.zeros(1, 10), [1.0])
    assert grown.tolist() == [5]
    assert valid_time(truth, truth, [1.0]).tolist() == [4]
    assert valid_time([[float("nan")] * 4], truth, [1.0]).tolist() == [0]
    with pytest.raises(InvalidInputError, match="one shape"):
        smape(truth, truth[:, :3])
