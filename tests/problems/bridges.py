"""Every kind of spatially linear path with a mixture bridge whose fields are known on it."""

import math

import torch

from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import (
    VE,
    VP,
    BrownianEnvelope,
    CustomEnvelope,
    Diffusive,
    DiscreteSchedule,
    EncoderDecoder,
    Linear,
    MatrixBasis,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SpatiallyLinear,
    Spectral,
    SubVP,
    Tabulated,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
COVARIANCE = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=F64)
BASE = Gaussian(mean=torch.tensor([0.5, -1.0], dtype=F64), covariance=COVARIANCE)
RHO0 = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[-1.5, 0.5], [1.0, -0.5]], dtype=F64),
    torch.stack([COVARIANCE, torch.tensor([[0.6, -0.2], [-0.2, 0.5]], dtype=F64)]),
)
RHO1 = GaussianMixture(
    torch.tensor([0.5, 0.2, 0.3], dtype=F64),
    torch.tensor([[2.0, 1.0], [-1.0, 2.0], [0.0, -2.0]], dtype=F64),
    torch.stack([0.5 * COVARIANCE, COVARIANCE.flip(0, 1), 0.4 * torch.eye(2, dtype=F64)]),
)
# Covariances that are diagonal in every basis, for paths that have one.
ROUND = GaussianMixture(RHO1.weights, RHO1.means, torch.tensor([0.5, 0.9, 0.3], dtype=F64))
TURN = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=F64)
NODES = torch.linspace(0, 1, 13, dtype=F64)


def paced(t):
    """``t`` to a power per coordinate; numbers, since forward mode is slow with tensors as exponents."""
    return torch.cat([t, t**2.5], -1)


PATHS = {
    "linear": Linear(),
    "linear_wide": Linear(envelope=BrownianEnvelope(scale=2.5)),
    "linear_smooth": Linear(envelope=QuadraticEnvelope(scale=2.0)),
    "linear_sigmoid": Linear(envelope=SigmoidEnvelope()),
    "linear_plain": Linear(envelope=ZeroEnvelope()),
    "trigonometric": Trigonometric(),
    "trigonometric_vp": Trigonometric(envelope=BrownianEnvelope(scale=2.0), variance_preserving=True),
    "encoder_decoder": EncoderDecoder(),
    "one_sided_linear": OneSidedLinear(),
    "one_sided_coloured": OneSidedLinear(base=BASE),
    "one_sided_trigonometric": OneSidedTrigonometric(base=BASE),
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
    "vp_coloured": VP(base=Gaussian(covariance=COVARIANCE)),
    "sub_vp": SubVP(),
    "ve": VE(smin=0.05, smax=12.0),
    "discrete_schedule": DiscreteSchedule(),
    "mirror": Mirror(),
    "diffusive": Diffusive(scale=0.5),
    "diffusive_hold": Diffusive(scale=0.5, hold=0.2),
    "spatially_linear": SpatiallyLinear(
        lambda t: torch.cos(math.pi / 2 * t) ** 2,
        lambda t: t**2 * (2 - t),
        CustomEnvelope(lambda t: torch.sqrt(t * (1 - t)) * (1 + t)),
    ),
    "tabulated": Tabulated(NODES, (1 - NODES) ** 1.5, NODES * (2 - NODES), base=Gaussian()),
    "spectral": Spectral(
        MatrixBasis(TURN), lambda t: (1 - t) * paced(t.exp()), lambda t: paced(t) * (2 - t), (2,)
    ),
}


def bridge(path):
    """A bridge that the path allows: its own base, or the same distribution twice on a mirror."""
    if path.base is not None:
        return GaussianMixtureBridge(path.base, RHO1 if path.basis is None else ROUND)
    return GaussianMixtureBridge(RHO1 if path.is_static else RHO0, RHO1)


def states(n, seed=0):
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)
