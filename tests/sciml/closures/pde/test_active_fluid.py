"""Moments of active rods against the density itself, tensors, and what is known in closed form."""

import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.special import iv
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.sciml.closures.pde.active_fluid import (
    ActiveFluid,
    complex_moments,
    moment_orders,
    real_moments,
    uniform_start,
)
from interpolants.sciml.closures.pde.fourier_box import FourierBox
from interpolants.sciml.closures.pde.orientation_tensors import (
    fourth_of_moments,
    moments_of_fourth,
    moments_of_second,
    second_of_moments,
)
from interpolants.sciml.closures.problems.active_fluid_runs import ActiveFluidRuns

LENGTH = 10.0


def fluid(*parameters, n=16):
    return ActiveFluid(torch.tensor([parameters], dtype=torch.float64), FourierBox(n, LENGTH))


def density(n=12, angles=24, seed=0):
    """A smooth positive density ``(angles, n, n)`` on angles ``[0, pi)``, and the angles."""
    source = torch.Generator().manual_seed(seed)
    points = FourierBox(n, LENGTH).points * 2 * math.pi / LENGTH
    phi = math.pi / angles * torch.arange(angles, dtype=torch.float64)
    psi = torch.ones(angles, n, n, dtype=torch.float64)
    for _ in range(6):
        a, b, k = (int(v) for v in torch.randint(-2, 3, (3,), generator=source))
        shift = 6.28 * float(torch.rand((), generator=source))
        wave = a * points[..., 0] + b * points[..., 1] + 2 * k * phi[:, None, None] + shift
        psi = psi + 0.12 * wave.cos()
    return psi / (2 * math.pi), phi


def moments_of(psi, phi, moments):
    """Fields by quadrature over all angles, p and -p alike."""
    weight = 2 * math.pi / len(phi)
    found = [psi.sum(0) * weight]
    for n in range(1, moments + 1):
        for turn in ((2 * n * phi).cos(), (2 * n * phi).sin()):
            found.append((turn[:, None, None] * psi).sum(0) * weight)
    return torch.stack(found)[None]


def slope(field, axis):
    box = FourierBox(field.shape[-1], LENGTH)
    return box.field(box.slopes(box.modes(field))[axis])


def test_rates_are_those_of_the_density_itself():
    """Smoluchowski's equation on a grid of angles, with tensors, beside the ladder of complex moments."""
    (psi, phi), one = density(), fluid(-1.3, 0.7, 0.9, 0.0, 0.0, n=12)
    fields = moments_of(psi, phi, 6)
    c, z = complex_moments(fields)
    flow = one.flow(c, z[:, 0], z[:, 1])
    u = flow.velocity[0]
    slopes = torch.stack([torch.stack([slope(u[i], j) for j in range(2)]) for i in range(2)])  # d_j u_i
    turned = slopes + 2 * 0.9 * second_of_moments(fields)[0]
    p = torch.stack([phi.cos(), phi.sin()])
    normal = torch.stack([-phi.sin(), phi.cos()])
    rate = torch.einsum("ia,ijxy,ja->axy", normal, turned, p)
    # The density has the period pi in the angle.
    k = 2j * torch.fft.fftfreq(len(phi), 1 / len(phi), dtype=torch.float64)[:, None, None]
    around = torch.fft.ifft(k * torch.fft.fft(rate * psi, dim=0), dim=0).real
    carried = torch.stack([slope(u[0] * one_psi, 0) + slope(u[1] * one_psi, 1) for one_psi in psi])
    expected = one.box.dealiased(one.box.modes(moments_of(-around - carried, phi, 6)))
    found = one.rates(fields)
    # The last moment lacks the next one.
    assert_close(found[:, :-2], expected[:, :-2], rtol=0, atol=1e-10 * float(expected.abs().max()))


def test_flow_balances_the_stress_as_tensors():
    (psi, phi), (alpha, beta, zeta) = density(24), (-1.3, 0.7, 0.9)
    one = fluid(alpha, beta, zeta, 0.0, 0.0, n=24)
    fields = moments_of(psi, phi, 2)
    c, z = complex_moments(fields)
    u = one.flow(c, z[:, 0], z[:, 1]).velocity[0]
    slopes = torch.stack([torch.stack([slope(u[i], j) for j in range(2)]) for i in range(2)])
    strain = (slopes + slopes.transpose(0, 1)) / 2
    d, s = second_of_moments(fields)[0], fourth_of_moments(fields)[0]
    quadratic = torch.einsum("ijxy,jkxy->ikxy", d, d) - torch.einsum("ijklxy,klxy->ijxy", s, d)
    stress = alpha * d + beta * torch.einsum("ijklxy,klxy->ijxy", s, strain) - 2 * zeta * beta * quadratic
    force = torch.stack([slope(stress[i, 0], 0) + slope(stress[i, 1], 1) for i in range(2)])
    left = torch.stack([-slope(slope(u[i], 0), 0) - slope(slope(u[i], 1), 1) for i in range(2)]) - force
    # What is left is a gradient: its curl is 0.
    assert float((slope(left[1], 0) - slope(left[0], 1)).abs().max()) < 1e-9 * float(force.abs().max())
    assert float((slopes[0, 0] + slopes[1, 1]).abs().max()) < 1e-12
    assert float(u.abs().max()) > 0.05


@pytest.mark.parametrize(
    ("parameters", "wave"),
    [((-1, 0.8, 1.0), (1, 0)), ((-1, 0.8, 0.5), (1, 1)), ((-2, 0, 0), (1, 0)), ((-5, 0.8, 3), (2, 1))],
)
def test_small_shear_waves_grow_as_they_should(parameters, wave):
    one = fluid(*parameters, 0.05, 0.05)
    phase = 2 * math.pi / LENGTH * (wave[0] * one.box.points[..., 0] + wave[1] * one.box.points[..., 1])
    angle = 2 * math.atan2(wave[1], wave[0])
    shear = phase.cos() * complex(math.sin(angle), -math.cos(angle))
    start = torch.zeros(1, 7, 16, 16, dtype=torch.float64)
    start[:, 0] = 1
    start[:, 1:3] = 1e-5 * real_moments(shear[None, None])
    first, last = one.run(start, end=0.2, steps=400, every=200)[0, 1:, 1:3]
    growth = float((last.norm() / first.norm()).log() / 0.1)
    assert_close(growth, float(one.growth(2 * math.pi / LENGTH * math.hypot(*wave))[0]), rtol=1e-4, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("zeta", [1.0, 0.5])
def test_uniform_rods_align_as_their_density_says(zeta):
    """``psi ~ exp(b cos 2 phi)`` with ``b = zeta z_1 / (2 d_R)``."""
    b = brentq(lambda b: iv(1, b) / iv(0, b) - 2 * 0.05 / zeta * b, 1.0, 50.0)
    start = torch.zeros(1, 2 * 14 + 1, 4, 4, dtype=torch.float64)
    start[:, 0], start[:, 1] = 1, 0.5
    found = fluid(0, 0, zeta, 0.05, 0.05, n=4).run(start, end=40, steps=1000, every=1000)
    assert_close(found[0, -1, 1], torch.full((4, 4), iv(1, b) / iv(0, b)).double(), rtol=1e-6, atol=0)


def test_growth_of_parts_of_the_formula():
    """Alignment alone, rotation alone, diffusion alone, activity alone."""
    rows = torch.tensor(
        [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [-1, 0, 0, 0, 0]], dtype=torch.float64
    )
    assert ActiveFluid(rows, FourierBox(4, LENGTH)).growth(2.0).tolist() == [1, -4, -4, 0.25]


@pytest.mark.parametrize("part", ["velocity", "strain", "vorticity"])
def test_gradients_pass_through_the_implicit_flow(part):
    """Central differences of a sum over each part of the flow, in alpha, beta, zeta and a direction of the moments."""
    fields = moments_of(*density(), 2)
    direction = torch.randn(fields.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(2, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def value(alpha, beta, zeta, amount):
        zero = torch.zeros((), dtype=torch.float64)
        one = ActiveFluid(torch.stack([alpha, beta, zeta, zero, zero])[None], FourierBox(12, LENGTH))
        c, z = complex_moments(fields + amount * direction)
        flow = getattr(one.flow(c, z[:, 0], z[:, 1]), part)
        # The weights are no strain rate of a flow: their part outside of that space must not count.
        values = torch.view_as_real(flow).movedim(-1, 1) if flow.is_complex() else flow
        return (weights * values + values.square()).sum()

    at = torch.tensor([-1.3, 0.7, 0.9, 0.0], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(value(*at), at)
    h = 1e-5
    for k in range(4):
        step = torch.eye(4, dtype=torch.float64)[k] * h
        low, high = (value(*(at.detach() + sign * step)) for sign in (-1, 1))
        assert_close(float(found[k]), float(high - low) / (2 * h), rtol=1e-6, atol=0)


def test_a_run_turns_with_the_frame_and_keeps_the_mass():
    """A quarter turn of the square and of all rods, before or after, is the same."""
    one = fluid(-1, 0.8, 0.5, 0.1, 0.05, n=12)
    start = uniform_start(1, one.box, 4, size=0.3, source=torch.Generator().manual_seed(0))
    start[:, 0] += 0.1 * (2 * math.pi / LENGTH * one.box.points[..., 0]).sin()

    def turned(fields):
        moved = torch.rot90(fields, 1, (-2, -1))
        sign = torch.where(moment_orders(4) % 2 == 1, -1.0, 1.0)  # e^{2 i n pi / 2}
        return moved.roll(1, -2) * sign[:, None, None]  # so that the origin stays where it is

    found = one.run(start, end=1.0, steps=20, every=20)
    assert_close(
        one.run(turned(start), end=1.0, steps=20, every=20)[:, -1], turned(found[:, -1]), rtol=0, atol=1e-12
    )
    assert_close(found[:, -1, 0].mean(), found[:, 0, 0].mean(), rtol=1e-14, atol=0)
    assert float((found[:, -1, 0] - found[:, 0, 0]).abs().max()) > 1e-3


def test_tensors_and_moments_are_the_same_thing():
    psi, phi = density()
    fields = moments_of(psi, phi, 2)
    p = torch.stack([phi.cos(), phi.sin()])
    weight = 2 * math.pi / len(phi)
    assert_close(second_of_moments(fields)[0], weight * torch.einsum("ia,ja,axy->ijxy", p, p, psi))
    fourth = weight * torch.einsum("ia,ja,ka,la,axy->ijklxy", p, p, p, p, psi)
    assert_close(fourth_of_moments(fields)[0], fourth)
    assert_close(moments_of_fourth(fourth), fields[0])
    assert_close(moments_of_second(second_of_moments(fields)), fields[:, :3])


def test_what_is_no_density_is_refused():
    second = second_of_moments(moments_of(*density(), 1))
    with pytest.raises(InvalidInputError, match="D must be symmetric"):
        moments_of_second(second + torch.tensor([[0, 1.0], [0, 0]]).double()[None, :, :, None, None])
    with pytest.raises(InvalidInputError, match="the trace of D, must be positive"):
        moments_of_second(-second)
    with pytest.raises(InvalidInputError, match=r"\|z_1\| must be at most c"):
        moments_of_second(second + 3 * torch.tensor([[1.0, 0], [0, -1]]).double()[None, :, :, None, None])
    fields = moments_of(*density(), 2)
    fields[:, 3] += 3
    with pytest.raises(InvalidInputError, match="No density has these moments"):
        moments_of_fourth(fourth_of_moments(fields))
    with pytest.raises(InvalidInputError, match="rotation must be >= 0"):
        fluid(-1, 0, 0, 0, -1)
    with pytest.raises(InvalidInputError, match=r"parameters must be \(R, 5\)"):
        fluid(-1, 0, 0)


def test_a_run_that_is_not_resolved_is_refused():
    def drawn(**settings):
        return ActiveFluidRuns(**settings).sample(1, generator=torch.Generator().manual_seed(0))

    with pytest.raises(DivergedError, match="exceeds c by"):
        drawn(points=16, moments=4, alpha=(-2, -2), zeta=(1, 1), end=8, frames=21)
    with pytest.raises(DivergedError, match=r"became NaN or infinite|moments of no density"):
        drawn(points=8, moments=3, alpha=(-40, -40), zeta=(8, 8), dt=0.5, end=20, frames=3)
    with pytest.raises(DivergedError, match="order is too sharp for 2 moments"):
        drawn(points=8, moments=2, alpha=(0, 0), end=20, frames=3, translation=0.2, size=0.2)


def test_a_flow_without_a_solution_is_refused():
    """|z_2| > c makes the resistance to strain negative."""
    one, c = fluid(-1, 60.0, 0, 0, 0, n=8), torch.ones(1, 8, 8, dtype=torch.float64)
    order = torch.randn(1, 8, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DivergedError, match="the strain rate is not settled"):
        one.flow(c, order, torch.full((1, 8, 8), 5.0, dtype=torch.complex128))


def test_a_start_has_every_long_wave_in_all_directions_and_no_other():
    source = torch.Generator().manual_seed(0)
    fields = uniform_start(3, FourierBox(16, LENGTH), 2, size=0.05, source=source)
    assert_close(fields[:, 0], torch.ones(3, 16, 16, dtype=torch.float64))
    assert bool((fields[:, 3:] == 0).all())
    assert_close(fields[:, 1:3].square().sum(1).mean((1, 2)), torch.full((3,), 0.05**2, dtype=torch.float64))
    periods = torch.fft.fftfreq(16, 1 / 16).abs()
    long = torch.maximum(periods[:, None], periods) <= 3
    long[0, 0] = False
    power = torch.fft.fft2(fields[:, 1:3]).abs()
    assert bool(((power > 1e-6) == long).all())


def test_runs_are_drawn_with_their_parameters():
    problem = ActiveFluidRuns(
        points=8, moments=4, end=0.4, frames=3, alpha=(-2, -1), translation=0.2, size=0.01
    )
    found = problem.sample(3, generator=torch.Generator().manual_seed(0))
    assert found["fields"].shape == (3, 3, 5, 8, 8)
    alpha = found["parameters"][:, 0]
    assert len(alpha.unique()) == 3
    assert bool(((alpha > -2) & (alpha < -1)).all())
    again = problem.sample(3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found["fields"], again["fields"])


def test_later_frames_of_runs_are_those_of_the_whole_run():
    settings = {"points": 8, "moments": 4, "end": 1.2, "translation": 0.3, "size": 0.02, "dt": 0.02}
    whole, late = (
        ActiveFluidRuns(**settings, begin=begin, frames=frames).sample(
            1, generator=torch.Generator().manual_seed(0)
        )["fields"]
        for begin, frames in ((0.0, 7), (0.8, 3))
    )
    moved = float((whole[:, 4] - whole[:, 5]).abs().max())
    assert float((late - whole[:, 4:]).abs().max()) < 0.02 * moved


def test_runs_take_the_fewest_steps_that_are_short_enough():
    """0.4 in two frames: one step of 0.2 each would be too long by 0.01."""
    for dt, steps in ((0.19, 4), (0.2, 2)):
        problem = ActiveFluidRuns(
            points=8, moments=2, kept=2, end=0.4, frames=3, dt=dt, translation=0.3, size=0.02
        )
        found = problem.sample(1, generator=torch.Generator().manual_seed(0))
        one = ActiveFluid(found["parameters"], problem.box)
        run = one.run(found["fields"][:, 0], end=0.4, steps=steps, every=steps // 2)
        assert_close(found["fields"], run, rtol=0, atol=1e-13)
