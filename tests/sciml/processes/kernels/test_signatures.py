"""Signatures against increments, areas, straight lines, Chen's identity, and a plain loop over steps."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.kernels.signatures import signature, signature_size, with_time

F64 = torch.float64


def walk(count, length, channels, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, length, channels, dtype=F64, generator=g).cumsum(1)


def split(flat, channels, depth):
    """Levels as tensors with k axes."""
    parts = flat.split([channels**k for k in range(1, depth + 1)], 1)
    return [part.reshape(len(flat), *[channels] * k) for k, part in enumerate(parts, 1)]


def tensor_product(a, b, depth):
    """Product of two signatures with level 0 in front, level by level."""
    return [
        sum(torch.einsum("bi,bj->bij", a[j].flatten(1), b[k - j].flatten(1)).flatten(1) for j in range(k + 1))
        for k in range(depth + 1)
    ]


def test_levels_one_and_two_are_increment_and_area():
    x = walk(5, 9, 3)
    first, second = split(signature(x, 2), 3, 2)
    moved = x[:, -1] - x[:, 0]
    assert_close(first, moved)
    assert_close((second + second.mT) / 2, moved[:, :, None] * moved[:, None] / 2)
    p = x[..., :2] - x[:, :1, :2]
    polygon = (p[:, :-1, 0] * p[:, 1:, 1] - p[:, :-1, 1] * p[:, 1:, 0]).sum(1) / 2
    assert_close((second[:, 0, 1] - second[:, 1, 0]) / 2, polygon)


def test_a_straight_line_has_powers_over_factorials_and_points_on_it_change_nothing():
    d = torch.tensor([[0.5, -2.0]], dtype=F64)
    line = torch.stack([torch.zeros_like(d), d], 1)
    more = torch.stack([torch.zeros_like(d), 0.3 * d, 0.31 * d, d], 1)
    flat = signature(line, 4)
    assert_close(signature(more, 4), flat)
    third = split(flat, 2, 4)[2]
    assert_close(third, torch.einsum("bi,bj,bk->bijk", d, d, d) / 6)
    scaled = split(signature(line, 4, factorial=True), 2, 4)[3]
    assert_close(scaled, torch.einsum("bi,bj,bk,bl->bijkl", d, d, d, d))


def test_it_is_the_product_of_the_signatures_of_steps_one_after_another():
    x, depth = walk(2, 6, 2), 4
    one = [torch.ones(2, 1, dtype=F64), *(torch.zeros(2, 2**k, dtype=F64) for k in range(1, depth + 1))]
    for d in x.diff(dim=1).unbind(1):
        step = [torch.ones(2, 1, dtype=F64)]
        for k in range(1, depth + 1):
            step.append(torch.einsum("bi,bj->bij", step[-1], d).flatten(1) / k)
        one = tensor_product(one, step, depth)
    assert_close(signature(x, depth), torch.cat(one[1:], 1))
    assert signature(x, depth).shape[1] == signature_size(2, depth) == 30


def test_gradients_and_a_path_that_goes_back_is_none():
    x = walk(2, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: signature(x, 3), x)
    there_and_back = torch.cat([x, x.flip(1)[:, 1:]], 1).detach()
    assert_close(signature(there_and_back, 4), torch.zeros(2, 30, dtype=F64), rtol=0, atol=1e-12)


def test_time_tells_speed_and_the_base_point_where_it_began():
    slow = torch.tensor([[[0.0], [1.0], [1.0]]], dtype=F64)
    fast = torch.tensor([[[0.0], [0.0], [1.0]]], dtype=F64)
    assert_close(signature(slow, 3), signature(fast, 3))
    # int x dt: 1/2 + ... of ramps over halves of the time
    assert_close(split(signature(with_time(slow), 2), 2, 2)[1][0, 1, 0], torch.tensor(0.75, dtype=F64))
    assert_close(split(signature(with_time(fast), 2), 2, 2)[1][0, 1, 0], torch.tensor(0.25, dtype=F64))
    moved = signature(with_time(slow + 2), 1)[0]
    assert_close(moved, torch.tensor([1.0, 3.0], dtype=F64))
    assert_close(signature(with_time(slow + 2, start=False), 1)[0], torch.tensor([1.0, 1.0], dtype=F64))


def test_what_has_no_signature_is_refused():
    x = walk(2, 5, 4)
    with pytest.raises(InvalidInputError, match="at most 131072 numbers, got 4 channels to depth 9: 349524"):
        signature(x, 9)
    with pytest.raises(InvalidInputError, match=r"T >= 2, got torch.float64 \(2, 1, 4\)"):
        signature(x[:, :1], 2)
    with pytest.raises(InvalidInputError, match="depth must be"):
        signature(x, 0)
    x[0, 2] = math.nan
    with pytest.raises(InvalidInputError, match="Fill gaps first"):
        signature(x, 2)
