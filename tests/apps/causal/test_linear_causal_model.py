import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.causal import LinearCausalModel
from interpolants.foundations.errors import InvalidInputError

SHOWS = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]], dtype=torch.float64)


def rows(n, generator):
    """a -> b with slope 0.8, and three numbers that show both."""
    a, noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    y = torch.stack([a, 0.8 * a + 0.6 * noise], 1)
    return y @ SHOWS, y


def test_a_linear_structure_is_found_and_its_counterfactuals_are_exact(generator):
    x, y = rows(4000, generator)
    told = y.clone()
    told[::3, 1] = float("nan")  # such rows are left out
    model = LinearCausalModel(graph="a -> b", penalty=1e-9).fit(x, told)
    new, now = rows(70, generator)
    assert_close(model.encode(new), now, atol=1e-5, rtol=0)
    value = torch.linspace(-2, 2, 70, dtype=torch.float64)
    moved = torch.stack([value - now[:, 0], 0.8 * (value - now[:, 0])], 1)
    # Of the slope, 0.6 / sqrt(2667) is the standard error.
    assert_close(model.counterfactual(new, do={"a": value}), new + moved @ SHOWS, atol=0.15, rtol=0)
    only = torch.stack([torch.zeros(70, dtype=torch.float64), value - now[:, 1]], 1)
    assert_close(model.counterfactual(new, do={"b": value}), new + only @ SHOWS, atol=1e-4, rtol=0)
    assert torch.equal(model.counterfactual(new), new)


def test_a_penalty_of_one_halves_what_a_single_number_tells_of_the_factors(generator):
    """``x y / (x x + x x)``: the penalty is in units of the number's own square, so that its unit does not matter."""
    x, y = rows(200, generator)
    for unit in (1.0, 1000.0):
        number = unit * x[:, 2:]
        free, half = (LinearCausalModel(graph="a -> b", penalty=p).fit(number, y) for p in (1e-12, 1.0))
        mean = y.mean(0)
        assert_close(half.encode(number) - mean, (free.encode(number) - mean) / 2)


def test_rows_of_which_no_factor_is_missing_are_needed(generator):
    x, y = rows(10, generator)
    y[::2, 0], y[1::2, 1] = np.nan, np.nan
    with pytest.raises(InvalidInputError, match="known of two rows at least, got 0"):
        LinearCausalModel(graph="a -> b").fit(x, y)


def test_columns_of_vectors_are_read_whatever_their_units():
    g = torch.Generator().manual_seed(3)
    factors = torch.randn(300, 2, generator=g, dtype=torch.float64)
    x = torch.cat([factors, torch.randn(300, 1, generator=g, dtype=torch.float64)], 1)
    sizes = torch.tensor([1e6, 1e-6, 1.0], dtype=torch.float64)
    plain = LinearCausalModel(graph="a; b").fit(x, factors)
    moved = LinearCausalModel(graph="a; b").fit(x * sizes, factors)
    assert_close(moved.encode(x * sizes), factors, rtol=0, atol=0.01)
    assert_close(moved.encode(x * sizes), plain.encode(x))
    assert_close(
        moved.counterfactual(x * sizes, do={"b": 1.0}) / sizes, plain.counterfactual(x, do={"b": 1.0})
    )


def test_rows_that_are_all_the_same_are_refused():
    factors = torch.arange(6.0).reshape(6, 1)
    with pytest.raises(InvalidInputError, match="x must vary between rows"):
        LinearCausalModel(graph="a").fit(torch.ones(6, 3), factors)


def test_a_pixel_that_never_changes_tells_nothing(generator):
    x, y = rows(300, generator)
    dead = torch.cat([x, torch.full((300, 1), 7.0, dtype=torch.float64)], 1)
    plain, model = (LinearCausalModel(graph="a -> b", penalty=1e-9).fit(shown, y) for shown in (x, dead))
    assert_close(model.encode(dead), plain.encode(x), atol=1e-4, rtol=0)
