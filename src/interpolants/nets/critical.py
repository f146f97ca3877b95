"""Draw the weights of layers anew, at the point where signals and gradients keep their size through any depth."""

from typing import Any

import torch
from torch import nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.kernels.criticality import CriticalPoint, critical_point


def critical_(module: nn.Module, activation: Any, *, seed: int = 0) -> CriticalPoint:
    """Draw weights and biases of all linear layers in a module from the critical Gaussian, in place.

    Pass the hidden layers only; an output layer that starts at zero must not be included::

        net = nets.MLP(2, depth=30, activation="tanh")
        nets.critical_(net.hidden, "tanh")

    Args:
        module: The layers; what is not ``nn.Linear`` is left alone.
        activation: That of the layers, as for :func:`interpolants.kernels.critical_point`.
        seed: Seed of the draws, which are made on the CPU in the order of ``module.modules()``.

    Returns:
        The point: what the variances are, and what becomes of the signal.

    Raises:
        InvalidInputError: If there is no linear layer, or the activation has no critical point.

    Source: Roberts, Yaida & Hanin (2022), arXiv:2106.10165, chapter 5.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise invalid("critical_", "the module must have linear layers", type(module).__name__)
    point, source = critical_point(activation), generator(seed, "critical weights")
    with torch.no_grad():
        for layer in layers:
            weight = torch.empty(layer.weight.shape, dtype=torch.float32, device="cpu")
            std = (point.weight_variance / layer.in_features) ** 0.5
            layer.weight.copy_(weight.normal_(0, std, generator=source))
            if layer.bias is not None:
                bias = torch.empty(layer.bias.shape, dtype=torch.float32, device="cpu")
                layer.bias.copy_(bias.normal_(0, point.bias_variance**0.5, generator=source))
    return point
