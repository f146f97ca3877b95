"""The least value of an estimated error, by an independent jackknife; the estimates are in ``test_auto_eps``."""

import math

import pytest
import torch

from interpolants.foundations.randomness import generator
from interpolants.likelihood.held_out_errors import _explained


@pytest.mark.parametrize(("shift", "is_seen"), [(0.0, False), (2.0, True)])
def test_errors_are_means_over_pairs_of_folds_and_at_least_two_standard_errors(shift, is_seen):
    """Pairs one by one; the error by Tukey's pseudo-values. The ridge of the features is a thousandth."""
    moments = shift + torch.randn(8, 3, dtype=torch.float64, generator=generator(0))

    def mean_of(folds):
        pairs = [float(moments[k] @ moments[m]) for k in folds for m in folds if k != m]
        return math.fsum(pairs) / len(pairs)

    whole = mean_of(range(8))
    pseudo = torch.tensor([8 * whole - 7 * mean_of([k for k in range(8) if k != left]) for left in range(8)])
    least = 2 * float(pseudo.std()) / 8**0.5
    assert (whole > least) == is_seen
    found = _explained(torch.eye(3, dtype=torch.float64)[None], moments.reshape(8, 1, 3, 1), 3)
    assert found == pytest.approx(max(whole, least), rel=2e-3)
