"""Classes of rows by a bridge that was fitted with labels: the class under which the noise of a row is predicted best.

Letters: ``x_t = beta x1 + alpha L z`` states of a one-sided path, ``lambda = log(beta^2 / alpha^2)``, K classes c,
``z_c(x_t) = E[z | x_t, c]``.

For the exact fields of each class, ``log p(x | c) = C(x) - 1/2 int E_z |z - z_c(x_t)|^2 d lambda`` with C the same for
all classes: differences between classes are log likelihood ratios, and their softmax is the posterior for even prior
odds. The integral is a sum over levels of lambda, with noise that all classes share: with noise of their own,
differences drown.

Source: Li et al. (2023), arXiv:2303.16203, for the classifier; Kong et al. (2023), arXiv:2302.03792, for the identity.
"""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.paths.from_gaussian import gaussian_path

_WHO = "Bridge.classify"


def classes_of(bridge: FittedBridge) -> int:
    """Number of classes that a fitted bridge knows; 0 where its condition is not a label, or there is none."""
    cond = bridge.state["pool1"].cond
    is_label = isinstance(cond, Tensor) and not cond.is_floating_point() and cond.ndim == 1
    return int(cond.max()) + 1 if is_label else 0


def class_log_likelihoods(
    bridge: FittedBridge, x: Tensor, span: Any, levels: int, seed: int, first: int
) -> Tensor:
    """``-1/2 int E_z |z - z_c|^2 d lambda`` of rows in data units, ``(B, K)`` float64, in nats up to a constant by row.

    A class that no row of the fit had, such as 0 of the labels 1, 2, 3, has -inf.

    Args:
        bridge: A fitted bridge whose condition is a label.
        x: Rows ``(B, *D)``.
        span: Lowest and highest lambda.
        levels: Levels of lambda, at the middles of equal intervals; each has noise of its own.
        seed: Seed of the noise.
        first: Index of the first row in a larger job.
    """
    path, base = gaussian_path(_WHO, bridge.fields.path)
    whole(_WHO, "levels", levels, at_least=1)
    low, high = _span(span, path)
    states, count = bridge.frame.encode(x).float(), classes_of(bridge)
    absent = bridge.given["cond"].absent
    width = (high - low) / levels
    found = torch.zeros(len(x), count, dtype=torch.float64)
    found[:, list(absent)] = -torch.inf
    noise = BlockNoise.like(states, seed, "noise that classes explain", first=first)
    with torch.no_grad():
        for k in range(levels):
            z = noise.normal()
            t = path.time_at_log_snr(torch.tensor(low + (k + 0.5) * width, dtype=torch.float64)).to(states)
            noisy = path.alpha(t) * base.color(z) + path.beta(t) * states
            for c in (c for c in range(count) if c not in absent):
                told = torch.full((len(x),), c, device=states.device)
                error = bridge.fields.evaluate(noisy, t, ("noise",), told)["noise"] - z
                found[:, c] -= 0.5 * width * error.double().flatten(1).square().sum(1).cpu()
    return found


def _span(span: Any, path: Any) -> tuple[float, float]:
    """Lowest and highest lambda, within those that the path has."""
    low, high = (float(value) for value in span) if len(span) == 2 else (0.0, 0.0)
    if not -30 <= low < high <= 30:
        rule = "span must be the lowest and the highest log of signal over noise, between -30 and 30"
        raise invalid(_WHO, rule, span, "For example, use span=(-7.0, 7.0).")
    ends = path.log_snr(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    inside = max(low, ends[0]), min(high, ends[1])
    if not inside[0] < inside[1]:
        rule = f"span must overlap with that of the path, {ends[0]:.3g} to {ends[1]:.3g}"
        raise invalid(_WHO, rule, span)
    return inside
