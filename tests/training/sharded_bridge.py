"""A bridge with minibatch optimal transport that two processes train with cut weights in bf16, and the first saves."""

import sys

import torch

from interpolants import Bridge
from interpolants.training.world import leads


def data():
    source = torch.Generator().manual_seed(0)
    x0 = torch.randn(1000, 2, generator=source)
    return x0, 0.3 * torch.randn(1000, 2, generator=source) + torch.tensor([2.0, 0.0])


def main(folder):
    bridge = Bridge(
        net={"kind": "mlp", "width": 48, "depth": 2},
        coupling="minibatch_ot",
        steps=60,
        batch_size=128,
        lr=5e-3,
        shares="whole",
        shard_above=1,
        precision="bf16",
    ).fit(*data())
    if leads():
        bridge.save(folder)


if __name__ == "__main__":
    main(sys.argv[1])
