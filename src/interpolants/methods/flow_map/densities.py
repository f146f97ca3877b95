"""Log density of the samples of a flow map, by a change of variables along its jumps.

    log p(X(z)) = log rho_0(z) - sum over jumps log det dX_{s,t}

Each jump is inverted by Newton's method, and its Jacobian has one derivative of the network per entry of the state. A
learnt map need not be invertible: where no start is found, or the determinant is not positive, the density is unknown.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

# v(x, s, t) of the map, with times as numbers.
Velocity = Callable[[Tensor, float, float], Tensor]
_ITERATIONS = 30
# Residual of a start that counts as found, in roundings per unit of the state.
_ROUNDINGS = 100


def log_density(
    velocity: Velocity,
    x: Tensor,
    times: Sequence[float],
    log_base: Callable[[Tensor], Tensor],
    guess: Velocity,
) -> Tensor:
    """Log density at ``x`` of what the jumps make of the base, ``(B,)`` float64, nats; NaN where it is unknown.

    Args:
        velocity: Average velocity of the map.
        x: States ``(B, *D)`` at the last time, in the units of the map.
        times: Increasing times of the jumps.
        log_base: Log density of the starts.
        guess: First guess of the start at time s of a state at time t, ``guess(x, s, t)``.
    """
    total = torch.zeros(len(x), dtype=torch.float64)
    for s, t in reversed([*pairwise(times)]):
        x, log_det = _start_of(velocity, x, s, t, guess(x, s, t))
        total = total - log_det
    return total + log_base(x).double()


def _start_of(velocity: Velocity, end: Tensor, s: float, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """The start that jumps to ``end``, and the log determinant there; NaN where none is found."""
    bound = _ROUNDINGS * torch.finfo(x.dtype).eps * (1 + end.flatten(1).abs().amax(1))
    for _ in range(_ITERATIONS):
        image, jacobian = _jump_and_jacobian(velocity, x, s, t)
        residual = (image - end).flatten(1)
        if bool((residual.abs().amax(1) <= bound).all()):
            break
        step = torch.linalg.solve_ex(jacobian, residual.double()[..., None]).result[..., 0]
        x = x - step.nan_to_num(0.0, 0.0, 0.0).reshape(x.shape).to(x)
    sign, log_det = torch.linalg.slogdet(jacobian)
    invertible = (residual.abs().amax(1) <= bound) & (sign > 0)
    return x, torch.where(invertible, log_det, torch.nan)


def _jump_and_jacobian(velocity: Velocity, x: Tensor, s: float, t: float) -> tuple[Tensor, Tensor]:
    """``X_{s,t}(x)`` and its Jacobian ``(B, d, d)`` float64; rows do not see each other."""
    with torch.enable_grad():
        point = x.detach().requires_grad_(True)
        image = point + (t - s) * velocity(point, s, t)
        flat = image.flatten(1)
        rows = [
            torch.autograd.grad(flat[:, k].sum(), point, retain_graph=True)[0].flatten(1)
            for k in range(flat.shape[1])
        ]
    return image.detach(), torch.stack(rows, 1).double()
