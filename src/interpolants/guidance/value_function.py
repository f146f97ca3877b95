"""Values of noisy states: the log mean exponential of a reward over the data points that a state can come from.

Notation: the path is ``x_t = alpha z + beta x1`` with z of a Gaussian base of mean m and covariance C; r is a reward in
nats. The value ``V(x) = log E[exp(r(x1)) | x_t = x]`` is what guidance by a reward needs: with ``eps`` the noise level
of the SDE, the drift ``2 eps grad V`` added to it samples ``p(x1) exp(r(x1))``. From M posterior draws

* ``exp`` of the estimate is unbiased; the estimate itself is low by about ``Var(e^r) / (2 M E[e^r]^2)``, which the
  jackknife removes;
* ``log p(x1 | x)`` depends on x by ``-|x - alpha m - beta x1|^2 / (2 alpha^2)`` in the norm of C, up to a number, thus
  ``grad V = (beta / alpha^2) C^-1 (E_r[x1] - E[x1])``, where E_r weights the draws by ``exp(r)``: no derivative of the
  reward or of the network.

Source: Holderrieth et al. (2026), arXiv:2509.25170, for values from posterior draws; the gradient by weights is ours.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interpolants.dynamics.posterior import sample_posterior
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.paths.from_gaussian import gaussian_path

_CALLER = "value"


class StateValue(NamedTuple):
    """Values of states, in nats, float64.

    Attributes:
        value: Log mean of ``exp(r)`` over the draws, ``(B,)``. Its ``exp`` is unbiased: use it for weights.
        error: Standard error of ``value``, ``(B,)``, to first order; not reliable above about 0.5.
        jackknife: ``value`` without its bias of first order, ``(B,)``: use it for display.
        ess: Effective share of the draws, ``(B,)``, from 1/M to 1.
        gradient: ``grad V``, ``(B, *D)`` in the type of the states, by the draws' weights.
    """

    value: Tensor
    error: Tensor
    jackknife: Tensor
    ess: Tensor
    gradient: Tensor


def value(
    fields: Fields,
    x: Tensor,
    t: float,
    *,
    reward: Callable[[Tensor], Tensor],
    draws: int = 16,
    seed: int = 0,
    **options: Any,
) -> StateValue:
    """Estimate ``log E[exp(r(x1)) | x_t = x]`` and its gradient, by posterior draws.

    ::

        v = value(bridge.fields, x, 0.4, reward=lambda x1: 2.0 * x1[:, 0], draws=64)
        v.value, v.error                                             # (B,), nats

    Args:
        fields: Fields of a model on a one-sided path from a Gaussian base, e.g. ``bridge.fields``.
        x: States ``(B, *D)`` at time t, in the model's units.
        t: Their time, in [0, 1).
        reward: ``r(x1)``, ``(n, *D) -> (n,)``, in nats, of data points in the model's units. It is not differentiated.
        draws: Number M of draws per state, >= 2.
        seed: Seed of the draws. Those of a row are the same whatever the batch.
        **options: Options of :func:`~interpolants.dynamics.sample_posterior`: ``n_steps``, ``cond`` ...

    Returns:
        Values with errors and gradients. ``r`` of the denoised state is another number: it ignores the distribution of
        x1 around its mean.

    Raises:
        InvalidInputError: If an argument breaks its rule, or the reward is not one finite number per row.
        NotIdentifiableError: If the denoised state does not follow from the learnt quantities.
        DivergedError: If a draw became NaN or infinite.
    """
    count = whole(_CALLER, "draws", draws, at_least=2, remedy="An error needs two draws.")
    path, base = gaussian_path(_CALLER, fields.path)
    x1 = sample_posterior(fields, x, t, draws=count, seed=seed, **options)
    r = _rewards(reward, x1.flatten(0, 1)).reshape(count, len(x))
    log_sum = r.logsumexp(0)
    weights = (r - log_sum).exp()
    squares = weights.square().sum(0)
    variance = (squares - 1 / count).clamp_min(0) * count / (count - 1)
    # Leave-one-out sums. For the largest weight it is a sum over the others: 1 - w loses all digits near w = 1.
    largest = r == r.amax(0)
    without = r.masked_fill(largest & (largest.cumsum(0) == 1), -torch.inf).logsumexp(0) - log_sum
    leave_out = torch.log1p(-weights).where(weights < 0.5, without)
    bias = (count - 1) * (leave_out.mean(0) - torch.log1p(torch.tensor(-1 / count, dtype=torch.float64)))
    time = torch.tensor(float(t), dtype=torch.float64)
    alpha, beta = float(path.alpha(time)), float(path.beta(time))
    shift = torch.einsum("mb,mb...->b...", weights - 1 / count, x1.double())
    gradient = beta / alpha**2 * base.inverse_root_transpose(base.whiten(shift + base.mean_like(shift)))
    log_mean = log_sum - torch.tensor(float(count), dtype=torch.float64).log()
    return StateValue(log_mean, variance.sqrt(), log_mean - bias, 1 / (count * squares), gradient.to(x))


def _rewards(reward: Callable[[Tensor], Tensor], x1: Tensor) -> Tensor:
    """Rewards of rows, ``(n,)`` float64 on the CPU or the device of the rows."""
    with torch.no_grad():
        r = reward(x1)
    if not isinstance(r, Tensor) or tuple(r.shape) != (len(x1),) or r.dtype.is_complex:
        received = tuple(r.shape) if isinstance(r, Tensor) else type(r).__name__
        raise invalid(
            _CALLER, f"reward must return a tensor of shape ({len(x1)},)", received, "One number per row."
        )
    if not bool(r.isfinite().all()):
        remedy = "Clip it, for example a log probability at -20."
        raise invalid(_CALLER, "reward must be finite", f"{int((~r.isfinite()).sum())} that are not", remedy)
    return r.to(x1.device).double()
