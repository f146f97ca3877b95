"""Planes of known dimension by three estimates, and the gauge that hides it."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.diagnostics import intrinsic_dimension
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import Linear, OneSidedLinear
from interpolants.problems.gauge import GaugedFields
from interpolants.problems.manifolds import axes, flat_sheet
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
PATH, SIGMA = OneSidedLinear(), 0.01
SHEET = flat_sheet(2, 5)
TRUE = GaussianMixtureBridge(Gaussian((5,)), SHEET).fields(PATH)


def points(n=4):
    return SHEET.sample(n, generator=torch.Generator().manual_seed(0))


def turned(size):
    """A turn within the plane, which has a part of size ``size`` in the tangents of M."""
    q = axes(5, 0)
    plane = torch.zeros(5, 5, dtype=F64)
    plane[0, 1], plane[1, 0] = size, -size
    return GaugedFields(TRUE, q @ plane @ q.T)


def test_the_score_has_a_projection_on_the_normals_as_its_jacobian():
    found = intrinsic_dimension(TRUE, points(), sigma=SIGMA)
    # The noise has std alpha, the tangents variance beta^2 + alpha^2: alpha^2 / (beta^2 + alpha^2) = s^2 / (1 + s^2).
    small = SIGMA**2 / (1 + SIGMA**2)
    wanted = torch.tensor([1.0, 1.0, 1.0, small, small], dtype=F64).expand(4, 5)
    assert_close(found.spectrum, wanted, atol=1e-7, rtol=1e-3)
    assert found.value.tolist() == [2.0] * 4
    assert found.mean == 2.0


@pytest.mark.parametrize("dimension", [1, 3])
def test_density_and_flow_agree_with_it(dimension):
    sheet = flat_sheet(dimension, 4)
    fields = GaussianMixtureBridge(Gaussian((4,)), sheet).fields(PATH)
    x = sheet.sample(3, generator=torch.Generator().manual_seed(1))
    flow = intrinsic_dimension(fields, x, sigma=SIGMA, method="flow")
    assert flow.value.tolist() == [float(dimension)] * 3
    # on the plane, eta = -sigma S is of the size of sigma
    density = intrinsic_dimension(fields, x, sigma=SIGMA, method="density")
    assert_close(density.value, torch.full((3,), float(dimension), dtype=F64), atol=5e-3, rtol=0)


def test_the_flow_stretches_normals_as_the_noise_and_keeps_tangents():
    """In units of the signal a tangent's standard deviation goes from ``sqrt(1 + s^2)`` to ``sqrt(1 + (10 s)^2)``."""
    found = intrinsic_dimension(TRUE, points(1), sigma=SIGMA, method="flow")
    kept = ((1 + 100 * SIGMA**2) / (1 + SIGMA**2)) ** 0.5 / 10
    assert_close(found.spectrum[0], torch.tensor([1, 1, 1, kept, kept], dtype=F64), rtol=1e-4, atol=0)


def test_the_flow_takes_the_steps_that_are_asked_for():
    """One or two of equal ratios of the noise are enough for a plane."""
    for steps in (1, 2):
        assert (
            intrinsic_dimension(TRUE, points(), sigma=SIGMA, method="flow", n_steps=steps, coarse=2.0).mean
            == 2
        )


def test_a_gauge_hides_the_dimension_and_symmetry_brings_a_rotation_back():
    fields = turned(1 / SIGMA**2)
    hidden = intrinsic_dimension(fields, points(), sigma=SIGMA)
    assert hidden.value.tolist() == [0.0] * 4
    assert_close(hidden.spectrum, torch.ones(4, 5, dtype=F64), atol=1e-3, rtol=0)
    cured = intrinsic_dimension(fields, points(), sigma=SIGMA, symmetric=True)
    assert cured.value.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be finite and > 0, got 0.0"),
        ({"sigma": -0.1}, "sigma must be finite and > 0"),
        ({"sigma": 0.01, "method": "scores"}, "method must be one of score, flow, density"),
        ({"sigma": 0.01, "coarse": 1.0}, "coarse must be > 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        intrinsic_dimension(TRUE, points(), **options)


def test_the_other_end_of_the_flow_is_named_where_it_is_out_of_range():
    fields = GaussianMixtureBridge(Gaussian((5,)), SHEET).fields(Linear())
    told = r"coarse \* sigma must lie between 0 and 1 on this path, got 2.0. Use a smaller coarse"
    with pytest.raises(InvalidInputError, match=told):
        intrinsic_dimension(fields, points(), sigma=0.2, method="flow")


def test_fields_without_a_score_are_refused():
    fields = LearnedFields(Linear(), velocity=lambda x, t: -x)
    with pytest.raises(InvalidInputError, match="must have a score"):
        intrinsic_dimension(fields, points(), sigma=SIGMA)
