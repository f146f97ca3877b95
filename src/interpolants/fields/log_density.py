"""Log density of an interpolant as a network: a Gaussian that follows the path, times a learnt factor."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.fields.conversions import derive
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like
from interpolants.foundations.records import record
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition
from interpolants.nets.build import choose_net
from interpolants.nets.potential import Potential
from interpolants.paths.path import Path, SpatiallyLinearPath

# Most nats between the distribution of x_0 and the base before a warning, and the rows of data that are looked at.
START_COST, _LOOKED_AT = 0.1, 1000


@record("moments")
@dataclass(frozen=True)
class Moments:
    """Mean ``(*D)`` and root mean square deviation (per entry, a number) of one end."""

    mean: Tensor
    spread: float

    @classmethod
    def of(cls, x: Tensor) -> "Moments":
        """Those of samples ``(N, *D)``."""
        mean = x.mean(0)
        return cls(mean, float((x - mean).square().mean().sqrt()))


class LogDensity(Remembered, id="log_density"):
    """``u(x, t) = log N(x; m_t, k_t C) + c(t) phi(x, t)``: the log density of ``x_t``, up to what training leaves open.

    The Gaussian has the means of both ends and their root mean square deviations a, b: ``m_t = alpha m0 + beta m1``
    and ``k_t = alpha^2 a^2 + beta^2 b^2 + gamma^2``. It gives u the tail without which a sampler is thrown out beyond
    the data, and it solves the equation of the path's flow by itself, so that ``phi = 0`` leaves no residual.
    On a one-sided path C is the covariance of the base, ``a = 1``, and ``c = beta``: u is exact and normalised
    wherever the base is reached (``beta = 0``). Elsewhere ``C = Id`` and ``c = 1``.

    Denoising determines u up to a function of time; :class:`~interpolants.objectives.FokkerPlanckResidual` that too.

    Args:
        path: Spatially linear, with latent noise or a Gaussian base.
        net: The potential phi.
        start: Moments of rho0; None on a one-sided path.
        end: Moments of rho1.

    Raises:
        InvalidInputError: If the path has no such density, the network is no potential, or moments are missing.
    """

    mean0: Tensor
    mean1: Tensor
    spread: Tensor

    def __init__(
        self, path: Path, net: nn.Module, *, start: Moments | None = None, end: Moments | None = None
    ) -> None:
        super().__init__()
        gaussian = path.base is None or path.base.is_gaussian
        if not (
            isinstance(path, SpatiallyLinearPath) and path.has_latent and gaussian and path.basis is None
        ):
            rule = "the path must be spatially linear, one for all directions, with latent noise or a Gaussian base"
            raise invalid("LogDensity", rule, type(path).__name__, "For example, use paths.OneSidedLinear().")
        if not isinstance(net, Potential):
            remedy = "Wrap the network: Potential(shape, net=...)."
            raise invalid("LogDensity", "net must be a Potential", type(net).__name__, remedy)
        self.path, self.net = path, net
        zero = torch.zeros(net.shape)
        first = Moments(zero, 1.0) if start is None else start
        if isinstance(path.base, Gaussian):
            first = Moments(path.base.mean_like(zero).expand(net.shape).clone(), 1.0)
        last = Moments(zero, 1.0) if end is None else end
        self.register_buffer("mean0", first.mean)
        self.register_buffer("mean1", last.mean)
        self.register_buffer("spread", torch.tensor([first.spread, last.spread]))

    @classmethod
    def fitted(
        cls,
        path: Path,
        x0: Tensor | None,
        x1: Tensor,
        *,
        net: Any = "auto",
        cond: Tensor | None = None,
        seed: int = 0,
    ) -> "LogDensity":
        """One for two sample sets, its Gaussian fitted and its network yet to be trained.

        Args:
            path: As above.
            x0: Samples of rho0 ``(N0, *D)``; None on a one-sided or mirror path.
            x1: Samples of rho1 ``(N1, *D)``.
            net: The network inside the potential, as in :func:`interpolants.nets.build.choose_net`, or a potential.
            cond: What is known of each row of ``x1``.
            seed: Seed of the initial weights.

        Warns:
            UserWarning: If a diffusion stops so far from its base that u has another start than its samples.
        """
        _warn_of_a_start_not_reached(path, x1)
        potential = as_potential(net, tuple(x1.shape[1:]), cond, seed)
        end = Moments.of(x1)
        start = Moments.of(x0) if x0 is not None else Moments(end.mean, end.spread)
        if path.is_one_sided:
            assert path.base is not None
            white = path.base.whiten(x1)
            end = Moments(end.mean, float((white - white.mean(0)).square().mean().sqrt()))
        return cls(path, potential, start=None if path.is_one_sided else start, end=end)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """``u(x, t)`` in nats; ``x (B, *D)``, ``t`` 0-d or ``(B,)`` -> ``(B,)``."""
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        added = self.net.potential(x, time, cond)
        gate = self.path.beta(time) if self.path.is_one_sided else 1.0
        return self.gaussian(x, time) + gate * added

    def gaussian(self, x: Tensor, t: Tensor) -> Tensor:
        """``log N(x; m_t, k_t C)``, ``(B,)``."""
        path, base = self.path, self.path.base
        base = base if isinstance(base, Gaussian) else _STANDARD
        alpha, beta, gamma = path.alpha(t), path.beta(t), path.envelope.gamma(t)
        first, last = self.spread.to(x).unbind()
        k = alpha.square() * first.square() + beta.square() * last.square() + gamma.square()
        middle = expand_like(alpha, x) * self.mean0.to(x) + expand_like(beta, x) * self.mean1.to(x)
        point = base.mean_like(x) + (x - middle) / expand_like(k.sqrt(), x)
        return base.log_prob(point) - 0.5 * x[0].numel() * k.log()

    def score(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``grad u``, in 1/data; ``(B, *D)``."""
        return gradient(lambda point: self(point, t, cond), x)

    def noise(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``E[z | x_t]`` by the path's relation, finite at the ends; ``(B, *D)``."""
        score = self.score(x, t, cond)
        return derive(self.path, {"score": score}, ("noise",), x, t)["noise"]


_STANDARD = Gaussian()


def _warn_of_a_start_not_reached(path: Path, x1: Tensor) -> None:
    if (
        not isinstance(path, SpatiallyLinearPath)
        or not isinstance(path.base, Gaussian)
        or path.ends.start_is_exact
    ):
        return
    cost = float(path.start_kl(x1[:_LOOKED_AT]).mean())
    if cost > START_COST:
        tell(
            SettingWarning,
            f"LogDensity: x_0 must have the base distribution within {START_COST} nats, got {cost:.2g}: samples start "
            "elsewhere than the density. Let the diffusion run longer, e.g. a larger bmax or smax.",
        )


def as_potential(net: Any, shape: tuple[int, ...], cond: Tensor | None, seed: int) -> Potential:
    """A potential around a network, given as in :func:`interpolants.nets.build.choose_net`, unless it is one."""
    if isinstance(net, Potential):
        return net
    settings = {"kind": net} if isinstance(net, str) else net
    if isinstance(settings, dict) and settings.get("kind") == "potential":
        found = choose_net(net, shape, 1, cond, seed, who="LogDensity")
    else:
        found = choose_net({"kind": "potential", "net": net}, shape, 1, cond, seed, who="LogDensity")
    assert isinstance(found, Potential)
    return found
