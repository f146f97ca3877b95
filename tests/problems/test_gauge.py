"""Fields with a gauge, and distributions on surfaces."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems.gauge import GaugedFields, antisymmetric
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.manifolds import SwissRollSheet, flat_sheet
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

TRUE = GaussianMixtureBridge(Gaussian((3,)), GaussianMixture.random(2, 3, 1.0, 0)).fields(OneSidedLinear())


def test_the_score_is_turned_and_nothing_else():
    a = antisymmetric(3, size=3.0, seed=1)
    assert float(torch.linalg.matrix_norm(a, 2)) == pytest.approx(3.0)
    x, t = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double(), torch.tensor(0.4).double()
    s = TRUE.evaluate(x, t, ("score",))["score"]
    turned = GaugedFields(TRUE, a, 0.5).evaluate(x, t, ("score",))["score"]
    assert_close(turned, s + 0.5 * s @ a.T, atol=1e-12, rtol=0)


@pytest.mark.parametrize("path", [OneSidedLinear(), Linear(), VP()])
def test_without_strength_every_field_is_the_true_one_up_to_both_ends(path):
    bare = GaussianMixtureBridge(Gaussian((3,)), GaussianMixture.random(2, 3, 1.0, 0)).fields(path)
    turned = GaugedFields(bare, antisymmetric(3), lambda t: 0 * t)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for t in (0.0, 1e-7, 1e-5, 0.5, 1 - 1e-7, 1.0):
        at = torch.tensor(t, dtype=torch.float64)
        for name in ("velocity", "score", "denoised", "endpoint0"):
            assert torch.equal(getattr(turned, name)(x, at), getattr(bare, name)(x, at))


def test_a_turn_that_begins_with_the_time_has_the_velocity_of_its_limit_at_the_base():
    """``E[x1|x] = (x - alpha E[x0|x]) / beta`` with ``E[x0|x] = -alpha s``: k = t adds ``A s`` at t = 0, as s = -x."""
    a, x = antisymmetric(3, seed=1), torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    turned = GaugedFields(TRUE, a, lambda t: t)
    assert_close(turned.denoised(x, 0.0), TRUE.denoised(x, 0.0) - x @ a.T, rtol=0, atol=2e-5)
    assert_close(turned.velocity(x, 0.0), TRUE.velocity(x, 0.0) - x @ a.T, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.eye(3), "matrix must be antisymmetric"),
        (torch.zeros(1, 1), "at least two dimensions, got 1"),
        (torch.zeros(2, 3), "matrix must be square"),
    ],
)
def test_other_matrices_are_refused(matrix, message):
    with pytest.raises(InvalidInputError, match=message):
        GaugedFields(TRUE, matrix)


def test_a_sheet_lies_in_three_dimensions_and_a_plane_in_its_own():
    roll = SwissRollSheet(5)
    x = roll.sample(500, generator=torch.Generator().manual_seed(0)).double()
    inside = x @ roll.axes
    assert float(inside[:, 3:].abs().max()) < 1e-5
    radius, angle = torch.hypot(inside[:, 0], inside[:, 2]), torch.atan2(inside[:, 2], inside[:, 0])
    turn = (7.5 * radius - angle) / (2 * torch.pi)
    assert_close(turn, turn.round(), atol=1e-5, rtol=0)
    assert torch.linalg.matrix_rank(flat_sheet(2, 5).covariances[0], tol=1e-3) == 2


def test_settings_out_of_range_are_refused():
    with pytest.raises(InvalidInputError, match=r"dimension must lie in 1 ... 5"):
        flat_sheet(6, 5)


def test_a_sheet_is_covered_evenly_along_its_spiral():
    """Arc length grows like ``u^2 / 2``: the square of the radius is uniform from 3/4 of a turn to the end."""
    roll = SwissRollSheet(4, turns=2.0, scale=3.0)
    x = roll.sample(4000, generator=torch.Generator().manual_seed(1)).double() @ roll.axes
    squared = 9 * (x[:, 0].square() + x[:, 2].square())
    low, high = (2 * torch.pi * torch.tensor([0.75, 2.75])).double().square()
    share = (squared - low) / (high - low)
    assert float(share.min()) > -1e-5
    assert float(share.max()) < 1 + 1e-5
    expected = (torch.arange(4000) + 0.5) / 4000
    assert float((share.sort().values - expected).abs().max()) < 1.95 / 4000**0.5  # Kolmogorov, 1 in 1000
    assert float(x[:, 1].abs().max()) <= 10 / 3 + 1e-5
