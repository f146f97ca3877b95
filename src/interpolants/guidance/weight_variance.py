"""Variance of the weights that the score's transport gives near a Gaussian base, in closed form.

While the noise hides the data every expert is the base, ``q = N(0, alpha^2)``, and with ``z = x/alpha`` and
``s = log(beta/alpha)`` the transport ``"score"`` at ``eps = kappa g^2/2`` is the same linear equation on every path,

    dz = (1 - B (1 + kappa)) z ds + sqrt(2 kappa) dW,    d log w = B (B - 1) |z|^2 ds,

for the target ``pi = N(0, 1/B)``. The expected weight that is still to come, seen from z, is ``h = exp(y |z|^2)``, up
to a constant, with ``y' = 4 kappa y^2 - 2 (B (1 + kappa) - 1) y + B (B - 1)``, y = 0 where the data appear. Resampling
does not help against the spread of h: its share in the relative variance of a population is, for each entry of z,

    E_pi h^2 / (E_pi h)^2 = ((1 - 2 y/B)^2 / (1 - 4 y/B))^(1/2),   infinite from y = B/4 on.

In the limit of a long way y tends to ``(a - |B (1 - kappa) - 1|) / (4 kappa)``, ``a = B (1 + kappa) - 1``. So the
variance is infinite for B > 1 unless ``kappa > 2 (B - 1)/B``; at kappa = 0 it is for every B > 1.

Source: ours; the Riccati equation is that of Cameron & Martin for exponentials of a quadratic functional.
"""

import math

import torch

from interpolants.dynamics.noise import NoiseLevel
from interpolants.paths.path import SpatiallyLinearPath

_STEPS = 4000


def weight_spread(path: SpatiallyLinearPath, level: NoiseLevel | None, total: float, start: float) -> float:
    """``E h^2 / (E h)^2`` per entry at the first time, for data as wide as the base; infinity where there is none.

    Args:
        path: A one-sided path with a centred Gaussian base, as wide as the data.
        level: The noise level, None for a weighted ODE.
        total: Sum B of the exponents.
        start: First time, with beta > 0.
    """
    shown = float(path.time_at_log_snr(torch.zeros((), dtype=torch.float64)))
    if shown <= start:
        return 1.0
    # Even in log t at the start and in t at the end.
    u = torch.linspace(math.log(max(start, 1e-12)), math.log(shown), _STEPS + 1, dtype=torch.float64)
    times = u.exp().clamp(start, shown)
    steps = (path.log_snr(times) / 2).diff().tolist()
    middle = (times[1:] + times[:-1]) / 2
    eps = torch.zeros_like(middle) if level is None else level.values(middle, path)
    kappas = (2 * eps / path.g_squared(middle)).tolist()
    y = 0.0
    for step, kappa in zip(reversed(steps), reversed(kappas), strict=True):
        y += step * (4 * kappa * y * y - 2 * (total * (1 + kappa) - 1) * y + total * (total - 1))
        if 4 * y >= total:
            return math.inf
    return math.sqrt((1 - 2 * y / total) ** 2 / (1 - 4 * y / total))
