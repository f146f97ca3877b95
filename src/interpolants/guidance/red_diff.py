"""RED-diff: restoration by optimisation, with the denoiser at all noise levels as regulariser.

Letters: mu the answer; ``x_t = beta mu + alpha L z`` its noisy versions, e and ``E[z|x_t]`` drawn and predicted noise,
``r = alpha/beta`` noise over signal; ``lambda`` the strength, w(r) its weight.

The posterior is approximated by a point mu: minimise ``|y - H(mu)|^2/2 + KL`` with the divergence between noisy
versions of mu and of the data, reweighted over time. Its gradient needs no derivative of the network:

    H'(mu)^T (H(mu) - y) + lambda E_{t, e}[ w(r) L^-T (E[z|x_t] - e) ].

With ``w(r) = r`` the second term is ``lambda E[C^-1 (mu - E[x1|x_t])]``: regularisation by denoising over all levels.

Both terms are sums over entries. The authors' code takes means: its lambda is ours times ``dim(x)/dim(y)``
(``from_means`` converts).

Two things are ours, and let a tenth of the steps do: a pair e and -e at every step, because what is lost with few steps
is lost to the noise of single draws; and averages of Adam that forget over a fixed share of the run, because with fixed
ones the momentum of a short run lags behind the noise level.

Source: Mardani, Song, Kautz & Vahdat (2023), arXiv:2305.04391; for any one-sided path, derived anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number, one_of, positive, whole
from interpolants.foundations.derivatives import value_and_gradient
from interpolants.foundations.errors import (
    DivergedError,
    InvalidInputError,
    NotIdentifiableError,
    invalid,
    nearest,
)
from interpolants.foundations.ops import sum_event, time_dtype
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.types import Condition
from interpolants.operators.measurement import Operator, as_operator, check_measurement
from interpolants.paths.from_gaussian import gaussian_path

WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda r: r,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "log": torch.log1p,
    "clipped": lambda r: r.clamp(max=1.0),
    "const": torch.ones_like,
    "power23": lambda r: r ** (2 / 3),
}
ORDERS = ("descending", "ascending", "random")


@dataclass(frozen=True)
class Restored:
    """Answers of :class:`REDDiff`.

    Attributes:
        x: ``(B, *D)``.
        misfit: ``(n_steps + 1, B)`` squared residual ``|y - H(mu)|^2`` before each step and at the end.
        times: ``(n_steps,)`` the time, i.e. noise level, of each step.
        nfe: Evaluations of the fields per answer.
    """

    x: Tensor
    misfit: Tensor
    times: Tensor
    nfe: int


class REDDiff:
    """A point that fits ``y = H(x)`` and that the prior's denoiser finds likely, for any differentiable H.

    ::

        REDDiff(fields, Mask(known)).restore(y, seed=0).x

    One answer near a mode, not samples of the posterior: other seeds give nearly the same.

    The paper's own algorithm is ``antithetic=False, betas=(0.9, 0.99)`` with 1000 steps.

    Args:
        fields: Mean noise or end point on a one-sided path with a Gaussian base, in the units that H measures.
        operator: H: an ``Operator``, a matrix, or any differentiable function.
        strength: lambda, >= 0; see above for its units.
        weight: w of ``r = alpha/beta``: ``"linear", "sqrt", "square", "log", "clipped", "const", "power23"``, or a
            function.
        noise: Standard deviation of the measurements' noise: the data term is divided by its square. 1 when left out,
            as in the paper, whose code leaves it out.
        n_steps: Number of steps, one noise level each; 100 are often enough.
        order: ``"descending"`` from high noise to low, ``"ascending"`` or ``"random"``.
        times: The noise levels, as times in (0, 1); even ones, without the ends, when left out.
        lr: Step of Adam, > 0.
        betas: Adam's averages, each in [0, 1); ``0.9, 0.99`` to the power of ``1000 / n_steps`` when left out, which
            forget over 1 and 10 % of the run.
        decay: Factor by which the step has fallen at the end, in (0, 1]; small steps help at low noise.
        antithetic: Take e and -e at every step, two evaluations: what is odd in e cancels, which is all of the noise
            where the denoiser is linear.

    Raises:
        InvalidInputError: If the path is another, a setting breaks its rule, or a weight is infinite.
        NotIdentifiableError: If the mean noise does not follow from the fields.

    Source: Mardani et al. (2023), arXiv:2305.04391.
    """

    def __init__(
        self,
        fields: Fields,
        operator: Operator | Tensor | Callable[[Tensor], Tensor],
        *,
        strength: float = 0.25,
        weight: str | Callable[[Tensor], Tensor] = "linear",
        noise: float | None = None,
        n_steps: int = 500,
        order: str = "descending",
        times: Any = None,
        lr: float = 0.1,
        betas: tuple[float, float] | None = None,
        decay: float = 1.0,
        antithetic: bool = True,
    ) -> None:
        who = "REDDiff"
        if not fields.provides("noise"):
            raise NotIdentifiableError(
                f"{who}: the fields must give the mean noise E[z|x_t]. Learn the noise."
            )
        number(who, "strength", strength, at_least=0)
        positive(who, "lr", lr)
        positive(who, "noise", 1.0 if noise is None else noise)
        number(who, "decay", decay, above=0, at_most=1)
        one_of(who, "order", order, ORDERS)
        if isinstance(weight, str) and weight not in WEIGHTS:
            rule = f"weight must be one of {', '.join(WEIGHTS)}, or a function"
            raise invalid(who, rule, repr(weight), nearest(weight, WEIGHTS))
        self.fields = fields
        self.path, self.base = gaussian_path(who, fields.path)
        self.operator, self.strength, self.order = as_operator(who, operator), float(strength), order
        self.precision = 1.0 if noise is None else 1 / noise**2
        self.lr, self.decay, self.antithetic = float(lr), float(decay), antithetic
        self.times = _times(who, n_steps, times)
        self.betas = _averages(who, len(self.times), betas)
        self.weights = self._weigh(who, WEIGHTS[weight] if isinstance(weight, str) else weight)

    def restore(
        self,
        y: Tensor,
        *,
        start: Tensor | None = None,
        event_shape: Any = None,
        cond: Condition = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Restored:
        """An answer for each measurement.

        Args:
            y: Measurements, ``(B, *M)``.
            start: Where to begin, ``(B, *D)``; the pseudo-inverse when left out, or zeros where there is none.
            event_shape: Shape of a state, where neither a start nor a pseudo-inverse tells it.
            cond: Condition of the fields, one row each.
            seed: Seed of the noise, which belongs to the index of a measurement.
            first_index: Index of the first row in a larger job.

        Raises:
            InvalidInputError: If measurements and operator do not fit, or there is neither start nor pseudo-inverse.
            DivergedError: If an answer left the finite numbers.
        """
        who, seed = "REDDiff.restore", whole("REDDiff.restore", "seed", seed)
        mu = (self._start(who, y, event_shape) if start is None else start).detach().clone()
        if event_shape is not None and mu.shape[1:] != (wanted := tuple(event_shape)):
            raise invalid(who, f"the start must have states of event_shape {wanted}", tuple(mu.shape[1:]))
        check_measurement(who, self.operator, mu, y)
        if len(mu) != len(y):
            raise invalid(who, f"start must have one row per measurement, {len(y)}", len(mu))
        noise = BlockNoise(
            seed,
            ("red-diff noise",),
            first=first_index,
            count=len(y),
            shape=mu.shape[1:],
            dtype=mu.dtype,
            device=mu.device,
        )
        optimiser = torch.optim.Adam([mu], lr=self.lr, betas=self.betas)
        steps, misfits = self._steps(seed), []
        with torch.no_grad():
            for n, k in enumerate(steps.tolist()):
                misfit, (slope,) = value_and_gradient(lambda point: self._misfit(point, y), mu)
                misfits.append(2 * misfit)
                mu.grad = self.precision * slope + self.pull(mu, k, noise.normal(), cond)
                for group in optimiser.param_groups:
                    group["lr"] = self.lr * self.decay ** (n / max(1, len(steps) - 1))
                optimiser.step()
            misfits.append(2 * self._misfit(mu, y))
        mu.grad = None
        if not bool(torch.isfinite(mu).all()):
            raise DivergedError(f"{who}: answers left the finite numbers. Take a smaller lr.")
        evaluations = len(steps) * (2 if self.antithetic else 1)
        return Restored(mu, torch.stack(misfits), torch.as_tensor(self.times)[steps], evaluations)

    def _start(self, who: str, y: Tensor, event_shape: Any) -> Tensor:
        try:
            shape = self.base.event_shape
        except InvalidInputError:  # a base of states of any shape
            shape = ()
        if shape and isinstance(y, Tensor):  # before a pseudo-inverse fails at another width
            check_measurement(who, self.operator, y.new_zeros(1, *shape), y)
        if self.operator.has_pinv or event_shape is None:
            return self.operator.pinv(y)
        return y.new_zeros(len(y), *event_shape)

    def pull(self, mu: Tensor, k: int, e: Tensor, cond: Condition = None) -> Tensor:
        """The regulariser's gradient at noise level k for one draw: ``lambda w L^-T (E[z|x_t] - e)``, ``(B, *D)``."""
        t = torch.tensor(self.times[k], dtype=time_dtype(mu), device=mu.device)
        gap = self._gap(mu, t, e, cond)
        if self.antithetic:
            gap = (gap + self._gap(mu, t, -e, cond)) / 2
        return (self.strength * self.weights[k]) * self.base.inverse_root_transpose(gap)

    def _gap(self, mu: Tensor, t: Tensor, e: Tensor, cond: Condition) -> Tensor:
        alpha, beta = self.path.alpha(t).to(mu.dtype), self.path.beta(t).to(mu.dtype)
        x = beta * mu + alpha * self.base.color(e)
        return self.fields.evaluate(x, t, ("noise",), cond)["noise"] - e

    def _misfit(self, mu: Tensor, y: Tensor) -> Tensor:
        return 0.5 * sum_event((y - self.operator(mu)).square())

    def _steps(self, seed: int) -> Tensor:
        """Noise levels by number, in the order of the steps."""
        count = len(self.times)
        if self.order == "random":
            return torch.randperm(count, generator=seeded(seed, "red-diff order"))
        up = torch.arange(count)
        return up if self.order == "descending" else up.flip(0)

    def _weigh(self, who: str, function: Callable[[Tensor], Tensor]) -> list[float]:
        t = torch.from_numpy(self.times)
        alpha, beta = self.path.alpha(t), self.path.beta(t)
        values = function(alpha / beta)
        bad = ~(torch.isfinite(values) & (values >= 0))
        if bool(bad.any()):
            k = int(bad.nonzero()[0])
            remedy = "Drop that time, or take weight='clipped'."
            found = (
                f"{float(values[k])} at t={float(t[k]):.4g} (alpha/beta = {float(alpha[k] / beta[k]):.4g})"
            )
            raise invalid(who, "weights must be finite and >= 0", found, remedy)
        numbers: list[float] = values.tolist()
        return numbers


def from_means(strength: float, state: Tensor, y: Tensor) -> float:
    """Our lambda for one of the authors' code, where both terms are means over entries: ``lambda dim(y)/dim(x)``.

    Args:
        strength: Their lambda.
        state: States, ``(B, *D)``.
        y: Measurements, ``(B, *M)``.
    """
    return strength * y[0].numel() / state[0].numel()


def _averages(who: str, n_steps: int, betas: tuple[float, float] | None) -> tuple[float, float]:
    """Adam's two averages; by themselves they remember the same share of a run of any length."""
    if betas is None:
        stretch = 1000 / n_steps
        return 0.9**stretch, 0.99**stretch
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise invalid(who, "betas must be two numbers in [0, 1)", betas)
    return betas


def _times(who: str, n_steps: int, times: Any) -> Any:
    """Increasing times strictly inside (0, 1): noise levels from high to low."""
    if times is None:
        whole(who, "n_steps", n_steps, at_least=1)
        return (np.arange(n_steps) + 0.5) / n_steps
    values = times.detach().cpu().numpy() if isinstance(times, Tensor) else times
    grid = np.asarray(values, dtype=np.float64)
    if (
        grid.ndim != 1
        or len(grid) < 1
        or not (np.isfinite(grid).all() and grid.min() >= 0 and grid.max() <= 1)
    ):
        raise invalid(who, "times must be a vector in [0, 1]", values, "They are times of the path.")
    if not (np.diff(grid) > 0).all():
        raise invalid(who, "times must increase", values, "The order of steps is set by order=.")
    return grid
