"""Affinity of times as tasks: the cosine of their gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator


@dataclass(frozen=True)
class TaskAffinity:
    """Affinity of gradients at several times.

    Attributes:
        times: ``(n,)``.
        cosines: ``(n, n)``; random projections add noise of about ``1 / sqrt(projected)``.
        lengths: Lengths of the gradients, ``(n,)``.
    """

    times: Tensor
    cosines: Tensor
    lengths: Tensor


def task_affinity(
    net: nn.Module,
    loss_at: Callable[[float], Tensor],
    times: Tensor,
    *,
    projected: int | None = 4096,
    seed: int = 0,
) -> TaskAffinity:
    """Cosines of the gradients of a loss at several times.

    Args:
        net: The network, whose trained parameters are differentiated for.
        loss_at: The mean loss at a time, over the same samples at each call and many of them.
        times: ``(n,)``, n >= 2.
        projected: Gradients are projected at random on so many numbers, by a sparse sketch; None keeps them whole.
        seed: Seed of the projection.

    Raises:
        InvalidInputError: If there are fewer than two times, or a gradient is zero or not finite.

    Source: Go et al. (2023), arXiv:2306.00354, section 3.
    """
    if len(times) < 2:
        raise invalid("task_affinity", "times must have at least two entries", len(times))
    trained = [p for p in net.parameters() if p.requires_grad]
    size = sum(p.numel() for p in trained)
    sketch = None if projected is None or projected >= size else _sketch(size, projected, seed)
    rows = []
    for t in times.tolist():
        found = torch.autograd.grad(loss_at(t), trained, allow_unused=True)
        parts = [
            (torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, trained, strict=True)
        ]
        flat = torch.cat(parts).double()
        rows.append(
            flat
            if sketch is None
            else flat.new_zeros(projected or 1).index_add(0, sketch[0], flat * sketch[1])
        )
    gradients = torch.stack(rows)
    lengths = gradients.norm(dim=1)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise invalid("task_affinity", "gradients must be finite and not zero", lengths.tolist())
    unit = gradients / lengths[:, None]
    return TaskAffinity(times, (unit @ unit.T).clamp(-1, 1), lengths)


def _sketch(size: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A place and a sign for every parameter: sums of such keep products of vectors on average."""
    whole("task_affinity", "projected", count, at_least=1)
    source = generator(seed, "gradient sketch")
    places = torch.randint(count, (size,), generator=source)
    return places, 2.0 * torch.randint(2, (size,), generator=source).double() - 1.0
