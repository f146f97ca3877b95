"""Rows in proportion to weights: counts of draws, and copies that stand for weights."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.row_weights import WeightedRows, are_equal, effective_rows, even_rows

WEIGHTS = torch.tensor([3.0, 0.5, 1.5, 5.0])


def test_draws_come_as_often_as_weights_say():
    n = 20_000
    drawn = WeightedRows(WEIGHTS).draw(n, torch.Generator().manual_seed(0))
    share = WEIGHTS.double() / 10
    error = (share * (1 - share) / n).sqrt()
    assert bool(((drawn.bincount(minlength=4) / n - share).abs() < 4 * error).all())


def test_a_stretch_of_rows_is_drawn_by_its_own_weights():
    """Rows 1 and 2 alone, with weights 0.5 and 1.5: the first quarter of the shares is row 1."""
    shares = torch.tensor([0.0, 0.2499, 0.2501, 0.9999], dtype=torch.float64)
    assert WeightedRows(WEIGHTS).at(shares, 1, 3).tolist() == [1, 1, 2, 2]
    assert WeightedRows(WEIGHTS).at(shares).tolist() == [0, 0, 0, 3]


def test_even_rows_are_copies_rounded_down_or_up():
    for seed in range(20):
        rows = even_rows(WEIGHTS, 25, torch.Generator().manual_seed(seed))
        counts, exact = rows.bincount(minlength=4), 25 * WEIGHTS / 10
        assert len(rows) == 25
        assert bool((rows[1:] >= rows[:-1]).all())
        assert bool((counts >= exact.floor()).all())
        assert bool((counts <= exact.ceil()).all())


def test_copies_are_right_on_average():
    rows = [even_rows(WEIGHTS, 3, torch.Generator().manual_seed(seed)) for seed in range(2000)]
    counts = torch.cat(rows).bincount(minlength=4) / 2000
    # A rounded number of copies has a standard deviation of at most one half.
    assert_close(counts, 3 * WEIGHTS / 10, atol=4 * 0.5 / 2000**0.5, rtol=0)


def test_the_last_row_is_chosen_although_sums_round():
    weights = torch.full((10,), 0.1)
    share = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert WeightedRows(weights).at(share).tolist() == [9]


@pytest.mark.parametrize(("weights", "rows"), [([1.0, 1.0, 1.0], 3.0), ([2.0, 1.0, 1.0], 16 / 6)])
def test_effective_rows_are_those_of_kish(weights, rows):
    assert effective_rows(torch.tensor(weights)) == pytest.approx(rows)


def test_equal_weights_are_the_same_number():
    assert are_equal(torch.tensor([0.3, 0.3]))
    assert not are_equal(torch.tensor([0.3, 0.4]))
