import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import sliced_wasserstein, wasserstein


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("width", [1, 3, 64])
def test_a_shift_is_measured_exactly_through_whole_orthonormal_groups(width):
    x = torch.randn(50, width, generator=seeded(0), dtype=torch.float64)
    shift = torch.randn(width, generator=seeded(1), dtype=torch.float64)
    found = sliced_wasserstein(x, x + shift, generator=seeded(2))
    assert found.value == pytest.approx(float(shift.norm()) / math.sqrt(width), rel=1e-12)


def test_a_shift_in_many_dimensions_is_measured_in_expectation():
    x = torch.zeros(2, 400, dtype=torch.float64)
    shift = torch.randn(400, generator=seeded(3), dtype=torch.float64)
    found = sliced_wasserstein(x, x + shift, n_directions=2048, generator=seeded(4))
    assert 0 < found.error < 0.05  # the samples do not vary, so this is the directions' own
    assert abs(found.value - float(shift.norm()) / 20) < 4 * found.error


def test_two_gaussians_on_a_line_have_the_closed_form():
    x = torch.randn(20000, generator=seeded(5), dtype=torch.float64)
    y = 1.0 + 2.0 * torch.randn(15000, generator=seeded(6), dtype=torch.float64)
    found = sliced_wasserstein(x, y)
    assert abs(found.value - math.sqrt(1.0**2 + (2.0 - 1.0) ** 2)) < 4 * found.error
    assert found.error < 0.03


def test_isotropic_gaussians_have_the_closed_form_in_the_plane():
    x = torch.randn(8000, 2, generator=seeded(7))
    y = 2 * torch.randn(6000, 2, generator=seeded(8)) + torch.tensor([3.0, 0.0])
    found = sliced_wasserstein(x, y, n_directions=128, generator=seeded(9))
    assert abs(found.value - math.sqrt(9 / 2 + 1)) < 4 * found.error


@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 21), (7, 40), (12, 24)])
def test_on_a_line_it_is_the_exact_transport_for_any_sizes(n, m):
    x = torch.randn(n, generator=seeded(10), dtype=torch.float64)
    y = torch.randn(m, generator=seeded(11), dtype=torch.float64).exp()
    assert sliced_wasserstein(x, y).value == pytest.approx(wasserstein(x, y).value, rel=1e-9)


def test_repeating_the_samples_changes_nothing():
    x, y = torch.randn(20, 3, generator=seeded(12)), torch.randn(15, 3, generator=seeded(13))
    once = sliced_wasserstein(x, y, generator=seeded(14)).value
    assert sliced_wasserstein(x.repeat(3, 1), y, generator=seeded(14)).value == pytest.approx(once, rel=1e-12)
    assert sliced_wasserstein(y, x, generator=seeded(14)).value == pytest.approx(once, rel=1e-12)


def test_one_set_against_itself_is_zero_without_error():
    x = torch.randn(20, 3, generator=seeded(15))
    found = sliced_wasserstein(x, x[torch.randperm(20, generator=seeded(16))], generator=seeded(17))
    assert (found.value, found.error) == (0, 0)


@pytest.mark.parametrize(
    ("shift", "scale", "sizes", "low", "high"),
    [(1.0, 1.0, (100, 100), 0.8, 1.2), (1.0, 2.0, (120, 70), 0.8, 1.2), (0.0, 1.0, (100, 100), 1.0, 1.5)],
)
def test_error_is_the_spread_over_repetitions(shift, scale, sizes, low, high):
    generator = seeded(18)
    runs = [
        sliced_wasserstein(
            torch.randn(sizes[0], 3, generator=generator),
            scale * torch.randn(sizes[1], 3, generator=generator) + shift,
            n_directions=33,
            generator=generator,
        )
        for _ in range(300)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert low < claimed / spread < high


@pytest.mark.parametrize("sizes", [(400, 400), (400, 600), (900, 300)])
def test_the_error_of_a_shift_on_a_line_is_that_of_a_difference_of_means(sizes):
    x, y = (torch.randn(n, 1, generator=seeded(20 + k), dtype=torch.float64) for k, n in enumerate(sizes))
    wanted = math.sqrt(float(x.var() / len(x) + y.var() / len(y)))
    assert sliced_wasserstein(x, y + 5.0).error == pytest.approx(wanted, rel=0.05)


def test_result_follows_the_generator_and_directions_do_not_depend_on_the_sizes():
    x = torch.randn(20, 5, generator=seeded(19))
    first = sliced_wasserstein(x, x + 1, generator=seeded(20))
    assert sliced_wasserstein(x, x + 1, generator=seeded(20)) == first
    assert sliced_wasserstein(x, x + 1, generator=seeded(21)) != first
    twice = sliced_wasserstein(x.repeat(2, 1), x + 1, generator=seeded(20))
    assert twice.value == pytest.approx(first.value, rel=1e-12)


def test_no_directions_are_refused():
    with pytest.raises(InvalidInputError, match="n_directions must be a whole number >= 1, got 0"):
        sliced_wasserstein(torch.randn(5, 2), torch.randn(5, 2), n_directions=0)
