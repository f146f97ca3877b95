"""Correctors: MCMC steps that leave the distribution at the current time invariant."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, OneOf, Remedy
from interpolants.foundations.ops import expand_like, sum_event

STEP_SIZES = ("sample", "batch", "fixed")
_FEWEST = 10  # entries of a sample whose norm says how large the score is


@dataclass(frozen=True)
class Langevin(Checked):
    """Langevin steps at a fixed time, ``x <- x + h s(x) + sqrt(2 h) z`` with ``h = 2 rho^2 (snr std)^2``.

    rho is the factor by which the signal fell on the path's next step towards the data: ``rho^2 = 1 - beta_i`` for VP,
    1 for VE. Put to work after every step of a sampler it undoes part of the error that the step made in the
    *distribution*: predictor and corrector. On a unit normal the steps leave a variance of ``1 / (1 - snr^2)``.

    The papers have ``|z| / |s|`` in place of the noise's standard deviation std. It is about that by concentration of
    norms in many dimensions, but it depends on the state: where the score is small the steps are large, and a unit
    normal ends with a variance of 1.09 in 64 dimensions, 1.5 in ten, 2.6 in four and 1e5 in one.

    Source: Song et al. (2021), arXiv:2011.13456, algorithms 1 to 5; the step size for any path is ours.
    """

    snr: Annotated[float, Gt(0), Remedy("The papers take 0.05 to 0.2.")] = 0.16
    """Ratio of signal to noise of a step, without unit; 0.16 for images of 32 x 32 with VE."""
    steps: Count = 1
    """Steps at each time."""
    step_size: Annotated[str, OneOf(lambda: STEP_SIZES)] = "fixed"
    """``"fixed"``, the noise's standard deviation at this time; ``"sample"`` takes each sample's own norms, ``|z| /
    |s|``; ``"batch"`` their means over the batch, as the official code does, so that a sample depends on its batch
    (this needs ``invariant=False``). The last two are for ten dimensions and more."""
    before: bool = False
    """Correct before each step of the predictor, as the official code does, not after it."""

    def step(self, x: Tensor, score: Tensor, z: Tensor, *, rho: float, std: float) -> Tensor:
        """Compute one corrector step.

        Args:
            x: States, ``(B, *D)``.
            score: Score at the states, in 1/data.
            z: Standard normal draws like ``x``.
            rho: See the class.
            std: Standard deviation of the path's noise at this time, in data units.

        Raises:
            InvalidInputError: If the step is to follow norms of fewer than ten entries.
        """
        if self.step_size != "fixed" and x[0].numel() < _FEWEST:
            rule = f"step_size={self.step_size!r} needs {_FEWEST} or more entries per sample"
            remedy = "Below, norms do not concentrate and steps explode; use step_size='fixed'."
            raise invalid("Langevin", rule, x[0].numel(), remedy)
        h = 2 * (rho * self.snr * self._ratio(score, z, std)).square()
        wide = expand_like(h, x).to(x.dtype)
        return x + wide * score + (2 * wide).sqrt() * z

    def _ratio(self, score: Tensor, z: Tensor, std: float) -> Tensor:
        """``|z| / |s|`` or what stands for it, ``()`` or ``(B,)``."""
        if self.step_size == "fixed":
            return torch.full((), std, dtype=score.dtype, device=score.device)
        of_noise, of_score = (sum_event(value.square()).sqrt() for value in (z, score))
        if self.step_size == "batch":
            of_noise, of_score = of_noise.mean(), of_score.mean()
        # Where the score is zero there is nothing to scale by, and a step of the noise's size is as good as any.
        return torch.where(of_score > 0, of_noise / of_score, torch.full_like(of_score, std))
