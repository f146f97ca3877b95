"""Hamiltonian Monte Carlo with a warm-up that adapts the step and a diagonal mass matrix.

Notation: ``w`` position, ``p`` momentum, ``U`` minus the log density, ``V`` diagonal of the inverse mass matrix, an
estimate of the posterior variances.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import finite, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.tell import FitWarning, tell
from interpolants.sciml.bayes.mcmc.convergence import MOST_R_HAT, effective_sample_size, split_r_hat

State = dict[str, Any]
Potential = Callable[[Tensor], tuple[Tensor, Tensor]]
# Dual averaging: shrinkage towards ten times the first step, weight of the first proposals, decay of the average.
_GAMMA, _T0, _KAPPA = 0.05, 10, 0.75
# Warm-up of Stan: proposals without a metric, of the first window, and after the last window.
_INITIAL, _WINDOW, _FINAL = 75, 25, 50
_SHORTEST = 20  # warm-up with a window
_PRIOR_DRAWS, _PRIOR_VARIANCE = 5, 1e-3  # of Stan's regularisation


@dataclass(frozen=True)
class Chains:
    """Draws of several chains after the warm-up.

    Attributes:
        draws: ``(chains, draws, P)``.
        acceptance: Mean acceptance probability of each chain, ``(chains,)``.
        step: Leapfrog step of each chain, ``(chains,)``.
        scales: Square root of the diagonal of the inverse mass matrix, ``(chains, P)``.
    """

    draws: Tensor
    acceptance: Tensor
    step: Tensor
    scales: Tensor

    @property
    def r_hat(self) -> Tensor:
        """Split R-hat of each coordinate, ``(P,)``."""
        return split_r_hat(self.draws)

    @property
    def effective_samples(self) -> Tensor:
        """Effective sample size of each coordinate, ``(P,)``."""
        return effective_sample_size(self.draws)


@dataclass(frozen=True, kw_only=True)
class HMC(Checked):
    """Chains with proposals by leapfrog steps of Hamilton's equations, accepted by the error of the energy.

    The warm-up adapts the step of each chain by dual averaging, and the inverse mass matrix to the variances of the
    draws in windows that double. Both are fixed afterwards. The number of leapfrog steps of a proposal is uniform on
    ``leaps / 2 ... leaps``, to avoid periodic orbits.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Neal (2011), arXiv:1206.1901; dual averaging: Hoffman & Gelman (2014), arXiv:1111.4246, section 3.2; windows
    and regularisation: Stan Reference Manual, "HMC algorithm parameters".
    """

    step: Positive = 0.1
    """First leapfrog step."""
    leaps: Count = 20
    """Largest number of leapfrog steps of a proposal."""
    target: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Mean acceptance probability at which the warm-up aims."""
    metric: Literal["shared", "per_chain", "identity"] = "shared"
    """Inverse mass matrix: variances of each chain, these averaged over the chains, or the identity."""

    def sample(
        self, w: Tensor, potential: Potential, generator: Generator, *, warm_up: int = 1000, draws: int = 1000
    ) -> Chains:
        """Run the warm-up, and draw from the density ``exp(-U)``.

        Args:
            w: First positions, ``(chains, P)``.
            potential: Function of ``(chains, P)`` that returns U, ``(chains,)``, and its gradient, ``(chains, P)``.
            generator: Source of all randomness, on the CPU.
            warm_up: Number of proposals of the warm-up; 0 keeps `step` and the identity.
            draws: Number of draws of each chain, at least 4.

        Raises:
            InvalidInputError: If a number is out of range, or U or its gradient is not finite at ``w``.

        Warns:
            FitWarning: If the largest split R-hat is above 1.1.
        """
        whole("HMC.sample", "draws", draws, at_least=4)
        state = self.start(w, potential, warm_up=warm_up)
        positions, chances = [], []
        for k in range(warm_up + draws):
            state = self.advance(state, potential, generator)
            if k >= warm_up:
                positions.append(state["w"])
                chances.append(state["chance"])
        scales = state["inverse_mass"].sqrt()
        chains = Chains(
            torch.stack(positions, 1), torch.stack(chances).mean(0), state["log_mean_step"].exp(), scales
        )
        worst = float(chains.r_hat.nan_to_num(math.inf).max())
        if not worst <= MOST_R_HAT:
            message = f"HMC.sample: the largest R-hat is {worst:.3g}, above {MOST_R_HAT}. The chains did not converge, "
            message += "and their moments may be wrong. Increase `warm_up`, `draws` or `leaps`."
            tell(FitWarning, message)
        return chains

    def start(self, w: Tensor, potential: Potential, *, warm_up: int = 0) -> State:
        """Return the state of chains at ``w (chains, P)``.

        Args:
            w: As in :meth:`sample`.
            potential: As in :meth:`sample`.
            warm_up: Number of proposals that adapt the step and the mass matrix; 0 for a step that :meth:`advance`
                adapts on request, with the identity.

        Raises:
            InvalidInputError: If ``warm_up`` is negative, or U or its gradient is not finite at ``w``.
        """
        whole("HMC", "warm_up", warm_up, at_least=0)
        value, slope = potential(w)
        for name, x in (("potential(w)", value), ("the gradient at w", slope)):
            finite("HMC", name, x, "Start from other positions.")
        log_step = torch.full_like(value, math.log(self.step))
        return {
            "w": w,
            "value": value,
            "slope": slope,
            "accepted": 0.0,
            "chance": torch.zeros_like(value),
            "proposals": 0,
            "warm_up": warm_up,
            **_restarted(log_step),
            **_emptied(w),
            "inverse_mass": torch.ones_like(w),
        }

    def advance(
        self, state: Mapping[str, Any], potential: Potential, generator: Generator, *, adapt: bool = False
    ) -> State:
        """Return the state after one proposal of every chain.

        Args:
            state: State from :meth:`start` or this method.
            potential: As in :meth:`sample`.
            generator: Source of all randomness, on the CPU.
            adapt: Whether to adapt the step, for a state without ``warm_up``. A state with ``warm_up`` adapts for
                that number of proposals.

        Raises:
            InvalidInputError: If ``adapt`` is true after the ``warm_up`` of the state: draws of chains that adapt do
                not have the density.
        """
        w, v, proposals, warm_up = state["w"], state["inverse_mass"], state["proposals"], state["warm_up"]
        if adapt and proposals >= warm_up > 0:
            rule = f"adapt must be false after the {warm_up} proposals of the warm-up"
            raise invalid("HMC.advance", rule, True, "Pass a larger `warm_up` to `start`.")
        learning = adapt or proposals < warm_up
        momentum = torch.randn(w.shape, dtype=w.dtype, generator=generator).to(w.device) / v.sqrt()
        leaps = int(torch.randint((self.leaps + 1) // 2, self.leaps + 1, (), generator=generator))
        step = state["log_step" if learning else "log_mean_step"].exp()[:, None]
        new, end, value, slope = _leapfrog(state, momentum, step, leaps, potential)
        before = state["value"] + 0.5 * (v * momentum.square()).sum(1)
        after = value + 0.5 * (v * end.square()).sum(1)
        chance = (before - after).clamp_max(0).exp().nan_to_num(0.0)  # an infinite energy is refused
        taken = torch.rand(chance.shape, dtype=chance.dtype, generator=generator).to(chance.device) < chance
        result = {
            **state,
            "w": torch.where(taken[:, None], new, w),
            "value": torch.where(taken, value, state["value"]),
            "slope": torch.where(taken[:, None], slope, state["slope"]),
            "proposals": proposals + 1,
            "chance": chance,
            "accepted": float(chance.mean()),
        }
        return self._adapted(result) if learning else result

    def _adapted(self, state: State) -> State:
        """The state with its step adapted to the last acceptance, and the metric where a window ends."""
        state = {**state, **_averaged(state, self.target)}
        windows = _windows(state["warm_up"]) if self.metric != "identity" else ()
        proposals = state["proposals"]
        if not windows or not windows[0] < proposals <= windows[-1]:
            return state
        state = {**state, **_counted(state)}
        if proposals not in windows:
            return state
        v = _regularised(state, shared=self.metric == "shared")
        # In units of the new metric all scales are about one, and so is the step, up to its optimal rate P^(-1/4).
        log_step = torch.full_like(state["value"], -0.25 * math.log(v.shape[1]))
        return {**state, **_restarted(log_step), **_emptied(v), "inverse_mass": v}


def _windows(warm_up: int) -> tuple[int, ...]:
    """Proposal after which the first window begins, and the last proposal of each window."""
    if warm_up < _SHORTEST:
        return ()
    if warm_up < _INITIAL + _WINDOW + _FINAL:
        return int(0.15 * warm_up), warm_up - int(0.1 * warm_up)
    last, windows, size = warm_up - _FINAL, [_INITIAL], _WINDOW
    while windows[-1] + 3 * size <= last:  # room for this window and for the next, twice as long
        windows.append(windows[-1] + size)
        size *= 2
    return (*windows, last)


def _restarted(log_step: Tensor) -> State:
    """Dual averaging from a first step."""
    return {
        "log_step": log_step,
        "log_mean_step": log_step,
        "log_centre": log_step + math.log(10),
        "mean_error": torch.zeros_like(log_step),
        "averaged": 0,
    }


def _averaged(state: Mapping[str, Any], target: float) -> State:
    """One update of dual averaging, equation 6 of Hoffman & Gelman."""
    n = state["averaged"] + 1
    rate, decay = 1 / (n + _T0), n**-_KAPPA
    error = (1 - rate) * state["mean_error"] + rate * (target - state["chance"])
    log_step = state["log_centre"] - math.sqrt(n) / _GAMMA * error
    log_mean = decay * log_step + (1 - decay) * state["log_mean_step"]
    return {"averaged": n, "mean_error": error, "log_step": log_step, "log_mean_step": log_mean}


def _emptied(w: Tensor) -> State:
    """Welford's sums without a draw."""
    return {"n": 0, "mean": torch.zeros_like(w), "squares": torch.zeros_like(w)}


def _counted(state: Mapping[str, Any]) -> State:
    """Welford's sums with the positions."""
    n, deviation = state["n"] + 1, state["w"] - state["mean"]
    mean = state["mean"] + deviation / n
    return {"n": n, "mean": mean, "squares": state["squares"] + deviation * (state["w"] - mean)}


def _regularised(state: Mapping[str, Any], *, shared: bool) -> Tensor:
    """Variances of a window, shrunk towards a small one as if that had come from five draws more."""
    n, variance = state["n"], state["squares"] / (state["n"] - 1)
    if shared:
        n, variance = n * len(variance), variance.mean(0).expand_as(variance).contiguous()
    result: Tensor = (n * variance + _PRIOR_DRAWS * _PRIOR_VARIANCE) / (n + _PRIOR_DRAWS)
    return result


def _leapfrog(
    state: Mapping[str, Any], p: Tensor, step: Tensor, leaps: int, potential: Potential
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Position, momentum, energy and gradient after some steps."""
    w, value, slope, v = state["w"], state["value"], state["slope"], state["inverse_mass"]
    for _ in range(leaps):
        p = p - 0.5 * step * slope
        w = w + step * v * p
        value, slope = potential(w)
        p = p - 0.5 * step * slope
    return w, p, value, slope
