"""Bennett's estimate on weights whose distributions are known: Gaussians of one width, shifted by its square."""

import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood import bennett

TRUTH, F64 = 1.3, torch.float64


def weights(s, n, m, seed=0):
    """Forward and backward weights of log Z1/Z0 = 1.3: N(1.3 -+ s^2/2, s^2) obey Crooks' identity."""
    source = torch.Generator().manual_seed(seed)
    f, b = (torch.randn(k, generator=source, dtype=F64) * s for k in (n, m))
    return TRUTH - s**2 / 2 + f, TRUTH + s**2 / 2 + b


@pytest.mark.parametrize(("n", "m"), [(2000, 2000), (300, 6000)])
def test_the_estimate_is_right_for_equal_and_unequal_numbers(n, m):
    found = bennett(*weights(2.0, n, m))
    assert abs(found.log_ratio - TRUTH) <= 4 * found.error
    assert found.lower == pytest.approx(TRUTH - 2, abs=0.3)
    assert found.upper == pytest.approx(TRUTH + 2, abs=0.3)


def test_errors_are_those_of_repeats():
    found = [bennett(*weights(1.5, 200, 600, seed), resamples=20) for seed in range(50)]
    values = torch.tensor([one.log_ratio for one in found])
    spread = float(values.std())
    assert abs(float(values.mean()) - TRUTH) < 4 * spread / math.sqrt(50)
    for name in ("error", "bennett_error"):
        assert 0.75 < sum(getattr(one, name) for one in found) / 50 / spread < 1.35


def test_weights_without_variance_have_overlap_one_and_no_error():
    found = bennett(torch.full((50,), TRUTH), torch.full((20,), TRUTH))
    assert (found.log_ratio, found.overlap) == pytest.approx((TRUTH, 1.0), abs=1e-6)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert (found.forward_ess, found.reverse_ess) == pytest.approx((50, 20))


def test_without_overlap_the_error_is_half_the_distance_of_the_bounds():
    found = bennett(*weights(12.0, 500, 500))
    assert found.overlap < 1e-6
    assert found.error >= (found.upper - found.lower) / 2
    assert "overlap" in found.warnings[0]
    assert "trust the bounds" in str(found)


def test_paths_of_one_start_are_redrawn_together():
    f, b = weights(1.0, 200, 200)
    once, copied = bennett(f, b), bennett(f[:, None].expand(-1, 50), b[:, None].expand(-1, 50))
    assert copied.log_ratio == pytest.approx(once.log_ratio, abs=1e-9)
    assert copied.error == pytest.approx(once.error, rel=0.1)
    assert copied.bennett_error < 0.2 * once.error  # by the formula, which takes them for independent


def test_an_estimate_outside_the_bounds_is_told():
    f, b = weights(0.3, 500, 500)
    found = bennett(f, b - 3)
    assert any("do not belong together" in one for one in found.warnings)


@pytest.mark.parametrize(
    ("f", "b", "words"),
    [
        ([0.0], [0.0, 1.0], r"forward must be .* N >= 2 starts, got \(1,\)"),
        ([0.0, math.nan], [0.0, 1.0], "forward must contain no NaN and no inf"),
        ([0.0, math.inf], [0.0, 1.0], "forward must contain no NaN and no inf"),
        ([0.0, 1.0], [0.0, -math.inf], "backward must contain no NaN and no -inf"),
        ([-math.inf, -math.inf], [0.0, 1.0], "forward must contain a finite log weight.*support"),
    ],
)
def test_weights_that_are_none_are_refused(f, b, words):
    with pytest.raises(InvalidInputError, match=words):
        bennett(torch.tensor(f), torch.tensor(b))
