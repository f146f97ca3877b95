"""Networks that answer something: new ones end in zeros, so that a test of their answers would see nothing."""

import torch


def stirred(net, scale=0.3, seed=3):
    """The network itself, every weight moved at random by about ``scale`` over the root of its inputs."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            inputs = weight[0].numel() if weight.ndim > 1 else 1
            moved = torch.randn(weight.shape, generator=source) * (scale / inputs**0.5)
            weight.add_(moved.to(weight))
    return net
