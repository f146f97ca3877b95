import itertools
import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import bures_wasserstein, wasserstein


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_it_is_the_best_of_all_matchings():
    x = torch.randn(6, 2, generator=seeded(0), dtype=torch.float64)
    y = torch.randn(6, 2, generator=seeded(1), dtype=torch.float64)
    best = min(
        float((x - y[list(order)]).square().sum(1).mean()) for order in itertools.permutations(range(6))
    )
    assert wasserstein(x, y).value == pytest.approx(math.sqrt(best), rel=1e-12)
    # The other route: two thirds of the mass of nine points on six is the same problem with repeats.
    assert wasserstein(x.repeat(2, 1), y).value == pytest.approx(math.sqrt(best), rel=1e-9)


@pytest.mark.parametrize("width", [1, 2, 50])
def test_a_shift_is_measured_exactly(width):
    x = torch.randn(60, width, generator=seeded(2), dtype=torch.float64) + 1000
    shift = torch.randn(width, generator=seeded(3), dtype=torch.float64)
    assert wasserstein(x, x + shift).value == pytest.approx(float(shift.norm()), rel=1e-9)


@pytest.mark.slow
def test_two_gaussians_on_a_line_have_the_closed_form():
    x = torch.randn(1000, generator=seeded(4))
    for m in (1000, 600):
        y = 1 + 2 * torch.randn(m, generator=seeded(5))
        found = wasserstein(x, y)
        assert abs(found.value - math.sqrt(1 + 1)) < 4 * found.error
        assert found.error < 0.1


@pytest.mark.parametrize(
    ("shift", "sizes", "low", "high"),
    [(1.0, (100, 100), 0.8, 1.2), (1.0, (100, 60), 0.8, 1.2), (0.0, (100, 100), 1.0, 1.6)],
)
def test_error_is_the_spread_over_repetitions(shift, sizes, low, high):
    generator = seeded(6)
    runs = [
        wasserstein(
            torch.randn(sizes[0], 2, generator=generator),
            1.5 * torch.randn(sizes[1], 2, generator=generator) ** 3 + shift
            if shift
            else torch.randn(sizes[1], 2, generator=generator),
        )
        for _ in range(300)
    ]
    squares = torch.tensor([run.value for run in runs])
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert low < claimed / float(squares.std()) < high


@pytest.mark.parametrize("sizes", [(40, 40), (60, 40)])
@pytest.mark.parametrize("unit", [1e-8, 1e6])
def test_the_unit_of_the_data_does_not_matter(sizes, unit):
    generator = seeded(7)
    x, y = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in sizes)
    plain, scaled = wasserstein(x, y + 0.5), wasserstein(unit * x, unit * (y + 0.5))
    assert scaled.value / unit == pytest.approx(plain.value, rel=1e-9)
    assert scaled.error / unit == pytest.approx(plain.error, rel=1e-6)


def test_gaussians_on_two_lines_have_the_closed_form():
    """Covariances ``a a^T`` and ``b b^T``: ``|a|^2 + |b|^2 - 2 |a . b|``."""
    lines = torch.randn(20, 2, 4, generator=seeded(8), dtype=torch.float64)
    for a, b in lines:
        wanted = a.square().sum() + b.square().sum() - 2 * (a @ b).abs()
        found = bures_wasserstein(torch.zeros(4), a.outer(a), torch.zeros(4), b.outer(b))
        assert found == pytest.approx(float(wanted.sqrt()), rel=1e-6)


def test_too_many_samples_are_refused_with_the_way_out():
    with pytest.raises(InvalidInputError, match=r"at most 10 samples, got \(11, 5\)\. .*sliced_wasserstein"):
        wasserstein(torch.randn(11, 2), torch.randn(5, 2), max_samples=10)


def test_bures_of_commuting_covariances_is_the_distance_of_standard_deviations():
    found = bures_wasserstein(
        torch.tensor([1.0, 2.0]),
        torch.diag(torch.tensor([4.0, 9.0])),
        torch.tensor([1.0, 5.0]),
        torch.diag(torch.tensor([1.0, 16.0])),
    )
    assert found == pytest.approx(math.sqrt(9 + 1 + 1))
    assert bures_wasserstein(torch.tensor(1.0), torch.tensor(4.0), torch.tensor(0.0), torch.tensor(1.0)) == (
        pytest.approx(math.sqrt(2))
    )


def test_bures_is_what_the_optimal_linear_map_costs():
    # T = symmetric positive definite is optimal from C to T C T: E|X - T X|^2 = tr (I - T) C (I - T).
    a, b = (torch.randn(4, 4, generator=seeded(s), dtype=torch.float64) for s in (7, 8))
    cov, plan = a @ a.T, b @ b.T + 0.1 * torch.eye(4, dtype=torch.float64)
    zero, gap = torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64) - plan
    wanted = math.sqrt(float((gap @ cov @ gap).trace()))
    assert bures_wasserstein(zero, cov, zero, plan @ cov @ plan) == pytest.approx(wanted, rel=1e-9)
    assert bures_wasserstein(zero, cov, zero, cov) == pytest.approx(0, abs=1e-6)


def test_bures_takes_singular_covariances():
    flat = torch.diag(torch.tensor([1.0, 0.0]))
    zero = torch.zeros(2)
    assert bures_wasserstein(zero, flat, zero, torch.zeros(2, 2)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (torch.eye(3), r"cov0 must have shape \(2, 2\), got \(3, 3\)"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "cov0 must be symmetric"),
        (torch.diag(torch.tensor([1.0, -0.5])), "positive semi-definite, got an eigenvalue of -0.5"),
        (torch.full((2, 2), math.nan), "must be finite"),
    ],
)
def test_bures_refuses_what_is_no_covariance(cov, message):
    with pytest.raises(InvalidInputError, match=message):
        bures_wasserstein(torch.zeros(2), cov, torch.zeros(2), torch.eye(2))


def test_bures_refuses_means_of_different_sizes():
    with pytest.raises(InvalidInputError, match="both means must have one size"):
        bures_wasserstein(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3))
