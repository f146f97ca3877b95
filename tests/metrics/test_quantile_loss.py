"""Quantile losses and coverage of ensembles."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.metrics import crps
from interpolants.metrics.quantile_loss import (
    interval_coverage,
    loss_of_cases,
    normalised_quantile_loss,
    quantile_loss,
)

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=generator(seed))


def test_a_single_member_has_its_absolute_error_over_the_size_of_the_truth():
    x, y = normal(20, 1, 3), normal(20, 3, seed=1)
    found = normalised_quantile_loss(x, y)
    assert found.value == pytest.approx(float((x[:, 0] - y).abs().sum() / y.abs().sum()), rel=1e-12)


def test_by_hand():
    """Members 0 .. 10: quantile q is 10 q. Truth 4 misses by ``4 - 10 q``."""
    members, truth = torch.arange(11.0, dtype=F64)[None, :, None], torch.tensor([[4.0]], dtype=F64)
    by_hand = sum(2 * max(q * (4 - 10 * q), (q - 1) * (4 - 10 * q)) for q in (0.1, 0.5, 0.9)) / 3
    assert_close(quantile_loss(members, truth, (0.1, 0.5, 0.9)), torch.tensor([[by_hand]], dtype=F64))


def test_with_dense_levels_it_is_the_crps():
    pytest.importorskip("scoringrules")
    x, y = normal(50, 400, 2), normal(50, 2, seed=1)
    dense = [(k + 0.5) / 500 for k in range(500)]
    size = float(y.abs().mean())
    assert normalised_quantile_loss(x, y, levels=dense).value * size == pytest.approx(
        crps(x, y, fair=False).value, rel=5e-3
    )


def test_entries_that_were_not_seen_do_not_count():
    x, y = normal(6, 9, 4), normal(6, 4, seed=1)
    seen = torch.ones(6, 4, dtype=torch.bool)
    seen[:, 2:] = False
    assert_close(loss_of_cases(x, y, seen), loss_of_cases(x[..., :2], y[:, :2], seen[:, :2]))


@pytest.mark.parametrize("members", [9, 20, 100])
@pytest.mark.parametrize("level", [0.5, 0.6])
def test_members_of_the_true_distribution_cover_what_they_should(members, level):
    """Between order statistics the share is linear only roughly: 1 % is allowed for that."""
    found = interval_coverage(normal(20_000, members, 1), normal(20_000, 1, seed=1), level=level)
    assert abs(found.value - level) < 4 * found.error + 0.01


def test_a_level_beyond_the_members_gives_their_range():
    members = torch.tensor([3.0, 1.0, 2.0], dtype=F64).expand(4, 3)[..., None]
    truth = torch.tensor([0.9, 1.0, 3.0, 3.1], dtype=F64)[:, None]
    assert interval_coverage(members, truth, level=0.99).value == 0.5
    assert interval_coverage(members[:, :1], truth, level=0.5).value == 0.25  # the member itself


def test_what_does_not_fit_is_refused():
    x, y = normal(3, 4, 1), normal(3, 1)
    with pytest.raises(InvalidInputError, match="every level must lie in"):
        normalised_quantile_loss(x, y, levels=(0.5, 1.0))
    with pytest.raises(InvalidInputError, match="levels must have at least one entry"):
        normalised_quantile_loss(x, y, levels=())
    with pytest.raises(InvalidInputError, match="level must lie in"):
        interval_coverage(x, y, level=1.0)
    with pytest.raises(InvalidInputError, match="zero everywhere"):
        normalised_quantile_loss(x, torch.zeros(3, 1))
