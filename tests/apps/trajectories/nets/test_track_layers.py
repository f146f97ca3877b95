"""Layers for moving points against plain loops over nodes, frames and channels."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.apps.trajectories.nets.track_layers import (
    HandedLayer,
    PairLayer,
    TimeLayer,
    _difference_code,
)
from interpolants.nets.net import materialise

WIDTH, CHANNELS, DIM = 6, 2, 3


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def filled(layer):
    """A layer with weights and biases away from their start."""
    materialise(layer, 0)
    layer.double()
    for k, parameter in enumerate(layer.parameters()):
        parameter.data += 0.3 * rand(*parameter.shape, seed=k)
    return layer.requires_grad_(False)


def test_a_node_hears_the_mean_of_its_neighbours():
    layer, h, x = (
        filled(PairLayer(WIDTH, CHANNELS)),
        rand(1, 1, 4, WIDTH),
        rand(1, 1, 4, CHANNELS, DIM, seed=1),
    )
    pairs = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    change, moved = layer(h, x, pairs[None, None])
    seen, x = layer.norm(h)[0, 0], x[0, 0]
    for i in range(4):
        heard, push = torch.zeros(WIDTH, dtype=torch.float64), torch.zeros(CHANNELS, DIM, dtype=torch.float64)
        neighbours = pairs[i].nonzero().flatten().tolist()
        for j in neighbours:
            length = [float((x[i, k] - x[j, k]).norm()) for k in range(CHANNELS)]
            distances = [math.log(r**2 + 0.01) for r in length] + [1 / (1 + r) for r in length]
            told = (
                layer.own(seen[i]) + layer.other(seen[j]) + layer.distance(torch.tensor(distances).double())
            )
            message = functional.silu(told)
            heard += message
            phi = layer.push(message).reshape(CHANNELS, CHANNELS)
            for k in range(CHANNELS):
                for c in range(CHANNELS):
                    push[k] += phi[k, c] * (x[i, c] - x[j, c]) / (1 + length[c]) / len(neighbours)
        told = layer.out(functional.silu(layer.update(torch.cat([seen[i], heard]))))
        assert_close(change[0, 0, i], told if neighbours else torch.zeros_like(told))
        assert_close(moved[0, 0, i], push)


def test_a_node_attends_to_its_frames_by_their_distance_in_time():
    layer, frames = filled(TimeLayer(WIDTH, CHANNELS, rank=2, codes=4)), 4
    h, x = rand(1, frames, 1, WIDTH), rand(1, frames, 1, CHANNELS, DIM, seed=1)
    seen, times = torch.tensor([True, True, False, True])[None, :, None], torch.tensor([0, 1, 3, 7])
    change, moved = layer(h, x, seen, times)
    z, x, code = layer.norm(h)[0, :, 0], x[0, :, 0], _difference_code(times.double(), 4)
    there = [0, 1, 3]
    for t in range(frames):
        keys = torch.stack([layer.key(z[s]) + layer.key_time(code[t, s]) for s in there])
        attention = torch.softmax(keys @ layer.query(z[t]) / math.sqrt(WIDTH), 0)
        told, push = torch.zeros(WIDTH, dtype=torch.float64), torch.zeros(CHANNELS, DIM, dtype=torch.float64)
        for a, s in zip(attention, there, strict=True):
            told += a * (layer.value(z[s]) + layer.value_time(code[t, s]))
            gates = (layer.gate(z[s]) + layer.gate_own(z[t])).reshape(CHANNELS, CHANNELS, 2)
            push += a * (gates @ layer.gate_time(code[t, s])) @ (x[t] - x[s])
        assert_close(change[0, t, 0], layer.out(told))
        assert_close(moved[0, t, 0], push)


def test_the_code_of_a_difference_has_odd_and_even_halves_and_tells_differences_apart():
    times = torch.tensor([0.0, 1.0, 2.5], dtype=torch.float64)
    code = _difference_code(times, 6)
    assert_close(code[..., :3], -code[..., :3].transpose(0, 1))
    assert_close(code[..., 3:], code[..., 3:].transpose(0, 1))
    assert_close(code[..., :3].square() + code[..., 3:].square(), torch.ones(3, 3, 3, dtype=torch.float64))
    assert_close(_difference_code(times + 9, 6), code)
    assert not torch.allclose(code[0, 1], code[0, 2])


@pytest.mark.parametrize("dim", [2, 3])
def test_a_handed_change_is_a_quarter_turn_in_the_plane_and_a_cross_product_in_space(dim):
    layer, h = filled(HandedLayer(WIDTH, CHANNELS)), rand(1, 1, 1, WIDTH)
    within, over_time = rand(1, 1, 1, CHANNELS, dim, seed=1), rand(1, 1, 1, CHANNELS, dim, seed=2)
    found = layer(h, within, over_time)[0, 0, 0]
    a, b = layer.weight(h)[0, 0, 0].reshape(2, CHANNELS)
    for k in range(CHANNELS):
        u, v = within[0, 0, 0, k], over_time[0, 0, 0, k]
        if dim == 2:
            turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
            expected = a[k] * turn @ u + b[k] * turn @ v
        else:
            product = torch.stack(
                [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
            )
            expected = a[k] * product / (1 + product.norm())
        assert_close(found[k], expected)
