"""Schroedinger bridges between non-Gaussian distributions in closed form: the potentials are chosen first.

Reference: Brownian motion ``sqrt(2 eps) W``, strength ``e = 2 eps``. Whatever the potential ``v``, the plan
``pi(x1 | x0) ~ exp(x0 . x1 / e) v(x1)`` is the entropic plan between a start distribution and the distribution of the
x1 that it gives.

* :class:`EOTMixturePair` starts from a standard normal distribution: a benchmark with an exact plan and forward drift.
* :class:`MixtureSchrodingerBridge` chooses both potentials, ``pi ~ u(x0) exp(x0 . x1 / e) v(x1)``: then both ends and
  all distributions between are mixtures, and both drifts, the score and the energy are known. For a pair ``(i, j)`` of
  components ``u_i = beta_i N(a_i, e P_i)`` and ``v_j = alpha_j N(r_j, e S_j)`` with ``P_i S_j < 1`` along each axis,

      ``x0 ~ N(m0, C0)``, ``m0 = (a + P r)/(1 - P S)``, ``C0 = e P/(1 - P S)``,   ``x1 | x0 ~ N(r + S x0, e S)``,
      weight ``~ alpha beta (1 - P S)^(-1/2) exp((S a^2 + 2 a r + P r^2)/(2 e (1 - P S)))``, products over the axes.

Source: Gushchin, Kolesov, Mokrov et al. (2023), arXiv:2306.10161, for benchmarks built from potentials; Korotin,
Gushchin & Burnaev (2024), arXiv:2310.01174, for mixtures; the construction with two mixtures is ours.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import as_time
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator as keyed
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan, check_eps
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.schrodinger import PairedSample


class EOTMixturePair:
    """A standard normal distribution, a distribution that is not Gaussian, and the exact entropic plan between them.

    The potential has random components: log weights ``N(0, 0.3^2)``, offsets ``N(0, spread^2)``, slopes with
    eigenvalues uniform on [0.1, 1], along the axes or along random directions.

    Args:
        seed: Non-negative; equal seeds give equal problems.
        dim: D, >= 1.
        eps: Diffusivity of the reference ``sqrt(2 eps) W``; > 0.
        n_components: Components of the potential, >= 1.
        spread: Standard deviation of their offsets, data units.
        covariance: ``"diagonal"`` or ``"full"``.

    Raises:
        InvalidInputError: For an argument outside its range.

    Source: Gushchin, Kolesov, Mokrov et al. (2023), arXiv:2306.10161; the parameters are ours.
    """

    def __init__(
        self,
        seed: int = 0,
        dim: int = 2,
        eps: float = 0.25,
        *,
        n_components: int = 5,
        spread: float = 1.5,
        covariance: str = "diagonal",
    ) -> None:
        who = "EOTMixturePair"
        self.eps = check_eps(who, eps)
        whole(who, "dim", dim, at_least=1)
        whole(who, "n_components", n_components, at_least=1)
        number(who, "spread", spread, at_least=0)
        one_of(who, "covariance", covariance, ("diagonal", "full"))
        source = keyed(seed, dim, n_components)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=source, dtype=torch.float64)

        log_alpha, offsets = 0.3 * draw(n_components), spread * draw(n_components, dim)
        slopes = 0.1 + 0.9 * torch.rand(n_components, dim, generator=source, dtype=torch.float64)
        if covariance == "full":
            axes = torch.linalg.qr(draw(n_components, dim, dim))[0]
            slopes = (axes * slopes[:, None, :]) @ axes.mT
            slopes = (slopes + slopes.mT) / 2
        one = torch.ones(1, dtype=torch.float64)
        self.rho0 = GaussianMixture(one, torch.zeros(1, dim, dtype=torch.float64), one)
        self.plan = LightPlan(self.eps, log_alpha, offsets, slopes)

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return self.rho0.event_shape

    def sample_coupling(self, n: int, *, generator: Generator | None = None) -> PairedSample:
        """Draw ``n`` pairs of the exact plan; their x1 are samples of rho1."""
        x0 = self.rho0.sample(n, generator=generator)
        return PairedSample(x0, self.plan.sample(x0, generator=generator))

    def sample_ends(self, n: int, *, generator: Generator | None = None) -> PairedSample:
        """Draw ``n`` samples of each end that have nothing to do with each other: what a solver gets to see."""
        x0 = self.rho0.sample(n, generator=generator)
        return PairedSample(x0, self.sample_coupling(n, generator=generator).x1)

    def drift(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Drift u of the forward SDE ``dX = u dt + sqrt(2 eps) dW``; ``(B, D)`` -> ``(B, D)``."""
        return self.plan.drift(x, as_time(t, x))

    def __repr__(self) -> str:
        return f"EOTMixturePair(dim={self.rho0.dim}, eps={self.eps:g}, n_components={self.plan.n_components})"


@dataclass(frozen=True)
class _Pairs:
    """The Gaussians of all pairs of components: weights ``(N,)``, the rest ``(N, D)``."""

    weights: Tensor
    mean0: Tensor
    mean1: Tensor
    var0: Tensor
    var1: Tensor
    cross: Tensor


class MixtureSchrodingerBridge:
    """The bridge of two mixture potentials with diagonal slopes: exact marginals, drifts and score.

    Args:
        plan: The plan from x0, whose potential is ``v``; diagonal, origins zero.
        reverse_plan: The plan from x1, whose potential is ``u``; diagonal, the same eps.

    Raises:
        InvalidInputError: If the two do not fit, or the product of a slope of one and a slope of the other is not below
            1 (then ``u exp(x0 . x1 / e) v`` has no finite integral).
    """

    def __init__(self, plan: LightPlan, reverse_plan: LightPlan) -> None:
        who = "MixtureSchrodingerBridge"
        if plan.eps != reverse_plan.eps or plan.dim != reverse_plan.dim:
            got = (plan.eps, reverse_plan.eps), (plan.dim, reverse_plan.dim)
            raise invalid(who, "both plans must have one eps and one dimension", got)
        for part in (plan, reverse_plan):
            if not part.is_diagonal or bool(part.centre0.any() or part.centre1.any()):
                raise invalid(who, "plans must have diagonal slopes and origins at zero", repr(part))
        self.plan, self.reverse_plan, self.eps = plan, reverse_plan, plan.eps
        self._pairs = _pairs(who, plan, reverse_plan)
        p = self._pairs
        self.rho0 = GaussianMixture(p.weights, p.mean0, p.var0)
        self.rho1 = GaussianMixture(p.weights, p.mean1, p.var1)

    @classmethod
    def random(
        cls, seed: int = 0, dim: int = 2, eps: float = 0.25, *, n_components: int = 3, spread: float = 1.0
    ) -> "MixtureSchrodingerBridge":
        """Random potentials with ``n_components`` each: offsets ``N(0, spread^2)``, slopes uniform on [0.2, 0.6].

        The weights are such that every component of ``v`` has the same share of the mass, and every one of ``u``
        nearly so: 200 rounds of Sinkhorn's iteration leave some percent where ``eps`` is small beside ``spread^2``.
        """
        source = keyed(seed, dim, n_components)
        parts = []
        for _ in range(2):
            offsets = spread * torch.randn(n_components, dim, generator=source, dtype=torch.float64)
            slopes = 0.2 + 0.4 * torch.rand(n_components, dim, generator=source, dtype=torch.float64)
            parts.append((offsets, slopes))
        logs = _log_weights(2 * eps, *parts[0], *parts[1])[1]
        alpha, beta = logs.new_zeros(n_components), logs.new_zeros(n_components)
        for _ in range(200):  # Sinkhorn's iteration on a small table
            beta = -(logs + alpha).logsumexp(1)
            alpha = -(logs + beta[:, None]).logsumexp(0)
        plans = (LightPlan(eps, w, *part) for w, part in zip((alpha, beta), parts, strict=True))
        return cls(*plans)

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return self.rho0.event_shape

    def marginal(self, t: float) -> GaussianMixture:
        """The distribution of ``x_t``: for every pair the bridge between its Gaussians."""
        p = self._pairs
        spread = (1 - t) ** 2 * p.var0 + t * t * p.var1 + 2 * t * (1 - t) * (p.cross + self.eps)
        return GaussianMixture(p.weights, (1 - t) * p.mean0 + t * p.mean1, spread)

    def sample_coupling(self, n: int, *, generator: Generator | None = None) -> PairedSample:
        """Draw ``n`` pairs of the exact plan."""
        x0 = self.rho0.sample(n, generator=generator)
        return PairedSample(x0, self.plan.sample(x0, generator=generator))

    def drift(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Drift u of the forward SDE ``dX = u dt + sqrt(2 eps) dW``; ``(B, D)`` -> ``(B, D)``."""
        return self.plan.drift(x, as_time(t, x))

    def backward_drift(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Drift of the SDE run down in time, ``X(t-h) = X - u_B h + sqrt(2 eps h) xi``."""
        return -self.reverse_plan.drift(x, 1 - as_time(t, x))

    def __repr__(self) -> str:
        return f"MixtureSchrodingerBridge(dim={self.rho0.dim}, eps={self.eps:g}, pairs={self.rho0.n_modes})"


def _log_weights(e: float, r: Tensor, s: Tensor, a: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """``1 - P S (I, J, D)`` and the log weights of the pairs ``(I, J)``, those of the components left out."""
    a, p = a[:, None], p[:, None]
    left = 1 - p * s
    exponent = (s * a.square() + 2 * a * r + p * r.square()) / (2 * e * left)
    return left, (exponent - 0.5 * left.log()).sum(-1)


def _pairs(who: str, plan: LightPlan, reverse_plan: LightPlan) -> _Pairs:
    e, dim = plan.strength, plan.dim
    s, p = (part.slopes.diagonal(dim1=1, dim2=2) for part in (plan, reverse_plan))
    r, a = plan.offsets, reverse_plan.offsets
    worst = float((p[:, None] * s).max())
    if worst >= 1:
        raise invalid(who, "products of the slopes of both plans must be < 1", worst, "Use smaller slopes.")
    left, log_weights = _log_weights(e, r, s, a, p)
    log_weights = log_weights + reverse_plan.log_alpha[:, None] + plan.log_alpha
    mean0 = (a[:, None] + p[:, None] * r) / left
    var0 = e * p[:, None] / left
    parts = (mean0, r + s * mean0, var0, e * s / left, s * var0)
    weights = log_weights.flatten().softmax(0)
    # Pairs without weight would have a log weight of minus infinity.
    kept = weights > 1e-12
    flat = (part.reshape(-1, dim)[kept] for part in parts)
    return _Pairs(weights[kept] / weights[kept].sum(), *flat)
