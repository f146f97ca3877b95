"""The transformer over patches against plain matrix products, with and without the long skips."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.nets import ImageTransformer


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def norm(h):
    return (h - h.mean(-1, keepdim=True)) / (h.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


def attention(block, h):
    """Of one image, head by head."""
    q, k, v = block.ask(h).chunk(3, -1)
    size, heads = h.shape[-1] // 2, []
    for part in (slice(0, size), slice(size, None)):
        weights = torch.softmax(q[:, part] @ k[:, part].T / size**0.5, -1)
        heads.append(weights @ v[:, part])
    return block.mix(torch.cat(heads, -1))


def by_hand(net, x, t):
    """The answer for one image ``(2, 4, 6)`` in patches of 2 x 2."""
    patches = [x[:, r : r + 2, c : c + 2].flatten() for r in (0, 2) for c in (0, 2, 4)]
    told = functional.silu(net.embedding.input(net.embedding.time(t)))
    told = functional.silu(net.embedding.output(told))
    h, waiting, half = net.input(torch.stack(patches)) + net.positions.table, [], len(net.blocks) // 2
    for index, block in enumerate(net.blocks):
        if net.long_skips and index >= len(net.blocks) - half:
            h = block.join(torch.cat([h, waiting.pop()], -1))
        scale_mix, shift_mix, scale_wide, shift_wide = block.film(told).chunk(4)
        h = h + attention(block, norm(h) * (1 + scale_mix) + shift_mix)
        h = h + block.narrow(functional.gelu(block.wide(norm(h) * (1 + scale_wide) + shift_wide)))
        if index < half:
            waiting.append(h)
    values, out = net.output(norm(h)).reshape(6, 2, 2, 2), torch.zeros_like(x)
    for patch, (r, c) in zip(values, [(r, c) for r in (0, 2) for c in (0, 2, 4)], strict=True):
        out[:, r : r + 2, c : c + 2] = patch
    return out


@pytest.mark.parametrize("long_skips", [False, True])
def test_the_forward_is_what_plain_products_give(long_skips):
    net = ImageTransformer((2, 4, 6), width=8, depth=5, attention_heads=2, long_skips=long_skips).double()
    for k, (name, parameter) in enumerate(net.named_parameters()):
        if "norm" not in name:
            parameter.data += 0.3 * rand(*parameter.shape, seed=k)
    x, t = rand(3, 2, 4, 6), torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    with torch.no_grad():
        assert_close(
            net(x, t), torch.stack([by_hand(net, one, time) for one, time in zip(x, t, strict=True)])
        )
