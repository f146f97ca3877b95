import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs
from interpolants.foundations.errors import InvalidInputError

SMALL = {"rows": 16, "columns": 16, "width": 1.5, "births": 2.0}


def drawn(problem, n, frames, seed=0):
    return problem.sample(n, frames=frames, generator=torch.Generator().manual_seed(seed))


def test_without_births_a_wind_of_whole_cells_is_a_shift():
    problem = AdvectedBlobs(**SMALL, wind=(1.0, 3.0), life=100)
    source = torch.Generator().manual_seed(0)
    row, places = problem._born(1, source)
    assert len(row)
    shapes = problem._shapes(places, torch.arange(7))
    for k in range(7):
        assert_close(shapes[:, k], shapes[:, 0].roll((k, 3 * k), (1, 2)))


@pytest.mark.parametrize("wind", [(0.0, 0.0), (0.7, 2.5), (-1.0, -3.0)])
def test_mean_and_variance_of_what_is_born_are_those_of_campbell(wind):
    """Frames from an empty domain are births alone: of life 4, frame 3 holds births of the last four frames."""
    problem = AdvectedBlobs(**SMALL, wind=wind, life=4)
    x = drawn(problem, 6000, 1)[:, 0]  # a steady state is what four frames of births have left
    mean, variance = problem.birth_mean(4)[3], problem.birth_variance(4)[3]
    # Averages along rows, where nothing depends on the row; four standard errors of 6000 draws.
    error = 4 * (variance / 6000).sqrt().mean(0)
    assert bool(((x.mean((0, 1)) - mean.mean(0)).abs() < error).all())
    assert_close(x.var(0).mean(0), variance.mean(0), rtol=0.06, atol=0.002)
    assert_close(problem.birth_variance(6)[5], variance)  # no older ones are left


def test_variance_grows_with_the_lead_and_lies_where_births_were_carried():
    problem = AdvectedBlobs(wind=(0.0, 2.0), births=1.0)
    variance = problem.birth_variance(4)
    assert bool((variance.diff(dim=0) >= 0).all())
    first = variance[0, 0]
    assert first[8] > 100 * first[24]  # the middle of the half with births, and of the other one
    assert variance[3, 0, 20] > 10 * first[20]  # carried there by then
    total = variance[0].sum(1) / problem.births
    assert_close(total, torch.full_like(total, float(total[0])))


def test_settings_out_of_range_are_refused():
    for bad, words in (
        ({"columns": 31}, "columns must be even"),
        ({"width": 9.0}, "width must be at most an eighth of the domain, 4, got 9"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            AdvectedBlobs(**bad)


def test_what_is_born_after_now_has_the_known_variance_and_nothing_of_before():
    problem = AdvectedBlobs(**SMALL, life=4, frames=5)
    x = problem.sample_births(6000, ahead=2, generator=torch.Generator().manual_seed(0))
    assert_close(x.var(0).mean(1), problem.birth_variance(2).mean(1), rtol=0.08, atol=0.002)
    assert problem.sample(2).shape == (2, 5, 16, 16)
