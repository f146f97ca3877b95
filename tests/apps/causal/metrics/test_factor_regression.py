import math

import pytest
import torch

from interpolants.apps.causal.metrics.factor_regression import FactorRegression
from interpolants.foundations.errors import InvalidInputError


def bumps(place):
    line = torch.arange(12.0)
    return torch.exp(-0.5 * (line - place[:, None]).square())[:, None, None]


def test_it_reads_the_place_of_a_bump_in_images_it_has_not_seen_and_leaves_out_unknown_rows(generator):
    place = 2 + 8 * torch.rand(300, generator=generator)
    told = torch.stack([place, place.square()], 1)
    told[::3, 0] = float("nan")
    judge = FactorRegression(bumps(place), told)
    new = torch.linspace(2.5, 9.5, 50)
    read = judge.read(bumps(new))
    assert float((read[:, 0] - new).abs().max()) < 0.02
    assert float((read[:, 1] - new.square()).abs().max()) < 0.2
    assert torch.equal(read, FactorRegression(bumps(place), told).read(bumps(new)))


def test_a_factor_that_nobody_knows_is_refused():
    with pytest.raises(InvalidInputError, match="values in at least two rows, got 0"):
        FactorRegression(bumps(torch.arange(4.0)), torch.full((4, 1), float("nan")))


def test_two_rows_are_drawn_to_the_mean_by_the_penalty():
    x = torch.tensor([[0.0], [5.0]], dtype=torch.float64)
    model = FactorRegression(x, torch.tensor([[0.0], [2.0]], dtype=torch.float64), penalty=1.0)
    # Half of the distances are 0, each row to itself; the length is the other one, and so the kernel exp(-1/2).
    off = (1 - math.exp(-0.5)) / (2 - math.exp(-0.5))
    assert model.read(x)[:, 0].tolist() == pytest.approx([1 - off, 1 + off])


def test_three_rows_on_a_line_are_read_by_the_gaussian_kernel():
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    model = FactorRegression(x, x - 1, penalty=0.1)  # the median distance is 1
    # Weights -a, 0, a by symmetry, with a (1 + penalty - k(2)) = 1.
    k = [math.exp(-(gap**2) / 2) for gap in range(4)]
    a = 1 / (1.1 - k[2])
    read = model.read(torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64))
    assert read[:, 0].tolist() == pytest.approx([0.0, a * (k[0] - k[2]), a * (k[1] - k[3])])


def test_many_equal_images_and_small_units_leave_the_others_readable():
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).double()
    y = x[:, :1] - x[:, 1:2]
    many = torch.cat([x[:1].expand(300, 3), x])
    read = FactorRegression(many, torch.cat([y[:1].expand(300, 1), y])).read(x)
    assert float((read - y).square().mean()) < 0.05 * float(y.var())
    small = FactorRegression(1e-13 * x, y).read(1e-13 * x)
    torch.testing.assert_close(small, FactorRegression(x, y).read(x), rtol=1e-6, atol=1e-6)
