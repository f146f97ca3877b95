"""The perceptron in the form of a U-Net against its formula on the bare weights."""

import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.nets import MLPUNet


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_widths_go_down_and_up_again_beside_copies_of_the_way_down():
    net = MLPUNet((2, 2), widths=(7, 5, 3)).double()
    for k, parameter in enumerate(net.parameters()):
        parameter.data += 0.3 * rand(*parameter.shape, seed=k)
    x, t = rand(4, 2, 2), torch.tensor([0.1, 0.3, 0.6, 0.9], dtype=torch.float64)
    told = functional.silu(net.embedding.output(functional.silu(net.embedding.input(net.embedding.time(t)))))

    def layer(part, h):
        h = part.linear(h)
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        scale, shift = part.film(told).chunk(2, 1)
        return functional.silu((h * part.norm.weight + part.norm.bias) * (1 + scale) + shift)

    first = layer(net.downs[0], x.flatten(1))
    second = layer(net.downs[1], first)
    third = layer(net.downs[2], second)
    h = layer(net.middle, third)
    for part, beside in zip(net.ups, (third, second, first), strict=True):
        h = layer(part, torch.cat([h, beside], 1))
    assert_close(net(x, t), net.output(h).reshape(4, 2, 2))
