"""Neural tangent kernel of a network, how far it has moved, and how well it fits a target."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from interpolants.foundations.errors import invalid

# Most numbers of a batch of Jacobians.
_MOST = 2**26


def tangent_kernel(module: nn.Module, x: Tensor, y: Tensor | None = None) -> Tensor:
    """``K(x, y) = sum over weights of (d f(x) / d w) (d f(y) / d w)``, summed over the entries of the output.

    Args:
        module: A network ``f(x)`` whose rows do not depend on each other.
        x: Rows ``(A, *D)``.
        y: Rows ``(B, *D)``; ``x`` if None.

    Returns:
        ``(A, B)``.

    Raises:
        InvalidInputError: If the network has no weights that learn.

    Source: Jacot, Gabriel & Hongler (2018), arXiv:1806.07572.
    """
    weights = {name: w.detach() for name, w in module.named_parameters() if w.requires_grad}
    if not weights:
        raise invalid("tangent_kernel", "the network must have weights that learn", type(module).__name__)
    first = _jacobians(module, weights, x)
    second = first if y is None else _jacobians(module, weights, y)
    return torch.einsum("aop,bop->ab", first, second)


def _jacobians(module: nn.Module, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """``(B, outputs, weights)``."""
    rest = {n: w.detach() for n, w in module.named_parameters() if n not in weights} | dict(
        module.named_buffers()
    )

    def one(w: dict[str, Tensor], row: Tensor) -> Tensor:
        found: Tensor = functional_call(module, {**w, **rest}, (row[None],))
        return found.flatten()

    size = sum(w.numel() for w in weights.values())
    outputs = len(one(weights, x[0]))
    rows = max(1, _MOST // (size * outputs))
    parts = [vmap(jacrev(one), in_dims=(None, 0))(weights, part) for part in torch.split(x, rows)]
    return torch.cat([torch.cat([j.flatten(2) for j in part.values()], 2) for part in parts])


def kernel_alignment(kernel: Tensor, y: Tensor) -> float:
    """``y^T K y / (|K|_F |y|^2)`` for values ``(N,)`` or ``(N, C)``, at most 1: the share of the target in K."""
    values = y.reshape(len(y), -1).to(kernel.dtype)
    return float((values * (kernel @ values)).sum() / (kernel.norm() * values.square().sum()))


def kernel_drift(kernel: Tensor, before: Tensor) -> float:
    """``|K - K_0|_F / |K_0|_F``: 0 for lazy training."""
    return float((kernel - before).norm() / before.norm())
