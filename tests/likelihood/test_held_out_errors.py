"""The least value of an estimated error, by an independent jackknife; the estimates are in ``test_auto_eps``."""

import math

import pytest
import torch

from interpolants.fields import LearnedFields
from interpolants.foundations.randomness import generator
from interpolants.likelihood.held_out_errors import _explained, _Features, _Rows
from interpolants.paths import OneSidedLinear


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


def test_no_end_point_is_in_two_folds_and_each_is_in_one():
    """States at t = 1 are the end points, which tell their number."""
    x1 = torch.arange(200, dtype=torch.float64)[:, None]
    fields = LearnedFields(OneSidedLinear(), velocity=lambda x, t: 0 * x)
    rows = _Rows(fields, fields.path, None, x1, 2, False, None, generator(0))
    seen = [fold.parts[0].round().long().flatten().unique() for fold in rows.folds(1.0 - 1e-9)]
    assert len(torch.cat(seen)) == 200
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(200))


def test_random_features_are_of_the_state():
    parts = tuple(torch.randn(50, 2, generator=generator(k)) for k in range(3))
    features = _Features.of(parts, generator(0))
    whole, other = features.of_each(parts), features.of_each((parts[0], parts[1], 2 * parts[2]))
    linear = 1 + 3 * 2
    assert torch.equal(whole[..., linear:], other[..., linear:])
    assert not torch.equal(whole[..., :linear], other[..., :linear])
