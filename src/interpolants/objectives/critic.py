"""Critic of a Wasserstein distance: a scalar function whose slope is held at 1 by a penalty.

``W1(p, q) = sup_{|phi|_Lip <= 1} E_p phi - E_q phi``. A network phi is trained for it; the penalty
``weight E (|grad phi(x)| - 1)^2`` is taken at points between draws of p and q, where the optimal phi has slope 1.
Distances compare only at one width of the state, one critic and one weight.

Source: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), arXiv:1704.00028.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid

# States (B, *D) -> values (B,) or (B, 1).
Critic = Callable[[Tensor], Tensor]


def gradient_penalty(critic: Critic, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
    """``E (|grad phi(e x + (1 - e) y)| - 1)^2`` with e uniform in (0, 1) for each pair of rows, a scalar.

    Args:
        critic: The function.
        x: ``(B, *D)``.
        y: ``(B, *D)``, as many rows.
        generator: Source of e, on the CPU.

    Raises:
        InvalidInputError: If the shapes differ.
    """
    if x.shape != y.shape:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise invalid("gradient_penalty", "x and y must have one shape", shapes)
    with torch.enable_grad():
        share = torch.rand(len(x), *(1,) * (x.ndim - 1), dtype=x.dtype, generator=generator).to(x.device)
        between = torch.lerp(y.detach(), x.detach(), share).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # A small number under the root: its own slope is infinite where the critic is flat.
    norm = (slope.flatten(1).square().sum(1) + 1e-24).sqrt()
    return (norm - 1).square().mean()


def critic_loss(
    critic: Critic, x: Tensor, y: Tensor, generator: Generator, *, weight: float = 10.0
) -> Tensor:
    """What a critic minimises: ``-(E phi(x) - E phi(y)) + weight * gradient_penalty``, a scalar."""
    gap = critic(x).mean() - critic(y).mean()
    return weight * gradient_penalty(critic, x, y, generator) - gap


def fit_critic(
    critic: nn.Module,
    draw: Callable[[Generator], tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    steps: int,
    generator: Generator,
    *,
    weight: float = 10.0,
    stop: float = 0.0,
) -> float:
    """Train a critic on fresh draws of both distributions, in place; the estimate of W1 from the last of them.

    Args:
        critic: The network.
        draw: Gives a batch of each distribution; drawn anew in every step, as a critic soon knows a fixed one by heart.
        optimizer: Of the critic's parameters.
        steps: Most steps, at least 1.
        generator: Source of all randomness.
        weight: Weight of the penalty, >= 0.
        stop: Norm of the gradient of the parameters below which training ends.

    Raises:
        InvalidInputError: If a number is out of range.
    """
    whole("fit_critic", "steps", steps, at_least=1)
    number("fit_critic", "weight", weight, at_least=0)
    for _ in range(steps):
        x, y = draw(generator)
        optimizer.zero_grad()
        critic_loss(critic, x.detach(), y.detach(), generator, weight=weight).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        slopes = [p.grad.square().sum() for p in critic.parameters() if p.grad is not None]
        if float(torch.stack(slopes).sum().sqrt()) < stop:
            break
    with torch.no_grad():
        return float((critic(x).mean() - critic(y).mean()).abs())
