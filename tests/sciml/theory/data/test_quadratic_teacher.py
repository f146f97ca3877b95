"""The square of a projection."""

import pytest
import torch

from interpolants.data import load
from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.theory.data.quadratic_teacher import load_quadratic_teacher


def test_values_are_one_square():
    """A least-squares fit of all products of columns leaves nothing, and has rank one."""
    table = load_quadratic_teacher("all", dimension=4, rows=400).x
    x, y = table[:, :4], table[:, 4]
    i, j = torch.triu_indices(4, 4)
    weight = torch.linalg.lstsq(x[:, i] * x[:, j], y).solution
    square = torch.zeros(4, 4, dtype=torch.float64)
    square[i, j] = weight
    square = (square + square.T) / 2
    values = torch.linalg.eigvalsh(square)
    assert values[:3].abs().max() < 1e-10
    assert float(values[3]) == pytest.approx(2)  # |b|^2 / 2 with |b|^2 = 4


def test_moments_and_parts():
    whole = load_quadratic_teacher("all", rows=20_000).x
    assert float(whole[:, :30].var() * 30) == pytest.approx(1, abs=0.01)
    assert float(whole[:, 30].square().mean()) == pytest.approx(0.75, abs=0.05)
    train, test = (load_quadratic_teacher(part, rows=10).x for part in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert torch.equal(torch.cat([train, test]), load("quadratic_teacher", split="all", rows=10).x)
    assert not torch.equal(load_quadratic_teacher("all", rows=10, seed=1).x, torch.cat([train, test]))
    with pytest.raises(InvalidInputError, match="rows"):
        load_quadratic_teacher(rows=1)
