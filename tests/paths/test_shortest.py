"""The shortest path: its powers, its length, samplers on Gaussian data of a spectrum, and how spectra are found."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.data import load_photographs
from interpolants.dynamics import ReverseNoise, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like
from interpolants.foundations.registry import describe, rebuild
from interpolants.likelihood import log_prob
from interpolants.paths import (
    CosineBasis,
    FourierBasis,
    MatrixBasis,
    OneSidedLinear,
    OneSidedTrigonometric,
    ShortestPath,
    fisher_rao_length,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64


def spectrum(size=6, seed=0):
    """Powers between 0.02 and 50 of images 1 x size x size, some of them at 1 where the formulas are 0/0."""
    source = torch.Generator().manual_seed(seed)
    power = torch.exp(4 * (2 * torch.rand(1, size, size, generator=source, dtype=F64) - 1))
    power[..., 1, :] = 1.0
    power[..., -1, :] = 1.0
    power[..., 2, 2] = power[..., -2, -2] = 1 + 1e-9
    return FourierBasis().pool(power)


POWER = spectrum()
PATH = ShortestPath(FourierBasis(), POWER)


def linear_fields(path, power, basis):
    """The exact denoiser of Gaussian data with these powers, handed over as learnt: linear in each coordinate."""

    def denoised(x, t):
        a, b = (k if k.ndim > 1 else expand_like(k, x) for k in (path.beta(t), path.alpha(t)))
        return basis.inverse(a * power / (a**2 * power + b**2) * basis.forward(x))

    return LearnedFields(path, denoised=denoised, margin=1e-6)


def kl(variance, power):
    """Between zero-mean Gaussians, in nats: made || data."""
    ratio = variance / power
    return 0.5 * float((ratio - 1 - ratio.log()).sum())


def test_powers_run_along_the_geodesic_and_variance_is_preserved():
    t = torch.linspace(0, 1, 101, dtype=F64)
    a2, b2 = PATH.beta(t).square(), PATH.alpha(t).square()
    assert_close(a2 * POWER + b2, POWER ** t[:, None, None, None], rtol=1e-9, atol=0)
    assert_close(a2 + b2, torch.ones_like(a2))
    assert_close(a2[:, 0, 1], t[:, None].expand(-1, 6))  # D = 1


def test_strong_directions_take_up_their_data_late():
    path = ShortestPath(CosineBasis(1), torch.tensor([100.0, 1.0, 0.01]))
    a2 = path.beta(torch.tensor(0.5, dtype=F64)).square()
    assert_close(a2, torch.tensor([1 / 11, 0.5, 10 / 11], dtype=F64))


def test_rates_equal_autograd_with_a_power_of_one():
    t = torch.linspace(0.05, 0.95, 7, dtype=F64, requires_grad=True)
    for value, rate in ((PATH.alpha, PATH.alpha_dot), (PATH.beta, PATH.beta_dot)):
        for place in ((0, 0, 0), (0, 1, 2), (0, 2, 2), (0, 3, 1)):
            (slope,) = torch.autograd.grad(value(t)[:, *place].sum(), t)
            assert_close(rate(t)[:, *place].detach(), slope)


def test_the_closed_form_of_g_squared_is_that_of_every_path():
    t = torch.linspace(0.05, 0.95, 7, dtype=F64)
    general = 2 * (PATH.alpha(t) ** 2 * PATH.beta_dot(t) / PATH.beta(t) - PATH.alpha(t) * PATH.alpha_dot(t))
    assert_close(PATH.g_squared(t), general)
    assert_close(PATH.g_squared(t), 2 * PATH.signal_rate(t))
    det = PATH.alpha(t) * PATH.beta_dot(t) - PATH.alpha_dot(t) * PATH.beta(t)
    assert_close(PATH.unmix(t).x0_v, -PATH.beta(t) / det)
    assert_close(PATH.unmix(t).x1_v, PATH.alpha(t) / det)


def test_the_length_is_that_of_the_geodesic_and_others_are_longer():
    found = fisher_rao_length(PATH, POWER)
    assert found == pytest.approx(PATH.length, rel=1e-4)
    assert PATH.length == pytest.approx(math.sqrt(0.5 * float(POWER.log().square().sum())))
    for other in (OneSidedLinear(), OneSidedTrigonometric(), ShortestPath(FourierBasis(), POWER**1.2)):
        assert fisher_rao_length(other, POWER, n_steps=2000) > 1.005 * found


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_a_geodesic_is_measured_exactly_by_any_number_of_steps(n_steps):
    assert fisher_rao_length(PATH, POWER, n_steps=n_steps) == pytest.approx(PATH.length, rel=1e-9)


@pytest.mark.parametrize("basis", ["fft", "dct", "pca"])
def test_the_powers_of_x_t_are_those_of_the_geodesic_for_data(basis, generator):
    """Any data, not just Gaussian: the powers are second moments. Five standard errors of 20,000 rows."""
    mix = torch.randn(16, 16, generator=generator, dtype=F64) / 2
    data = (torch.randn(20_000, 16, generator=generator, dtype=F64).sign() @ mix).reshape(-1, 1, 4, 4)
    path = ShortestPath.fit(data, basis=basis)
    for t in (0.25, 0.5, 0.75):
        x = path.sample(x1=data, t=t, generator=generator).x_t
        squared = path.basis.forward(x).square()
        squared = torch.stack([path.basis.pool(row) for row in squared]) if basis == "fft" else squared
        error = squared.std(0) / math.sqrt(len(x))
        assert bool(((squared.mean(0) - path.spectrum**t).abs() < 5 * error).all())


@pytest.mark.parametrize(
    "make", [lambda: PATH, OneSidedLinear, OneSidedTrigonometric], ids=["shortest", "linear", "trigonometric"]
)
def test_the_sampler_makes_what_the_linear_recursion_says(make):
    """The denoising sampler is diagonal here, so one row of ones in the coordinates shows the gain of each of them."""
    path, basis, steps = make(), FourierBasis(), 9
    gain, start = torch.ones_like(POWER), 0.1
    times = torch.linspace(start, 1, steps + 1, dtype=F64)
    for now, soon in itertools.pairwise(times):
        a, b, a1, b1 = (k(time) for time in (now, soon) for k in (path.beta, path.alpha))
        gain = gain * (a1 * a * POWER + b1 * b) / (a**2 * POWER + b**2)
    fields = linear_fields(path, POWER, basis)
    x = basis.inverse(torch.ones(1, *POWER.shape, dtype=F64))
    found = sample(fields, x, method="ddim", n_steps=steps, start=start)
    assert_close(basis.forward(found.x)[0], gain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("steps", [10, 20])
def test_shortest_loses_less_than_half_of_what_others_lose_on_photographs(steps):
    """KL of the samples of so many steps from Gaussian data with the powers of photographs, exact denoiser."""
    data = load_photographs("all").x
    assert ShortestPath.fit(data).length == pytest.approx(109.632, abs=1e-3)
    path = ShortestPath.fit(data)
    assert len(data) == 8928
    assert path.length == pytest.approx(109.632, abs=1e-3)
    power, basis = path.spectrum, path.basis
    x = basis.inverse(torch.ones(1, *power.shape, dtype=F64))
    lost = {}
    for name, other in (
        ("shortest", path),
        ("linear", OneSidedLinear()),
        ("cosine", OneSidedTrigonometric()),
    ):
        made = sample(linear_fields(other, power, basis), x, method="ddim", n_steps=steps)
        lost[name] = kl(basis.forward(made.x)[0] ** 2, power)
    assert lost["shortest"] < 0.5 * min(lost["linear"], lost["cosine"])
    wanted = {10: (78.63, 275.26, 431.33), 20: (26.64, 80.66, 155.19)}[steps]
    assert tuple(lost.values()) == pytest.approx(wanted, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.0, 0.5, ReverseNoise()])
def test_flow_and_sde_carry_noise_to_data_of_the_spectrum(eps):
    """Variances of 4,000 samples within five standard errors, and the bias of 200 steps."""
    power = torch.tensor([9.0, 1.0, 0.2], dtype=F64)
    path = ShortestPath(
        MatrixBasis(torch.linalg.qr(torch.tensor([[1.0, 2, 0], [0, 1, 1], [1, 0, 3]])).Q), power
    )
    cov = path.basis.inverse(path.basis.forward(torch.eye(3, dtype=F64)) * power)
    rho1 = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 3, dtype=F64), cov[None])
    fields = GaussianMixtureBridge(Gaussian(), rho1).fields(path)
    x0 = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3), dtype=F64)
    settings = {"n_steps": 200, "start": 1e-3, "seed": 4, "time_grid": "cosine", "invariant": False}
    made = sample(fields, x0, eps=eps, **settings)
    variance = path.basis.forward(made.x).square().mean(0)
    assert_close(variance / power, torch.ones(3, dtype=F64), rtol=0, atol=5 * math.sqrt(2 / 4000) + 0.01)
    if eps == 0.0:
        found = log_prob(fields, made.x[:50], Gaussian())
        assert_close(found.log_prob, rho1.log_prob(made.x[:50]), rtol=0, atol=2e-3)


def test_a_denoiser_is_enough_for_everything_at_both_ends(generator):
    power = torch.tensor([[4.0, 0.3]], dtype=F64)
    path = ShortestPath(CosineBasis(1), power)
    fields = linear_fields(path, power, path.basis)
    x = torch.randn(5, 1, 2, generator=generator, dtype=F64)
    for t in (0.0, 1.0):
        values = fields.evaluate(x, torch.tensor(t, dtype=F64), ("velocity", "score", "noise"))
        spread = power**t
        wanted = -path.basis.inverse(path.basis.forward(x) / spread)
        assert_close(values["score"], wanted, rtol=1e-4, atol=1e-4)
        # b = (rate of the power / 2 power) u for Gaussian data: log D / 2
        flow = path.basis.inverse(path.basis.forward(x) * power.log() / 2)
        assert_close(values["velocity"], flow, rtol=1e-4, atol=1e-4)


def test_directions_without_power_are_raised_to_the_floor():
    """Images of one value: all their power is at frequency zero."""
    spectrum = ShortestPath.fit(torch.full((5, 4, 4), 3.0), floor=1e-3).spectrum
    wanted = torch.full((4, 4), 1e-3 * 144, dtype=F64)
    wanted[0, 0] = 144
    assert_close(spectrum, wanted)


def test_a_power_law_is_found_again():
    wanted = ShortestPath.power_law((3, 16, 16), c1=2.0, c2=0.1, m=1.7)
    again = ShortestPath.fit(_draws(wanted.spectrum, 400, torch.Generator().manual_seed(0)), radial=True)
    assert_close(again.spectrum.log(), wanted.spectrum.log(), rtol=0, atol=0.1)


def test_the_authors_fit_puts_far_more_power_at_zero_than_images_have():
    path = ShortestPath.power_law((3, 32, 32))
    assert float(path.spectrum[0, 0, 0]) == pytest.approx(1.59 / 0.0086**2)


def test_a_shortest_path_survives_being_written_down():
    for path in (PATH, ShortestPath(MatrixBasis(torch.eye(3)), torch.tensor([1.0, 2.0, 3.0]))):
        again = rebuild(describe(path), "path")
        t = torch.linspace(0, 1, 5, dtype=F64)
        assert_close(again.alpha(t), path.alpha(t))
        assert_close(
            again.apply(again.beta(t), torch.ones(5, *path.event_shape)),
            path.apply(path.beta(t), torch.ones(5, *path.event_shape)),
        )


def _draws(power, n, generator):
    basis = FourierBasis()
    u = torch.randn(n, *power.shape, generator=generator, dtype=F64) * power.sqrt()
    return basis.inverse(u)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShortestPath(FourierBasis(1), torch.tensor([1.0, 0.0])), r"finite and > 0.*got 0.0.*floor"),
        (lambda: ShortestPath(FourierBasis(1), torch.tensor([1.0, -2.0])), r"finite and > 0.*got -2.0"),
        (
            lambda: ShortestPath(FourierBasis(1), torch.tensor([1.0, 2.0, 3.0])),
            r"equal at f and -f, or real states would turn complex, got a relative difference of 0.5",
        ),
        (
            lambda: PATH.sample(x1=torch.zeros(2, 1, 8, 8), t=0.5),
            r"must have shape \(1, 6, 6\).*got \(1, 8, 8\)",
        ),
        (lambda: PATH.sample(x1=torch.zeros(2, 1, 6, 6), t=-0.1), r"t must lie in \[0, 1\], got -0.1"),
        (lambda: ShortestPath.fit(torch.zeros(5, 4, 4)), r"data must not be all zero"),
        (lambda: ShortestPath.fit(torch.full((5, 4, 4), math.nan)), r"data must be finite"),
        (
            lambda: ShortestPath.fit(torch.ones(5, 4, 4), floor=0),
            r"every power must be > 0, got 0.0. Set floor",
        ),
        (lambda: ShortestPath.fit(torch.ones(5, 4, 4), floor=2.0), r"floor must lie in \[0, 1\), got 2.0"),
        (
            lambda: ShortestPath.fit(torch.randn(9, 1, 4, 6), radial=True),
            r"square images of even side, got \(1, 4, 6\)",
        ),
        (lambda: ShortestPath.fit(torch.randn(9, 1, 5, 5), radial=True), r"square images of even side"),
        (lambda: ShortestPath.fit(torch.randn(9, 1, 4, 4), "dct", radial=True), r"needs the Fourier basis"),
        (
            lambda: ShortestPath.fit(
                _draws(1 / ShortestPath.power_law((8, 8), c2=1.0).spectrum, 50, None), radial=True
            ),
            r"exponent m of the power law must be > 0, got -",
        ),
        (lambda: ShortestPath.power_law((8, 8), m=0.0), r"power law's m must be finite and > 0, got 0.0"),
        (lambda: ShortestPath.power_law((8, 8), c2=-1.0), r"power law's c2 must be finite and > 0"),
        (
            lambda: fisher_rao_length(PATH, torch.ones(3)),
            r"shape of the path's schedules, \(1, 6, 6\), got \(3,\)",
        ),
        (
            lambda: fisher_rao_length(OneSidedLinear(base=Gaussian(scale=2.0)), POWER),
            r"standard normal noise",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
