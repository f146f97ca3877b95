"""Fourier modes of a rectangle and IMEX steps: derivatives, Taylor's vortices, a product, the order of the steps."""

import math
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.sciml.closures.pde.fourier_box import FourierBox, imex_bdf2

BOX = FourierBox(16, length=3.0)
W = 2 * math.pi / 3


def wave(box=BOX):
    x, y = box.points.unbind(-1)
    return torch.sin(W * x) * torch.cos(2 * W * y)


def test_derivatives_and_the_laplacian_of_a_wave():
    x, y = BOX.points.unbind(-1)
    modes = BOX.modes(wave())
    along, across = (BOX.field(part) for part in BOX.slopes(modes))
    assert_close(along, W * torch.cos(W * x) * torch.cos(2 * W * y))
    assert_close(across, -2 * W * torch.sin(W * x) * torch.sin(2 * W * y))
    assert_close(BOX.field(BOX.laplacian * modes), -5 * W**2 * wave())
    assert_close(BOX.field(BOX.inverse_laplacian(BOX.laplacian * BOX.modes(wave() + 2))), wave())
    assert_close(BOX.field(modes), wave())


def test_a_product_of_dealiased_fields_has_no_aliases():
    """``cos(5 w x)^2 = (1 + cos(10 w x)) / 2``: on 16 points the wave 10 would come back as wave 6."""
    x, _ = BOX.points.unbind(-1)
    high = BOX.field(BOX.dealiased(BOX.modes(torch.cos(5 * W * x))))
    assert_close(high, torch.cos(5 * W * x))
    square = BOX.dealiased(BOX.modes(high.square()))
    assert_close(BOX.field(square), torch.full((16, 16), 0.5).double())
    assert float(BOX.dealiased(BOX.modes(torch.cos(6 * W * x))).abs().max()) < 1e-10


def test_taylors_vortices_decay_as_they_do_in_closed_form():
    """``omega_t + u . grad omega = nu laplacian omega`` makes ``cos x + cos y`` decay with ``exp(-nu t)``."""
    box, nu = FourierBox(16), 0.1
    x, y = box.points.unbind(-1)
    start = torch.cos(x) + torch.cos(y)

    def advection(modes):
        stream = -box.inverse_laplacian(modes)
        (sx, sy), (ox, oy) = box.slopes(stream), box.slopes(modes)
        u, v = box.field(sy), -box.field(sx)
        return -box.dealiased(box.modes(u * box.field(ox) + v * box.field(oy)))

    found = imex_bdf2(box.modes(start), nu * box.laplacian, advection, end=2.0, steps=100, every=50)
    assert len(found) == 3
    for t, modes in zip((0.0, 1.0, 2.0), found, strict=True):
        assert_close(box.field(modes), math.exp(-nu * t) * start, atol=1e-4, rtol=0)


def test_its_order_is_two():
    """Logistic growth and decay of a constant: ``u' = -u + (2 u - u^2)`` from 1/2, ``u = 1 / (1 + e^-t)``."""
    box, exact, errors = FourierBox(4), 1 / (1 + math.exp(-2.0)), []
    start = box.modes(torch.full((4, 4), 0.5, dtype=torch.float64))

    def growth(modes):
        u = box.field(modes)
        return box.modes(2 * u - u.square())

    for steps in (20, 40, 80):
        last = imex_bdf2(start, torch.tensor(-1.0).double(), growth, end=2.0, steps=steps, every=steps)[-1]
        errors.append(abs(float(box.field(last)[0, 0]) - exact))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(1.8 < order < 2.3 for order in orders), orders


def test_a_stiff_decay_is_stable_at_any_step():
    found = imex_bdf2(
        torch.ones(1).double(), torch.tensor([-1e6]).double(), torch.zeros_like, end=1.0, steps=4
    )
    assert float(found[-1].abs()) < 1e-6


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="n must be even"):
        FourierBox(7)
    with pytest.raises(InvalidInputError, match="steps must be a multiple of every"):
        imex_bdf2(torch.ones(1), torch.zeros(1), torch.zeros_like, end=1.0, steps=5, every=2)
    with pytest.raises(DivergedError, match="became NaN or infinite"):
        imex_bdf2(torch.ones(1), torch.zeros(1), lambda v: v**3 * 1e3, end=9.0, steps=9)


def test_a_spectrum_is_the_mean_square_by_shells():
    box = FourierBox(16, 10.0)
    phase = 2 * math.pi / 10 * (3 * box.points[..., 0] + 4 * box.points[..., 1])
    shells = box.spectrum(2 * phase.cos() + 0.5)
    assert_close(shells[5], torch.tensor(2.0).double())
    assert_close(shells[0], torch.tensor(0.25).double())
    assert_close(shells.sum(), torch.tensor(2.25).double())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("mode", [1, 2, 3])
def test_every_mode_along_either_axis_has_its_mean_square_in_its_shell(axis, mode):
    box = FourierBox(8, 3.0)
    along = torch.arange(8, dtype=torch.float64) / 8
    wave = (2 * math.pi * mode * along).cos()
    field = (wave[:, None] if axis == 0 else wave[None]).expand(8, 8)
    expected = torch.zeros(4, dtype=torch.float64)
    expected[mode] = 0.5
    assert_close(box.spectrum(field), expected, atol=1e-12, rtol=0)
    assert_close(box.spectrum(field.expand(2, 8, 8)), expected.expand(2, 4), atol=1e-12, rtol=0)
