"""Stochastic gradient Hamiltonian Monte Carlo with a diagonal preconditioner that is learnt in the burn-in.

Letters: ``w`` state of a chain, ``v`` its change per step, ``U`` minus the log density, ``e`` step, ``a`` friction,
``V`` second moment of the gradient, ``eta = e^2 / sqrt(V)`` squared step of each coordinate, ``B`` variance of
the gradient's own noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Positive

State = dict[str, Any]
_LEAST = 1e-12  # of V


@dataclass(frozen=True)
class Slope:
    """A gradient of U for every chain, perhaps from a part of the data.

    Attributes:
        mean: ``(chains, P)``, without bias.
        variance: Variance of its noise, ``(chains, P)`` or what broadcasts with it, estimated; 0 where it is exact.
    """

    mean: Tensor
    variance: Tensor | float = 0.0


def halves(first: Tensor, second: Tensor) -> Slope:
    """The gradient of a batch and its noise from the gradients of its two halves, each without bias."""
    return Slope((first + second) / 2, (first - second).square() / 4)


@dataclass(frozen=True, kw_only=True)
class SGHMC(Checked):
    """Chains ``v <- (1 - a) v - eta grad U + N(0, 2 a eta - eta^2 B), w <- w + v`` with ``eta = e^2 / sqrt(V)``.

    In the burn-in (``advance(..., adapt=True)``) V and B are averaged over steps, later ones with more weight, and over
    chains; then they are frozen, and chains are independent. For a quadratic U of curvature h the variance of ``w`` is
    ``1 / h`` times ``1 / (1 - eta h / (4 - 2 a))``: without a Metropolis test the step must be small, and here
    ``eta h <= e^2 sqrt(h)``. The gradient's own noise counts as part of the injected one, so B must be known: from
    :func:`halves` of a batch, or 0 for the gradient of all data.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Chen, Fox & Guestrin (2014), arXiv:1402.4102; preconditioner of Springenberg, Klein, Falkner &
    Hutter (2016). They take V for B, which removes noise that an exact gradient does not have, and
    average over a window that they adapt; ours measures B, and averages over the burn-in.
    """

    names: ClassVar[tuple[str, ...]] = ("w", "v", "square", "noise", "seen")

    step: Positive = 0.01
    """e."""
    friction: Annotated[float, Interval(gt=0, lt=1)] = 0.05
    """a."""

    def start(self, w: Tensor) -> State:
        """State of chains at rest at ``w (chains, P)``."""
        width = w.new_zeros(w.shape[1])
        return {"w": w, "v": torch.zeros_like(w), "square": width, "noise": width.clone(), "seen": 0}

    def advance(
        self,
        state: Mapping[str, Any],
        gradient: Callable[[Tensor], Slope],
        generator: Generator,
        *,
        adapt: bool = False,
    ) -> State:
        """One step of every chain.

        Args:
            state: What :meth:`start` or this function gave.
            gradient: ``(chains, P)`` -> :class:`Slope`.
            generator: Source of the noise, on the CPU.
            adapt: Whether this is a step of the burn-in, in which V and B are learnt.

        Raises:
            InvalidInputError: If the burn-in is over and was none, the chains begin at a stationary point, or the noise
                to inject has a negative variance: the gradient is noisier than friction can take away.
            DivergedError: If a state is not finite.
        """
        slope = gradient(state["w"])
        found = _learnt(state, slope) if adapt else dict(state)
        if found["seen"] == 1 and not bool(found["square"].any()):
            rule, remedy = (
                "chains must begin where the gradient is not zero",
                "For example, pass w + 0.1 torch.randn(w.shape).",
            )
            raise invalid("SGHMC.advance", rule, "zero in all coordinates, which leaves V unknown", remedy)
        if not found["seen"]:
            rule = "V must be learnt: take steps with adapt=True first"
            raise invalid("SGHMC.advance", rule, "no step of burn-in")
        eta = self.step**2 / found["square"].clamp_min(_LEAST).sqrt()
        variance = 2 * self.friction * eta - eta.square() * found["noise"]
        if not adapt and bool((variance < 0).any()):
            share = float((variance < 0).double().mean())
            rule = "the noise to inject must not have a negative variance, 2 a eta >= eta^2 B"
            got = f"step {self.step:g} and friction {self.friction:g}, negative for {share:.1%} of the coordinates"
            raise invalid("SGHMC", rule, got, "Use a smaller step, more friction, or larger batches.")
        xi = torch.randn(slope.mean.shape, dtype=eta.dtype, generator=generator, device="cpu").to(eta.device)
        v = (1 - self.friction) * state["v"] - eta * slope.mean + variance.clamp_min(0).sqrt() * xi
        w = state["w"] + v
        if not bool(torch.isfinite(w).all()):
            raise DivergedError(f"SGHMC: a chain diverged with step {self.step:g}; use a smaller step")
        return {**found, "w": w, "v": v}


def _learnt(state: Mapping[str, Any], slope: Slope) -> State:
    """V and B with one more step, whose weight grows with its number: the way from the start is forgotten."""
    seen = state["seen"] + 1
    share = 2 / (seen + 1)
    noise = torch.as_tensor(slope.variance).to(slope.mean).expand_as(slope.mean)
    square = torch.lerp(state["square"], slope.mean.square().mean(0), share)
    return {
        **state,
        "square": square,
        "noise": torch.lerp(state["noise"], noise.mean(0), share),
        "seen": seen,
    }


def negative_noise(state: Mapping[str, Any], sampler: SGHMC) -> float:
    """Share of coordinates whose injected noise would have a negative variance; they need more friction."""
    eta = sampler.step**2 / state["square"].clamp_min(_LEAST).sqrt()
    return float((2 * sampler.friction < eta * state["noise"]).double().mean())
