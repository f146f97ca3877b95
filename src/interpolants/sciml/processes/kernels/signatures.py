"""Signatures of paths: iterated integrals, which tell the path up to its speed and its start.

Letters: ``c`` channels, ``m`` depth; level k has ``c^k`` numbers, ``int dx_i1 ... dx_ik`` over ordered times, the
last index fastest. ``d (B, T - 1, c)`` increments of a path that is linear between its times.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, whole
from interpolants.foundations.errors import invalid

# Most numbers of one signature.
MOST = 2**17


def signature_size(channels: int, depth: int) -> int:
    """Numbers of a signature without level 0: ``c + c^2 + ... + c^m``."""
    return sum(channels**k for k in range(1, depth + 1))


def signature(path: Tensor, depth: int, *, factorial: bool = False) -> Tensor:
    """Signatures of piecewise linear paths, ``(B, c + c^2 + ... + c^m)``, differentiable in the paths.

    Levels follow from lower ones for all times at once: that of level k up to a time is the sum over earlier steps of
    ``S_(k-j) d^j / j!``, j = 1 .. k (Chen's identity), so nothing is a loop over time.

    Args:
        path: ``(B, T, c)``, T >= 2.
        depth: m.
        factorial: Multiply level k by ``k!``, without which the levels of a path of unit length shrink as ``1 / k!``:
            a distance between signatures then sees little but the first ones. Scale paths to unit size before.

    Raises:
        InvalidInputError: If paths have less than two times or values that are not finite, the depth is none, or a
            signature would have more than 131,072 numbers.

    Source: Chen (1958), Transactions of the American Mathematical Society 89, 395-407.
    """
    who = "signature"
    whole(who, "depth", depth, at_least=1)
    if path.ndim != 3 or path.shape[1] < 2 or not path.is_floating_point():
        rule = "paths must be floating point (B, T, c) with T >= 2"
        raise invalid(who, rule, f"{path.dtype} {tuple(path.shape)}")
    finite(who, "path", path, "Fill gaps first, e.g. linearly.")
    channels = path.shape[2]
    if (size := signature_size(channels, depth)) > MOST:
        found = f"{channels} channels to depth {depth}: {size}"
        raise invalid(who, f"a signature must have at most {MOST} numbers", found, "Use a lower depth.")
    levels = _levels(path.diff(dim=1), depth)
    sizes = [math.factorial(k + 1) if factorial else 1 for k in range(depth)]
    return torch.cat([size * level for size, level in zip(sizes, levels, strict=True)], 1)


def with_time(path: Tensor, *, start: bool = True) -> Tensor:
    """Paths with a first channel that runs from 0 to 1, ``(B, T, 1 + c)``, and with a step from 0 to their start.

    Time makes a signature tell how fast a path was; the step makes it tell where the path began.

    Args:
        path: ``(B, T, c)``.
        start: Put a point 0 before the first, at time 0.
    """
    times = torch.linspace(0, 1, path.shape[1], dtype=path.dtype, device=path.device)
    timed = torch.cat([times[None, :, None].expand(len(path), -1, 1), path], 2)
    return torch.cat([torch.zeros_like(timed[:, :1]), timed], 1) if start else timed


def _levels(d: Tensor, depth: int) -> list[Tensor]:
    """Levels 1 .. m at the end of the paths, ``(B, c^k)`` each."""
    powers = [torch.ones_like(d[..., :1]), d]  # d^j / j!
    for j in range(2, depth + 1):
        powers.append(_outer(powers[-1], d) / j)
    before, ends = [powers[0]], []  # levels up to the start of each step
    for k in range(1, depth + 1):
        pairs = [(before[k - j], powers[j]) for j in range(1, k + 1)]
        ends.append(torch.stack([torch.einsum("bti,btj->bij", s, p).flatten(1) for s, p in pairs]).sum(0))
        if k < depth:
            steps = torch.stack([_outer(s, p) for s, p in pairs]).sum(0)
            before.append(torch.nn.functional.pad(steps.cumsum(1)[:, :-1], (0, 0, 1, 0)))
    return ends


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Tensor products of the last axes, ``(B, T, I), (B, T, J) -> (B, T, I J)``."""
    return (a[..., :, None] * b[..., None, :]).flatten(-2)
