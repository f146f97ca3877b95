"""Spread against skill and rank histograms: known ratios, p-values that are uniform, ties, power."""

import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import rank_histogram, spread_skill

F64 = torch.float64


def normal(shape, generator):
    return torch.randn(shape, generator=generator, dtype=F64)


@pytest.mark.parametrize("members", [2, 10])
@pytest.mark.parametrize("wide", [1.0, 0.5, 2.0])
def test_the_ratio_is_the_known_one(members, wide, generator):
    """Members N(0, w^2), truth N(0, 1): (M + 1)/M w^2 over 1 + w^2/M."""
    n = 20_000
    found = spread_skill(wide * normal((n, members, 2), generator), normal((n, 2), generator))
    truth = math.sqrt((members + 1) / members * wide**2 / (1 + wide**2 / members))
    assert abs(found.value - truth) < 4 * found.error
    assert found.error < 0.02


def test_the_error_of_the_ratio_is_its_spread(generator):
    found = [spread_skill(normal((200, 5, 1), generator), normal((200, 1), generator)) for _ in range(200)]
    values = torch.tensor([one.value for one in found])
    assert float(values.std()) == pytest.approx(sum(one.error for one in found) / 200, rel=0.2)


@pytest.mark.parametrize("members", [1, 4, 30])
def test_p_is_uniform_for_a_reliable_ensemble(members, generator):
    """400 p-values: mean 1/2 within 4 standard errors, and about one in twenty below 0.05."""
    p = torch.tensor(
        [
            rank_histogram(normal((300, members, 1), generator), normal((300, 1), generator)).p
            for _ in range(400)
        ]
    )
    assert (
        abs(float(p.mean()) - 0.5) < 4 * 0.289 / 20 + 0.01
    )  # the chi-square distribution itself is off by about 0.01
    assert 0.02 < float((p < 0.05).double().mean()) < 0.09


def test_over_coordinates_the_least_p_counts_as_often_as_it_was_tried(generator):
    found = rank_histogram(normal((500, 9, 4), generator), normal((500, 4), generator))
    assert found.counts.shape == (4, 10)
    assert found.counts.sum(1).tolist() == [500] * 4
    assert found.p == pytest.approx(min(1.0, 4 * float(found.p_each.min())))
    assert float(found.frequency.mean()) == pytest.approx(1.0)


def test_counts_are_ranks(generator):
    x = torch.tensor([[1.0, 2.0, 3.0]] * 12, dtype=F64)[..., None]
    y = torch.tensor([0.0, 1.5, 2.5, 9.0] * 3, dtype=F64)[:, None]
    assert rank_histogram(x, y).counts.tolist() == [[3, 3, 3, 3]]


def test_ties_get_every_rank_they_span_alike(generator):
    """All members equal the truth: any of the M + 1 ranks."""
    found = rank_histogram(
        torch.zeros(6000, 5, 1, dtype=F64), torch.zeros(6000, 1, dtype=F64), generator=generator
    )
    assert found.p > 0.001
    assert found.counts.min() > 850
    # one tie at the bottom: ranks 0 and 1 only
    x = torch.cat([torch.zeros(6000, 1, 1), torch.ones(6000, 4, 1)], 1).double()
    counts = rank_histogram(x, torch.zeros(6000, 1, dtype=F64), generator=generator).counts[0]
    assert counts[2:].sum() == 0
    assert abs(int(counts[0]) - 3000) < 4 * math.sqrt(1500)


@pytest.mark.parametrize("wrong", [lambda x: 0.7 * x, lambda x: 1.4 * x, lambda x: x + 0.3])
def test_bias_and_wrong_spread_are_found(wrong, generator):
    found = rank_histogram(wrong(normal((2000, 19, 1), generator)), normal((2000, 1), generator))
    assert found.p < 1e-4


def test_ranks_are_joined_where_cases_are_few(generator):
    found = rank_histogram(normal((40, 99, 1), generator), normal((40, 1), generator))
    assert found.bins == 7
    assert 0 < found.p <= 1


@pytest.mark.parametrize(("n", "members"), [(50, 10), (12, 3), (199, 39), (1000, 19)])
def test_every_bin_expects_five_cases(n, members, generator):
    found = rank_histogram(normal((n, members, 1), generator), normal((n, 1), generator))
    smallest = (members + 1) // found.bins
    assert found.bins >= 2
    assert n * smallest / (members + 1) >= 5


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="at least two members, got 1"):
        spread_skill(torch.zeros(4, 1, 2), torch.ones(4, 2))
    with pytest.raises(InvalidInputError, match="must err somewhere"):
        spread_skill(torch.zeros(4, 3, 2), torch.zeros(4, 2))
    with pytest.raises(InvalidInputError, match="at least 10 cases, got 4"):
        rank_histogram(torch.zeros(4, 3, 2), torch.zeros(4, 2))
    with pytest.raises(InvalidInputError, match=r"members must have shape"):
        rank_histogram(torch.zeros(20, 3, 2), torch.zeros(20, 3))
