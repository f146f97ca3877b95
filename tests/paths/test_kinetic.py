"""The path of least kinetic energy: known answers, brute force, and the flow's own velocity as a second route."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.data import load_digits
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import describe, rebuild
from interpolants.paths import (
    DataSeparation,
    FourierBasis,
    KineticOptimal,
    Linear,
    OneSidedLinear,
    OneSidedTrigonometric,
    ShortestPath,
    data_separation,
    kinetic_energy,
)
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
RIGHT = math.pi / 2
ANGLES = torch.linspace(0, RIGHT, 81, dtype=F64)
ALL_APART = DataSeparation([0.0, RIGHT], [1.0, 1.0])


def digits(n, *, centred=True):
    """The first digits in their 17 levels 0 .. 16, about the mean of all of them."""
    x = 8 * (load_digits("all").x.double().flatten(1) + 1)
    return (x - x.mean(0) if centred else x)[:n]


def gaussian_separation(variances):
    """Of N(0, diag) with mean variance 1: the error per entry is that of Wiener's filter."""
    c = variances[:, None]
    gains = 1 - (c / (ANGLES.cos() ** 2 + c * ANGLES.sin() ** 2)).mean(0)
    return DataSeparation(ANGLES.tolist(), gains.clamp(0, 1).tolist())


def test_data_that_are_always_told_apart_give_the_linear_path():
    path, t = KineticOptimal.fit(ALL_APART), torch.linspace(0, 1, 1001, dtype=F64)
    assert float((path.beta(t) - t).abs().max()) <= 1e-6
    assert float((path.alpha(t) - (1 - t)).abs().max()) <= 1e-6
    assert path.energy == pytest.approx(2, abs=1e-9)
    assert kinetic_energy(path, ALL_APART) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("n_steps", [1, 3, 10])
def test_the_energy_keeps_the_error_bound_of_the_midpoint_rule(n_steps):
    """For points told apart the linear path has the integrand ``12 u (1 - u)``, whose second derivative is -24."""
    found = kinetic_energy(OneSidedLinear(), ALL_APART, n_steps=n_steps)
    assert abs(found - 2) <= 1.001 * 24 / (24 * n_steps**2)


def test_rates_are_right_up_to_the_ends():
    """Told apart: the linear path. ``G = sin^2 th``: ``phi = 1 - cos th`` and everything follows in closed form."""
    t = torch.tensor([0, 1e-8, 1e-6, 1e-4, 3e-4, 0.5, 1 - 1e-4, 1 - 1e-6, 1], dtype=F64)
    path = KineticOptimal.fit(ALL_APART)
    assert_close(path.beta_dot(t), torch.ones_like(t), rtol=0, atol=1e-5)
    assert_close(path.alpha_dot(t), -torch.ones_like(t), rtol=0, atol=1e-5)
    angles = torch.cat(
        [torch.linspace(0, 0.1, 201, dtype=F64)[:-1], torch.linspace(0.1, RIGHT, 801, dtype=F64)]
    )
    path, t = KineticOptimal(angles.tolist(), (angles.sin() ** 2).tolist()), t[2:-1]
    squared = 1 - 2 * (1 - math.cos(1)) * t * (1 - t)
    phi = torch.atan2(t * math.sin(1), 1 - t + t * math.cos(1))
    angle = torch.acos(1 - phi)
    angle_dot = math.sin(1) / squared / angle.sin()
    length_dot = 2 * (1 - math.cos(1)) * (t - 0.5) / squared.sqrt()
    wanted = length_dot * angle.sin() + squared.sqrt() * angle.cos() * angle_dot
    assert_close(path.beta_dot(t), wanted, rtol=0.02, atol=0)
    wanted = length_dot * angle.cos() - squared.sqrt() * angle.sin() * angle_dot
    assert_close(path.alpha_dot(t), wanted, rtol=0.02, atol=0)


def test_gaussian_data_need_no_energy_with_the_estimator_on(generator):
    """White data through an exact denoiser: the estimate is exact draw by draw."""
    data = torch.randn(2000, 8, generator=generator, dtype=F64)
    data = data / data.square().mean().sqrt()
    base = OneSidedLinear()

    def denoiser(x, t):
        a, b = base.beta(t)[:, None], base.alpha(t)[:, None]
        return a / (a**2 + b**2) * x

    path = KineticOptimal.fit(data, denoiser=denoiser, path=base)
    assert path.energy <= 1e-3
    t = torch.linspace(0, 1, 11, dtype=F64)
    assert_close(path.alpha(t) ** 2 + path.beta(t) ** 2, torch.ones_like(t), rtol=0, atol=1e-3)


def test_two_points_against_quadrature():
    """x1 = +-1: lambda(rho) = E tanh(rho (rho + z)), a one-dimensional integral."""
    found = data_separation(torch.tensor([[1.0], [-1.0]], dtype=F64), draws=2**12)
    z = torch.linspace(-10, 10, 20_001, dtype=F64)
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    rho = torch.tensor([0.3, 0.7, 1.0, 1.7, 3.0], dtype=F64)
    wanted = torch.trapezoid(torch.tanh(rho[:, None] * (rho[:, None] + z)) * density, z)
    # the table is met at its nodes; between them it is cubic
    assert_close(found(rho), wanted, rtol=0, atol=1e-4)


def test_an_exact_denoiser_of_an_off_centre_gaussian_gives_its_separation_up_to_both_ends():
    """N(m, c) with ``m^2 + c = 1``: the error is that of Wiener's filter, ``c / (1 + c rho^2)``. Data are quantiles."""
    mean, c, base, n_angles = 0.8, 0.36, OneSidedLinear(), 24
    data = mean + math.sqrt(c) * torch.special.ndtri((torch.arange(200, dtype=F64)[:, None] + 0.5) / 200)

    def denoiser(x, t):
        a, b = base.beta(t)[:, None], base.alpha(t)[:, None]
        return mean + c * a / (a**2 * c + b**2) * (x - a * mean)

    found = data_separation(data, denoiser=denoiser, path=base, n_angles=n_angles, draws=16, normalise=False)
    angles, gains = (torch.tensor(values, dtype=F64) for values in (found.angles, found.gains))
    assert float(angles.diff().max()) <= 1.001 * RIGHT / n_angles
    wanted = 1 - c / (angles.cos() ** 2 + c * angles.sin() ** 2)
    assert_close(gains, wanted, rtol=0, atol=0.02)


def test_the_gain_stays_a_share_at_the_end_of_single_precision():
    """The angle of an endless ratio is pi/2 + 4e-8 there, beyond the table."""
    steep = DataSeparation([0.0, RIGHT - 1e-5, RIGHT], [0.0, 0.5, 1.0])
    assert float(steep.gain(torch.atan(torch.tensor(math.inf)))) == 1
    assert float(steep.mmse(torch.tensor(math.inf))) >= 0


def test_a_spread_out_gaussian_needs_less_than_the_linear_path():
    distribution = gaussian_separation(torch.tensor([0.1, 0.4, 2.5], dtype=F64))
    path = KineticOptimal.fit(distribution)
    assert kinetic_energy(path, distribution) == pytest.approx(path.energy, rel=5e-3)
    assert path.energy < 0.9 * kinetic_energy(OneSidedTrigonometric(), distribution)
    assert path.energy < 0.9 * kinetic_energy(OneSidedLinear(), distribution)


@pytest.mark.parametrize(
    ("n", "centred", "wanted"),
    [
        pytest.param(1000, True, (1.4256, 1.596, 1.832), marks=pytest.mark.slow),
        pytest.param(1000, False, (1.7581, 1.774, 2.112), marks=pytest.mark.slow),
        (50, True, (1.5720, 1.693, 1.985)),
        (5, True, None),
    ],
)
def test_energies_of_digits(n, centred, wanted):
    """The formula against its own path, a brute-force minimum, and figures of an independent computation."""
    distribution = data_separation(digits(n, centred=centred), draws=4 if n > 100 else 64)
    path = KineticOptimal.fit(distribution)
    assert abs(kinetic_energy(path, distribution) / path.energy - 1) <= 0.005
    assert abs(brute_force(distribution) / path.energy - 1) <= 0.01
    found = (
        path.energy,
        kinetic_energy(OneSidedLinear(), distribution),
        kinetic_energy(OneSidedTrigonometric(), distribution),
    )
    assert found[0] < found[1] < found[2]
    if wanted is not None:
        assert found == pytest.approx(wanted, rel=0.005)


def brute_force(distribution, n=48):
    """Minimise the energy of a polygon in (r, th) with fixed ends; G at the middles of its sides, n sides."""
    t = torch.linspace(0, 1, n + 1, dtype=F64)
    angle, length = torch.atan2(t, 1 - t), torch.hypot(t, 1 - t)
    free = torch.stack([angle[1:-1], length[1:-1]]).requires_grad_()
    ends = torch.tensor([[0.0, RIGHT], [1.0, 1.0]], dtype=F64)
    optimiser = torch.optim.LBFGS(
        [free], max_iter=400, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def energy():
        at = torch.cat([ends[:, :1], free, ends[:, 1:]], 1)
        middle = (at[:, 1:] + at[:, :-1]) / 2
        rate = at.diff(dim=1) * n
        return (rate[1] ** 2 + middle[1] ** 2 * distribution.gain(middle[0]) * rate[0] ** 2).mean()

    def closure():
        optimiser.zero_grad()
        value = energy()
        value.backward()
        return value

    optimiser.step(closure)
    return float(energy().detach())


def test_the_energy_is_that_of_the_flow_itself(generator):
    """Mean square of the exact velocity over draws of x_t, at 60 times; within four standard errors of the formula."""
    points = digits(40)
    distribution = data_separation(points, draws=64)
    for path in (KineticOptimal.fit(distribution), OneSidedLinear(base=Gaussian(scale=distribution.scale))):
        fields = EmpiricalBridge(points).fields(path)
        t = (torch.arange(60, dtype=F64) + 0.5) / 60
        x1 = points.repeat(100, 1)
        rows = t.repeat(math.ceil(len(x1) / 60))[: len(x1)][torch.randperm(len(x1), generator=generator)]
        x = path.sample(x1=x1, t=rows, generator=generator).x_t
        squared = fields.velocity(x, rows).square().mean(1) / distribution.scale**2
        error = float(squared.std()) / math.sqrt(len(squared))
        assert abs(float(squared.mean()) - kinetic_energy(path, distribution)) < 4 * error


@pytest.mark.slow
def test_fewer_points_come_nearer_to_the_linear_path():
    energies = [KineticOptimal.fit(digits(n), draws=16).energy for n in (500, 50, 5)]
    assert energies == sorted(energies)
    assert energies[-1] < 2


def test_rates_and_ends_hold_for_centred_and_uncentred_data():
    for distribution in (
        gaussian_separation(torch.tensor([0.1, 1.9], dtype=F64)),
        data_separation(digits(50, centred=False)),
    ):
        path = KineticOptimal.fit(distribution)
        t = torch.linspace(0.02, 0.98, 49, dtype=F64, requires_grad=True)
        for value, rate in ((path.alpha, path.alpha_dot), (path.beta, path.beta_dot)):
            (slope,) = torch.autograd.grad(value(t).sum(), t)
            assert_close(rate(t).detach(), slope)
        for product, value in ((path.alpha_alpha_dot, path.alpha), (path.beta_beta_dot, path.beta)):
            (slope,) = torch.autograd.grad(value(t).square().sum(), t)
            assert_close(product(t).detach(), slope / 2)
            assert bool(torch.isfinite(product(torch.tensor([0.0, 1.0]))).all())


def test_centred_data_make_the_start_steep_and_a_denoiser_still_gives_the_flow():
    c = torch.tensor([0.1, 1.9], dtype=F64)
    path = KineticOptimal.fit(gaussian_separation(c))
    assert path.is_steep_at_0
    rho1 = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), c[None])
    exact = GaussianMixtureBridge(Gaussian(), rho1).fields(path)
    fields = LearnedFields(path, denoised=exact.denoised)
    x = torch.tensor([[0.5, -1.0], [2.0, 0.3]], dtype=F64)
    for t in (0.0, 0.3, 0.9):
        time = torch.tensor(t, dtype=F64)
        wanted = exact.velocity(x, max(t, 1e-4))
        assert_close(fields.evaluate(x, time, ("velocity",))["velocity"], wanted, rtol=1e-3, atol=1e-3)


def test_data_in_other_units_have_the_same_path_from_a_wider_base():
    x = digits(50)
    one, other = KineticOptimal.fit(x), KineticOptimal.fit(10 * x)
    t = torch.linspace(0, 1, 21, dtype=F64)
    assert_close(one.beta(t), other.beta(t))
    assert other.base.shared_scale == pytest.approx(10 * one.base.shared_scale)


def test_a_denoiser_in_data_units_gives_what_the_points_give():
    points = digits(30)
    points = 3 * points / points.square().mean().sqrt()
    path = OneSidedLinear()
    fields = EmpiricalBridge(points).fields(path)
    by_heart = data_separation(points, draws=16, n_angles=40)
    learnt = data_separation(points, draws=16, n_angles=40, denoiser=fields.denoised, path=path)
    assert learnt.scale == pytest.approx(3)
    assert_close(torch.tensor(learnt.gains[:-1]), torch.tensor(by_heart.gains[:-1]), rtol=0, atol=1e-6)


def test_a_path_survives_being_written_down():
    path = KineticOptimal.fit(digits(20), n_angles=20)
    again = rebuild(describe(path), "path")
    t = torch.linspace(0, 1, 9, dtype=F64)
    assert torch.equal(again.beta(t), path.beta(t))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KineticOptimal.fit(torch.ones(4, 3)), r"data must vary"),
        (lambda: KineticOptimal.fit(torch.full((4, 3), math.inf)), r"data must be finite"),
        (lambda: data_separation(3 * torch.eye(4), normalise=False), r"within 1 %, got 2.25. Set normalise"),
        (lambda: data_separation(torch.eye(4), draws=3), r"draws must be a power of two, got 3"),
        (lambda: data_separation(torch.eye(4), denoiser=lambda x, t: x), r"denoiser and path go together"),
        (
            lambda: data_separation(torch.eye(4), denoiser=lambda x, t: x, path=Linear()),
            r"one-sided with a standard normal base, got None",
        ),
        (
            lambda: data_separation(
                torch.randn(500, 4, generator=torch.Generator().manual_seed(0)),
                denoiser=lambda x, t: 5 + 0 * x,
                path=OneSidedLinear(),
            ),
            r"lambda must lie in \[0, 1\], got -",
        ),
        (
            lambda: DataSeparation([0.0, 1.0, 0.5, RIGHT], [1.0] * 4),
            r"the grid must be strictly increasing, got 1, 0.5",
        ),
        (lambda: DataSeparation([0.1, RIGHT], [1.0] * 2), r"lead from 0 to pi/2"),
        (lambda: kinetic_energy(Linear(), ALL_APART), r"one-sided from a centred Gaussian.*got Linear"),
        (
            lambda: kinetic_energy(ShortestPath(FourierBasis(1), torch.tensor([2.0])), ALL_APART),
            r"one-sided from a centred Gaussian.*got ShortestPath",
        ),
        (
            lambda: KineticOptimal([0.0, RIGHT], [1.0, 1.0], Gaussian(mean=torch.ones(2))),
            r"base must be a centred Gaussian",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
