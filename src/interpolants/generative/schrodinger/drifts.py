"""The two drifts of a diffusion bridge, learnt from any process ``x_t = I(t) + gamma(t) z``.

Letters: ``sqrt(2 eps) dW`` the noise; ``gamma = sqrt(2 eps t (1 - t))``; ``b, s`` velocity and score of the law of
``x_t``; ``u_F = b + eps s`` drift forwards in time, ``u_B = b - eps s`` backwards. Since ``E[z | x_t] = -gamma s``,

    ``u_F = E[dI/dt - sqrt(2 eps t/(1 - t)) z | x_t]``,  ``u_B = E[dI/dt + sqrt(2 eps (1 - t)/t) z | x_t]``,

for ``gamma' - eps/gamma = -sqrt(2 eps t/(1 - t))`` and ``gamma' + eps/gamma = sqrt(2 eps (1 - t)/t)``. Both are
regressions. The targets blow up at one end each; with every z its negative is used too, and then the gradient of the
loss stays bounded: the two signs meet in a difference of the network over a distance ``2 gamma``.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section on Schroedinger bridges; both directions and
the closed forms derived anew.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.ops import expand_like, mean_event
from interpolants.foundations.records import record
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.paths.envelopes import BrownianEnvelope
from interpolants.paths.linear import Linear

Drifts = Callable[[Tensor, Tensor], Tensor]

# Coefficients in time of the affine part; Chebyshev polynomials of degree below this.
_DEGREES = 6
# An affine part of more dimensions would hold more numbers than the network beside it.
LARGEST_AFFINE = 64


@record("ends_frame")
@dataclass(frozen=True)
class EndsFrame:
    """Coordinates in which both ends have mean zero and a common variance of one: ``y = (x - m_t)/scale``.

    A shift of the ends shifts a Schroedinger bridge, ``m_t = (1-t) m0 + t m1``, and a common scale changes only
    ``eps``; a scale per axis would change the problem.
    """

    mean0: Tensor
    mean1: Tensor
    scale: float

    @classmethod
    def of(cls, x0: Tensor, x1: Tensor) -> "EndsFrame":
        """The frame of two sample sets ``(N, *D)``."""
        mean0, mean1 = x0.mean(0), x1.mean(0)
        variance = ((x0 - mean0).square().mean() + (x1 - mean1).square().mean()) / 2
        return cls(mean0, mean1, math.sqrt(float(variance)) or 1.0)

    def encode(self, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        """Both ends in the frame."""
        return (x0 - self.mean0) / self.scale, (x1 - self.mean1) / self.scale


class AffineAndNet(Remembered, id="affine_and_net"):
    """``net(x, t) + A(t) x + a(t)`` for both drifts, ``(B, 2, *D)``; the affine part is polynomial in t.

    Between Gaussians the drifts are affine in x: the network is left with what is not Gaussian.

    Args:
        net: A network with two heads.
        size: Number of entries of a state.
        affine: Whether there is an affine part.
    """

    def __init__(self, net: nn.Module, size: int, *, affine: bool) -> None:
        super().__init__()
        self.net = net
        self.affine = nn.Parameter(torch.zeros(size + 1, _DEGREES * 2 * size)) if affine else None

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Forward and backward drift at ``x (B, *D)``, ``t`` 0-d or ``(B,)``."""
        value: Tensor = ask(self.net, x, t)
        if self.affine is None:
            return value
        flat = x.flatten(1)
        powers = chebyshev(t, _DEGREES).to(flat).expand(flat.shape[0], -1)
        terms = torch.addmm(self.affine[-1], flat, self.affine[:-1]).reshape(flat.shape[0], _DEGREES, -1)
        return value + torch.einsum("bk,bkd->bd", powers, terms).reshape(value.shape)


def chebyshev(t: Tensor, n: int) -> Tensor:
    """Chebyshev polynomials of degree 0 to n - 1 in ``2t - 1``; ``t (...)`` -> ``(..., n)``."""
    s = 2 * t - 1
    values = [torch.ones_like(s), s]
    for _ in range(n - 2):
        values.append(2 * s * values[-1] - values[-2])
    return torch.stack(values[:n], -1)


class FramedDrifts(nn.Module):
    """Drifts learnt in a frame, as functions of the data: ``u(x, t) = m1 - m0 + scale u_frame(y, t)``."""

    mean0: Tensor
    mean1: Tensor

    def __init__(self, drifts: nn.Module, frame: EndsFrame) -> None:
        super().__init__()
        self.drifts, self.scale = drifts, frame.scale
        self.register_buffer("mean0", frame.mean0)
        self.register_buffer("mean1", frame.mean1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Both drifts ``(B, 2, *D)`` in data units per time."""
        shift = self.mean1 - self.mean0
        centre = self.mean0 + expand_like(t, x).to(x) * shift
        value: Tensor = self.drifts((x - centre) / self.scale, t)
        return shift + self.scale * value


def drift_targets(i_dot: Tensor, z: Tensor, t: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """What the forward and the backward drift are the conditional means of, given ``x_t = I + gamma z``.

    Args:
        i_dot: ``dI/dt (B, *D)``.
        z: The latent noise ``(B, *D)``.
        t: Times ``(B,)``, inside (0, 1).
        eps: Diffusivity, in the units of the states squared.
    """
    wide = expand_like(t, z).to(z)
    forward = i_dot - (2 * eps * wide / (1 - wide)).sqrt() * z
    backward = i_dot + (2 * eps * (1 - wide) / wide).sqrt() * z
    return forward, backward


def matching_loss(drifts: Drifts, i: Tensor, i_dot: Tensor, z: Tensor, t: Tensor, eps: float) -> Tensor:
    """``(|u|^2/2 - target . u)`` per entry, mean over both drifts and over z and -z: ``(B,)``.

    Its minimum over the drifts is ``-(|u_F|^2 + |u_B|^2)/4``; over the law of ``x_t``, that is minus half of
    ``E(|b|^2 + eps^2 |s|^2)`` per entry. The Schroedinger bridge maximises it: the two halves, each of which alone is
    the max-min problem of the source, differ by ``eps`` times the change of entropy, which the ends fix.
    """
    gamma = BrownianEnvelope(scale=2 * eps).gamma(expand_like(t, z).to(z))
    both_t, both_dot, both_z = torch.cat([t, t]), torch.cat([i_dot, i_dot]), torch.cat([z, -z])
    u = drifts(torch.cat([i + gamma * z, i - gamma * z]), both_t)
    target = torch.stack(drift_targets(both_dot, both_z, both_t, eps), 1)
    loss = mean_event(0.5 * u.square() - target * u)
    return (loss[: len(t)] + loss[len(t) :]) / 2


class DriftFields(Fields):
    """Velocity, score and all else of a Schroedinger bridge from its two drifts.

    ``b = (u_F + u_B)/2``, ``s = (u_F - u_B)/(2 eps)``, ``E[x1|x] = x + (1-t) u_F``, ``E[x0|x] = x - t u_B``. With the
    bridge's own eps the SDEs of :func:`interpolants.dynamics.sample.sample` have exactly the drifts that were learnt;
    eps = 0 gives its probability flow.

    Args:
        drifts: ``(x (B, *D), t) -> (B, 2, *D)``, forward first.
        eps: Diffusivity, data units squared.
    """

    path: Linear

    def __init__(self, drifts: Drifts, eps: float) -> None:
        self.drifts, self.eps = drifts, eps
        self.path = Linear(envelope=BrownianEnvelope(scale=2 * eps))

    @property
    def networks(self) -> list[nn.Module]:
        """The network behind the fields, if there is one."""
        return [self.drifts] if isinstance(self.drifts, nn.Module) else []

    def provides(self, quantity: str) -> bool:
        """Always, for a quantity that exists."""
        if quantity not in QUANTITIES:
            raise invalid(
                "Fields",
                "the quantity must be one of the fields' quantities",
                repr(quantity),
                nearest(quantity, QUANTITIES),
            )
        return True

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities from one evaluation of the drifts."""
        forward, backward = self.drifts(x, t).unbind(1)
        return {name: self._value(name, x, t, forward, backward) for name in want}

    def _value(self, name: str, x: Tensor, t: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
        score = (forward - backward) / (2 * self.eps)
        if name == "score":
            return score
        if name == "velocity":
            return (forward + backward) / 2
        wide = expand_like(t, x).to(x)
        if name == "denoised":
            return x + (1 - wide) * forward
        if name == "endpoint0":
            return x - wide * backward
        envelope = self.path.envelope
        if name == "noise":
            return -envelope.gamma(wide) * score
        assert name == "mean_rate"
        return (forward + backward) / 2 + envelope.gamma_gamma_dot(wide) * score
