"""The stochastic Heun scheme with separate steps for every sample."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.foundations.checked import Checked
from interpolants.foundations.invariance import SMALLEST
from interpolants.foundations.kinds import Count, NonNegative, Positive
from interpolants.solvers.stochastic_heun import StochasticHeun


@dataclass(frozen=True, kw_only=True)
class AdaptiveHeun(Checked):
    """Stochastic Heun on intervals that are halved where a sample's error needs it; for additive noise.

    One step of length h and two of h/2 are compared along the same Brownian path. A comparison costs five evaluations,
    and three in the left half of a rejected step, whose whole step is known. See :func:`integrate_sde_adaptive` for the
    error.

    The tolerance is that of the path at the end, up to the growth of the equation: the strong error falls in proportion
    to it, and the evaluations grow as its inverse. Moments are of weak order 2 and need less: 1e-2 is a good start;
    1e-5, the tolerance of a flow, is out of reach.

    Source: Gaines & Lyons (1997); Foster & Jelincic (2023), arXiv:2311.14201.
    """

    name: ClassVar[str] = "adaptive_heun"
    kind: ClassVar[str] = "adaptive_sde"
    adaptive: ClassVar[bool] = True
    scheme: ClassVar[StochasticHeun] = StochasticHeun()

    rtol: NonNegative = 1e-2
    """Tolerance relative to the size of each entry."""
    atol: Positive = 1e-2
    """Absolute tolerance, in data units."""
    max_steps: Count = 10_000
    """Maximum number of steps of a sample, accepted and rejected together."""
    pad: Count = SMALLEST
    """The drift is evaluated at a multiple of this many rows. In a batch of ``pad`` rows each keeps its place."""
