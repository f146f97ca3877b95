"""Entropic plans with a Gaussian-mixture potential: conditionals, drift and densities in closed form.

Reference: Brownian motion ``sqrt(2 eps) W`` on [0, 1], so the cost is ``|x0 - x1|^2 / 2`` and the strength
``e = 2 eps``. Letters: K components with ``log_alpha (K)``, offsets ``r (K, D)`` and slopes ``S (K, D, D)``, symmetric
and positive; ``T = (1-t) Id + t S``; ``w`` weights of the components given the state.

The potential is ``v(x1) = sum_k alpha_k N(x1; r_k, e S_k)``, and

    ``pi(x1 | x0) = exp(x0 . x1 / e) v(x1) / c(x0) = sum_k w_k(x0) N(x1; r_k + S_k x0, e S_k)``,
    ``c(x0) = sum_k alpha_k exp((x0 . S_k x0 + 2 r_k . x0) / 2e)``.

Carried back along the heat flow to time t, in the form ``phi(x, t) = E[phi(X_1, 1) | X_t = x]`` under the reference
with ``phi(x1, 1) = exp(|x1|^2 / 2e) v(x1)``, the potential stays such a sum,

    ``log phi_k = log alpha_k - 1/2 log det T_k + (x . (S_k - Id) T_k^-1 x + 2 x . T_k^-1 r_k - t r_k . T_k^-1
    r_k)/2e``,

up to ``-D/2 log 2 pi e``, and the drift of the bridge is its gradient,

    ``u = e grad log phi = sum_k w_k T_k^-1 ((S_k - Id) x + r_k)``,   ``E[x1 | x_t = x] = x + (1-t) u``.

Neither the inverse of S nor a division by ``1-t`` is left: the drift is smooth up to t = 1.

Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174, with ``epsilon = 2 eps``; the form of ``phi`` is ours.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import finite, positive, shaped
from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class ConditionalMoments:
    """Mean ``(B, D)`` and covariance ``(B, D, D)`` of x1 given each x0."""

    mean: Tensor
    covariance: Tensor


class LightPlan:
    """The plan ``pi(x1 | x0)`` of a mixture potential, and the bridge that it starts.

    Computed in the plan's own precision; states of another precision are cast, and the answer is cast back.

    Args:
        eps: Diffusivity of the reference ``sqrt(2 eps) W``, data units squared; > 0.
        log_alpha: ``(K,)`` log weights of the components; a common constant has no effect on the plan.
        offsets: ``(K, D)``, where a component sends the centre of x0, less ``centre1``; data units.
        slopes: ``(K, D, D)`` symmetric positive definite, or ``(K, D)`` for diagonal ones; without unit.
        centre0: ``(D,)`` origin in which x0 is taken; zero when None.
        centre1: ``(D,)`` origin in which x1 is taken. Shifts of the ends shift the bridge, and keep digits.

    Raises:
        InvalidInputError: If eps is not a positive number, shapes disagree, or a slope is not positive definite.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174, proposition 3.3.
    """

    def __init__(
        self,
        eps: float,
        log_alpha: Tensor,
        offsets: Tensor,
        slopes: Tensor,
        *,
        centre0: Tensor | None = None,
        centre1: Tensor | None = None,
    ) -> None:
        self.eps = check_eps("LightPlan", eps)
        _check(log_alpha, offsets, slopes)
        self.log_alpha, self.offsets = log_alpha.to(offsets), offsets
        zero = offsets.new_zeros(offsets.shape[1])
        self.centre0 = zero if centre0 is None else centre0.to(offsets)
        self.centre1 = zero if centre1 is None else centre1.to(offsets)
        self._slopes = slopes.to(offsets)
        if self.is_diagonal:
            self._axes, self._sizes, self._turned = None, self._slopes, offsets
        else:
            # S = U diag(s) U^T once; then every T is diagonal in the same axes at all times.
            sizes, axes = torch.linalg.eigh((self._slopes + self._slopes.mT) / 2)
            self._axes, self._sizes = axes, sizes
            self._turned = torch.einsum("kde,kd->ke", axes, offsets)
        if not bool((self._sizes > 0).all()):
            lowest = float(self._sizes.min())
            raise invalid(
                "LightPlan", "slopes must be positive definite", f"smallest eigenvalue {lowest:.3g}"
            )

    @property
    def strength(self) -> float:
        """``e = 2 eps``, the entropic strength for the cost ``|x0 - x1|^2 / 2``."""
        return 2 * self.eps

    @property
    def n_components(self) -> int:
        """K."""
        return self.offsets.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.offsets.shape[1]

    @property
    def is_diagonal(self) -> bool:
        """Whether the slopes were given as diagonals."""
        return self._slopes.ndim == 2

    @property
    def slopes(self) -> Tensor:
        """``(K, D, D)``."""
        return self._slopes.diag_embed() if self.is_diagonal else self._slopes

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "LightPlan":
        """The same plan in another precision or on another device."""
        parts = (self.log_alpha, self.offsets, self._slopes, self.centre0, self.centre1)
        a, r, s, m0, m1 = (part.to(dtype=dtype or part.dtype, device=device) for part in parts)
        return LightPlan(self.eps, a, r, s, centre0=m0, centre1=m1)

    def parts(self) -> dict[str, Tensor]:
        """The arguments beside eps from which an equal plan is made."""
        centres = {"centre0": self.centre0, "centre1": self.centre1}
        return {"log_alpha": self.log_alpha, "offsets": self.offsets, "slopes": self._slopes, **centres}

    # --- the plan

    def weights(self, x0: Tensor) -> Tensor:
        """Probability of each component given x0; ``(B, D)`` -> ``(B, K)``."""
        return self._log_parts(self._cast(x0) - self.centre0, x0.new_zeros(())).softmax(1).to(x0.dtype)

    def moments(self, x0: Tensor) -> ConditionalMoments:
        """Mean and covariance of x1 given x0."""
        y = self._cast(x0) - self.centre0
        w = self._log_parts(y, x0.new_zeros(())).softmax(1)
        means = self._component_means(y)
        mean = (w[..., None] * means).sum(1)
        apart = means - mean[:, None]
        within = self.strength * torch.einsum("bk,kde->bde", w, self.slopes)
        covariance = torch.einsum("bk,bkd,bke->bde", w, apart, apart) + within
        return ConditionalMoments((mean + self.centre1).to(x0.dtype), covariance.to(x0.dtype))

    def sample(self, x0: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw one x1 for each row of x0; ``(B, D)`` -> ``(B, D)``."""
        u = torch.rand(len(x0), generator=generator, dtype=self.offsets.dtype, device=self.offsets.device)
        z = torch.randn(x0.shape, generator=generator, dtype=self.offsets.dtype, device=self.offsets.device)
        return self.place(x0, u, z)

    def place(self, x0: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """The draw of x1 that belongs to given random numbers: ``uniform (B,)`` in [0, 1), ``normal (B, D)``."""
        y = self._cast(x0) - self.centre0
        cdf = self._log_parts(y, x0.new_zeros(())).softmax(1).cumsum(1)
        level = uniform.to(cdf)[:, None] * cdf[:, -1:]
        label = torch.searchsorted(cdf, level, right=True)[:, 0].clamp_max(self.n_components - 1)
        noise = normal.to(y) * (self.strength * self._sizes[label]).sqrt()
        if self._axes is None:
            return (self.centre1 + self.offsets[label] + self._sizes[label] * y + noise).to(x0.dtype)
        x1 = self.centre1 + self.offsets[label]
        # One product per component: a matrix per row would not fit into memory.
        for k in torch.bincount(label).nonzero().flatten().tolist():
            rows, axes = label == k, self._axes[k]
            x1[rows] += ((y[rows] @ axes) * self._sizes[k] + noise[rows]) @ axes.mT
        return x1.to(x0.dtype)

    def log_prob(self, x1: Tensor, x0: Tensor) -> Tensor:
        """``log pi(x1 | x0)`` in nats; ``(B, D)`` twice -> ``(B,)``."""
        y0, y1 = self._cast(x0) - self.centre0, self._cast(x1) - self.centre1
        apart = (y0 * y1).sum(1) / self.strength
        value = apart + self._log_v(y1) - self._log_c(y0)
        return value.to(x0.dtype)

    def log_c(self, x0: Tensor) -> Tensor:
        """``log c`` of the centred x0, the log normaliser of the plan; ``(B, D)`` -> ``(B,)``."""
        return self._log_c(self._cast(x0) - self.centre0).to(x0.dtype)

    def log_v(self, x1: Tensor) -> Tensor:
        """``log v`` of the centred x1; ``(B, D)`` -> ``(B,)``."""
        return self._log_v(self._cast(x1) - self.centre1).to(x1.dtype)

    def loss(self, x0: Tensor, x1: Tensor) -> float:
        """``E log c(x0) - E log v(x1)``, in nats: the best plan's value plus its relative entropy to this one.

        The constant is the same for all plans with the same ``eps`` and centres; the value itself means nothing.
        """
        return float(self.log_c(x0).double().mean() - self.log_v(x1).double().mean())

    # --- the bridge

    def log_potential(self, x: Tensor, t: Tensor | float) -> Tensor:
        """``log phi(x, t)``, whose gradient times ``2 eps`` is the drift; ``(B, D)`` -> ``(B,)``.

        Positive solution of ``d phi/dt + eps laplacian phi = 0``. With ``phi0 = phi(., 0)`` and ``phi1 = phi(., 1)``,
        ``pi(x1 | x0)`` is the reference's transition density times ``phi1(x1) / phi0(x0)``.
        """
        y, time = self._centred(x, t)
        shift = self.centre1 - self.centre0
        # Moving the ends by different amounts adds a constant drift to the bridge.
        moved = (y @ shift - 0.5 * (1 - time) * shift.square().sum()) / self.strength
        norm = 0.5 * self.dim * math.log(2 * math.pi * self.strength)
        return (self._log_parts(y, time).logsumexp(1) - norm + moved).to(x.dtype)

    def drift(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Drift u of ``dX = u dt + sqrt(2 eps) dW``, finite on all of [0, 1]; ``(B, D)`` -> ``(B, D)``.

        Args:
            x: States.
            t: Time, a number, 0-d or ``(B,)``.
        """
        y, time = self._centred(x, t)
        w = self._log_parts(y, time).softmax(1)
        inverse = 1 / self._mixed(time)
        a, b = (self._sizes - 1) * inverse, self._turned * inverse
        return (self.centre1 - self.centre0 + self._mean_of(w, a, b, y)).to(x.dtype)

    def endpoint(self, x: Tensor, t: Tensor | float) -> Tensor:
        """``E[x1 | x_t = x]``; ``(B, D)`` -> ``(B, D)``."""
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        return x + (1 - (time[:, None] if time.ndim else time)) * self.drift(x, t)

    # --- what they are made of

    def _cast(self, x: Tensor) -> Tensor:
        shaped("LightPlan", "x", x, "B", self.dim)
        if not x.is_floating_point():
            raise invalid("LightPlan", "x must be floating point", str(x.dtype), "Pass x.float().")
        return x.to(self.offsets.dtype)

    def _centred(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        time = torch.as_tensor(t, dtype=self.offsets.dtype, device=x.device)
        wide = time[:, None] if time.ndim else time
        return self._cast(x) - (1 - wide) * self.centre0 - wide * self.centre1, time

    def _mixed(self, t: Tensor) -> Tensor:
        """Eigenvalues of T: ``(K, D)`` or ``(B, K, D)``."""
        wide = t[:, None, None] if t.ndim else t
        return 1 + wide * (self._sizes - 1)

    def _log_parts(self, y: Tensor, t: Tensor) -> Tensor:
        """``log phi_k`` of centred states, but for the common norm: ``(B, K)``."""
        mixed = self._mixed(t)
        a, b = (self._sizes - 1) / mixed, self._turned / mixed
        wide = t[:, None] if t.ndim else t
        constant = self.log_alpha - 0.5 * mixed.log().sum(-1)
        constant = constant - wide * (self._turned * b).sum(-1) / self.strength / 2
        return constant + self._quadratic(a, b, y) / (2 * self.strength)

    def _quadratic(self, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
        """``y . U a U^T y + 2 y . U b`` for each component, ``(B, K)``; a and b ``(K, D)`` or ``(B, K, D)``."""
        if self._axes is None and a.ndim == 2:
            return torch.addmm(y.square() @ a.mT, y, b.mT, alpha=2.0)
        turned = self._turn(y)
        return (turned * (a * turned + 2 * b)).sum(-1)

    def _mean_of(self, w: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
        """``sum_k w_k U (a U^T y + b)``, ``(B, D)``."""
        if self._axes is None and a.ndim == 2:
            return torch.addcmul(w @ b, w @ a, y)
        each = w[..., None] * (a * self._turn(y) + b)
        return each.sum(1) if self._axes is None else torch.einsum("bke,kde->bd", each, self._axes)

    def _turn(self, y: Tensor) -> Tensor:
        """States in the axes of each component: ``(B, K, D)``, or ``(B, 1, D)`` where these are the coordinates."""
        return y[:, None] if self._axes is None else torch.einsum("bd,kde->bke", y, self._axes)

    def _component_means(self, y0: Tensor) -> Tensor:
        """``r_k + S_k x0``, ``(B, K, D)``."""
        moved = self._sizes * self._turn(y0)
        return self.offsets + (
            moved if self._axes is None else torch.einsum("bke,kde->bkd", moved, self._axes)
        )

    def _log_c(self, y0: Tensor) -> Tensor:
        parts = self.log_alpha + self._quadratic(self._sizes, self._turned, y0) / (2 * self.strength)
        return parts.logsumexp(1)

    def _log_v(self, y1: Tensor) -> Tensor:
        inverse = 1 / self._sizes
        turned = self._turned * inverse
        constant = self.log_alpha - 0.5 * (2 * math.pi * self.strength * self._sizes).log().sum(1)
        constant = constant - (self._turned * turned).sum(1) / (2 * self.strength)
        return (constant + self._quadratic(-inverse, turned, y1) / (2 * self.strength)).logsumexp(1)

    def __repr__(self) -> str:
        kind = "diagonal" if self.is_diagonal else "full"
        return f"LightPlan(eps={self.eps:g}, n_components={self.n_components}, dim={self.dim}, {kind})"


def check_eps(who: str, eps: object) -> float:
    """A diffusivity as a float; an integer tensor would round it away."""
    if isinstance(eps, Tensor) and not (eps.is_floating_point() and eps.numel() == 1):
        remedy = "Pass a float."
        raise invalid(who, "eps must be one floating-point number", f"a tensor of {eps.dtype}", remedy)
    remedy = "Optimal transport, eps = 0, needs another method, e.g. rectification."
    return positive(who, "eps", eps, remedy=remedy)


def _check(log_alpha: Tensor, offsets: Tensor, slopes: Tensor) -> None:
    who = "LightPlan"
    if offsets.ndim != 2 or 0 in offsets.shape or not offsets.is_floating_point():
        raise invalid(who, "offsets must be floating point (K, D)", f"{offsets.dtype} {tuple(offsets.shape)}")
    k, d = offsets.shape
    shaped(who, "log_alpha", log_alpha, k)
    if tuple(slopes.shape) not in ((k, d), (k, d, d)):
        raise invalid(who, f"slopes must have shape ({k}, {d}) or ({k}, {d}, {d})", tuple(slopes.shape))
    for name, value in (("log_alpha", log_alpha), ("offsets", offsets), ("slopes", slopes)):
        finite(who, name, value)
    if slopes.ndim == 3:
        slip = float((slopes - slopes.mT).abs().max())
        if slip > 1e-6 * float(slopes.abs().max()):
            raise invalid(who, "slopes must be symmetric", f"an asymmetry of {slip:.3g}")
