"""Paths: ``x_t = I(t, x0, x1) + gamma(t) z``, with I(0) = x0 and I(1) = x1, or near them (``path.ends``).

Letters: ``alpha, beta, gamma`` coefficients of x0, x1, z; ``_dot`` rates; ``z ~ N(0, Id)`` the latent noise.
In a one-sided path the distribution of x0 is fixed, Gaussian as a rule, and its noise plays z: ``x0 = color(z)``,
``gamma = 0``.

Coefficients are numbers that depend on time; on a path with a basis F they are tensors of the state's shape that act on
the coordinates F x, entry by entry. What depends on which of the two goes through :meth:`Path.apply`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from interpolants.foundations import asked
from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.formula import with_values
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import batch_time, expand_like, sum_event
from interpolants.paths.bases import Basis
from interpolants.paths.ends import EXACT, Ends
from interpolants.paths.envelopes import Envelope

# Halvings of [0, 1] after which a float64 time does not change.
_HALVINGS = 60


@dataclass(frozen=True)
class PathSample:
    """A draw of the interpolant and its rate.

    Attributes:
        x_t: ``(B, *D)`` the state.
        x_dot: ``(B, *D)`` its rate ``dI/dt + gamma' z``; infinite where gamma' is (Brownian envelope at t = 0 and 1).
        z: ``(B, *D)`` the latent noise (for a one-sided path, the whitened base point).
        t: ``(B,)`` the times.
        x0: ``(B, *D)`` start points.
        x1: ``(B, *D)`` end points.
        i_dot: ``(B, *D)`` the rate of the interpolant alone, ``dI/dt``.
    """

    x_t: Tensor
    x_dot: Tensor
    z: Tensor
    t: Tensor
    x0: Tensor
    x1: Tensor
    i_dot: Tensor


class Path(Checked, ABC):
    """A bridge between two distributions, as a function of the end points and a latent normal variable."""

    envelope: Envelope
    # The distribution of x0 when the path fixes it (one-sided paths); None when rho0 is free.
    base: BaseDistribution | None = None
    # The coordinates in which the coefficients act, when they differ between directions (spectral paths).
    basis: Basis | None = None
    # The interpolant in plain text, what explains it after a semicolon; `formulas` adds envelope and base.
    formula: ClassVar[str] = ""

    def check_settings(self) -> None:
        """Refuse parts of another kind, such as a path in place of a base; paths with rules of their own call it."""
        kinds = {"base": BaseDistribution, "envelope": Envelope, "basis": Basis}
        for part in fields(self):  # type: ignore[arg-type]  # paths are dataclasses
            given = getattr(self, part.name, None)
            left_out = given is None and part.default is None
            if part.init and part.name in kinds and not (left_out or isinstance(given, kinds[part.name])):
                rule = f"{part.name} must be a {kinds[part.name].__name__}"
                remedy = f"Omit it for the default, or use one of `interpolants methods --kind {part.name}`."
                raise asked.invalid(rule, repr(given), remedy)

    @property
    def formulas(self) -> tuple[str, ...]:
        """The interpolant in plain text, and its envelope where it has one; empty without a formula."""
        if not self.formula:
            return ()
        if self.base is not None:
            state = self.formula.partition("; ")[0]
            noise = "x0" if "x0" in state else "z"
            return (with_values(f"{self.formula}; {noise} {self.base.title}", self),)
        if self.envelope.is_zero:
            return (with_values(self.formula, self),)
        state, semicolon, rest = self.formula.partition("; ")
        told = with_values(f"{state} + γ(t) z{semicolon}{rest}", self)
        return (told, self.envelope.told) if self.envelope.told else (told,)

    def widen(self, coefficient: Tensor, x: Tensor) -> Tensor:
        """A coefficient at times ``()`` or ``(B,)``, so that it broadcasts against states (or their coordinates)."""
        return expand_like(coefficient, x).to(x.dtype)

    def apply(self, coefficient: Tensor, x: Tensor) -> Tensor:
        """``coefficient x``, in the basis where there is one, ``F^T (coefficient * F x)``; ``(B, *D)`` -> the same."""
        if self.basis is None:
            return self.widen(coefficient, x) * x
        u = self.basis.forward(x)
        return self.basis.inverse(self.widen(coefficient, u) * u).to(x.dtype)

    @abstractmethod
    def interpolate(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``I(t, x0, x1)``; ``t`` (B,) or 0-d, states ``(B, *D)`` -> ``(B, *D)``."""

    @abstractmethod
    def interpolate_dot(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``dI/dt`` at fixed end points."""

    @property
    def ends(self) -> Ends:
        """State at t = 0 and t = 1: x0 and x1 themselves, unless the path declares otherwise."""
        return EXACT

    @property
    def is_one_sided(self) -> bool:
        """Whether the distribution of x0 is fixed by construction and its noise plays z."""
        return self.base is not None

    @property
    def has_latent(self) -> bool:
        """Whether noise of a known density is mixed in at inner times, so that a score can be learnt by denoising."""
        return self.is_one_sided or not self.envelope.is_zero

    @property
    def is_static(self) -> bool:
        """Whether dI/dt is zero (mirror paths)."""
        return False

    @property
    def margin(self) -> float:
        """Distance from the ends at which samplers evaluate relations that are singular there."""
        return 1e-4

    def own_grid(self, n_steps: int) -> list[float] | None:
        """``n_steps + 1`` times from 0 to 1 that suit the path; None where even steps or a standard spacing do."""
        return None

    @property
    def own_solver(self) -> str | None:
        """The ODE solver that the path's own grid was made for; None where there is none."""
        return None

    def noise_scale(self, t: Tensor) -> Tensor:
        """Coefficient of the noise z in x_t: gamma, or alpha for a one-sided path."""
        return self.envelope.gamma(t)

    def kernel_score(self, sample: PathSample) -> Tensor:
        """Score of x_t given its ends (given x1 on a one-sided path), ``(B, *D)``; its mean given x_t is the score.

        ``-z / gamma``, or ``score(x0) / alpha`` with the score of the base distribution. Infinite where the noise
        vanishes.
        """
        score = -sample.z if self.base is None else self.base.score_at(sample.z)
        return self.apply(1 / self.noise_scale(sample.t), score)

    def sample(
        self,
        *,
        x0: Tensor | None = None,
        x1: Tensor,
        t: Tensor | float,
        z: Tensor | None = None,
        generator: Generator | None = None,
    ) -> PathSample:
        """Draw ``x_t`` for given end points and times.

        Args:
            x0: ``(B, *D)`` start points; may be left out where the path does not need them (one-sided, mirror).
            x1: ``(B, *D)`` end points, floating point.
            t: Number, 0-d or ``(B,)``, in [0, 1].
            z: ``(B, *D)`` latent noise, on a one-sided path that of the base distribution; drawn when left out.
            generator: Source of ``z``.

        Raises:
            InvalidInputError: If shapes, types, devices or times do not fit.
        """
        self._check(x0, x1, t)
        time = batch_time(t, x1)
        z = self._noise(x1, generator) if z is None else z
        if z.shape != x1.shape:
            raise invalid("path.sample", f"z must have the shape of x1, {tuple(x1.shape)}", tuple(z.shape))
        return self._draw(time, x0, x1, z)

    def _noise(self, x1: Tensor, generator: Generator | None) -> Tensor:
        if self.base is not None:
            return self.base.noise(x1.shape, generator=generator, dtype=x1.dtype, device=x1.device)
        return torch.randn(x1.shape, dtype=x1.dtype, device=x1.device, generator=generator)

    def _draw(self, t: Tensor, x0: Tensor | None, x1: Tensor, z: Tensor) -> PathSample:
        assert x0 is not None
        i_dot = self.interpolate_dot(t, x0, x1)
        x_t = self.interpolate(t, x0, x1)
        if self.envelope.is_zero:
            return PathSample(x_t, i_dot, z, t, x0, x1, i_dot)
        gamma, gamma_dot = (
            expand_like(g, z).to(z) for g in (self.envelope.gamma(t), self.envelope.gamma_dot(t))
        )
        return PathSample(x_t + gamma * z, i_dot + gamma_dot * z, z, t, x0, x1, i_dot)

    @property
    def _needs_x0(self) -> bool:
        return True

    def _check(self, x0: Tensor | None, x1: Tensor, t: Tensor | float) -> None:
        who = f"{type(self).__name__}.sample"
        if x0 is None and self._needs_x0:
            raise invalid(
                who, "x0 is needed by a two-sided path", "None", "Pass x0=, or use a one-sided path."
            )
        for name, x in (("x0", x0), ("x1", x1)):
            if x is not None and not x.is_floating_point():
                raise invalid(who, f"{name} must be floating point", str(x.dtype), f"Pass {name}.float().")
        if x0 is not None and x0.shape != x1.shape:
            remedy = "Pair the sets first (couplings), so that row i of x0 belongs to row i of x1."
            raise invalid(who, f"x0 must have the shape of x1, {tuple(x1.shape)}", tuple(x0.shape), remedy)
        if x0 is not None and (x0.dtype, x0.device) != (x1.dtype, x1.device):
            raise invalid(who, f"x0 must be {x1.dtype} on {x1.device} like x1", f"{x0.dtype} on {x0.device}")
        _check_time(who, t, x1.shape[0])


def _check_time(who: str, t: Tensor | float, rows: int) -> None:
    time = torch.as_tensor(t)
    if time.ndim > 1 or (time.ndim == 1 and time.shape[0] != rows):
        raise invalid(who, f"t must be a number or have shape ({rows},)", tuple(time.shape))
    # Values are read on the CPU only: on an accelerator the read would stall the queue.
    if time.is_cpu and not _inside(time):
        worst = time.flatten()[((time < 0) | (time > 1) | time.isnan()).flatten()][0]
        raise invalid(who, "t must lie in [0, 1]", float(worst), "Time 0 is the base, time 1 the data.")


def _inside(time: Tensor) -> bool:
    # A NaN is the smallest and the largest of its kind, and fails both comparisons.
    if time.numel() == 0:
        return True
    lowest, highest = torch.aminmax(time.detach())
    return lowest.item() >= 0 and highest.item() <= 1


class Unmix(NamedTuple):
    """Coefficients that recover the end points: ``E[x_k|x_t] = xk_x (x - gamma eta_z) + xk_v v``; each like ``t``."""

    x0_x: Tensor
    x0_v: Tensor
    x1_x: Tensor
    x1_v: Tensor


class SpatiallyLinearPath(Path):
    """``x_t = alpha(t) x0 + beta(t) x1 + gamma(t) z``: any two of the means of x0, x1 and z give every field."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0; 1 at t = 0 and 0 at t = 1, or what ``ends`` declares."""

    @abstractmethod
    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1; 0 at t = 0 and 1 at t = 1, or what ``ends`` declares."""

    @abstractmethod
    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha."""

    @abstractmethod
    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta."""

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """Half the rate of alpha squared; closed form where ``alpha_dot`` is infinite."""
        return self.alpha(t) * self.alpha_dot(t)

    def beta_beta_dot(self, t: Tensor) -> Tensor:
        """Half the rate of beta squared; closed form where ``beta_dot`` is infinite."""
        return self.beta(t) * self.beta_dot(t)

    @property
    def is_steep_at_0(self) -> bool:
        """Whether x1 enters with an infinite rate, like ``sqrt(t)``: fields are then asked for just after t = 0."""
        return not bool(torch.isfinite(self.beta_dot(torch.zeros((), dtype=torch.float64))).all())

    @property
    def is_mixing(self) -> bool:
        """Whether position and rate determine both end points (``alpha beta' != alpha' beta`` inside)."""
        return True

    def unmix(self, t: Tensor) -> Unmix:
        """Invert ``(x, v) = (alpha x0 + beta x1, alpha' x0 + beta' x1)`` at times ``t``."""
        alpha, beta, alpha_dot, beta_dot = self.alpha(t), self.beta(t), self.alpha_dot(t), self.beta_dot(t)
        det = alpha * beta_dot - alpha_dot * beta
        return Unmix(beta_dot / det, -beta / det, -alpha_dot / det, alpha / det)

    def noise_scale(self, t: Tensor) -> Tensor:
        """Coefficient of the noise z in x_t: gamma, or alpha for a one-sided path."""
        return self.alpha(t) if self.is_one_sided else self.envelope.gamma(t)

    # --- a one-sided path read as a noising process: x = beta x1 + noise, its noise growing as t falls

    def noise_std(self, t: Tensor) -> Tensor:
        """Scale of the noise in x_t, in data units: alpha times that of the base, its standard deviation if Gaussian.

        Raises:
            InvalidInputError: If the path is not one-sided, or the entries of its base differ in spread.
        """
        return self.alpha(t) * self._base_scale("noise_std")

    def g_squared(self, t: Tensor) -> Tensor:
        """``g^2 = 2 (alpha^2 beta'/beta - alpha alpha')`` times the base's variance, in data units squared.

        With ``s = 1 - t`` the noising SDE ``dx = -(beta'/beta) x ds + g dW`` has the distribution of x_t at all times,
        and ``eps = g^2/2`` gives its reversal. Infinite at t = 0 where beta vanishes.

        Raises:
            InvalidInputError: As :meth:`noise_std`, or if the base is not Gaussian.
        """
        self._gaussian("g_squared")
        std = self._base_scale("g_squared")
        return 2 * std**2 * (self.alpha(t).square() * self.signal_rate(t) - self.alpha_alpha_dot(t))

    def signal_rate(self, t: Tensor) -> Tensor:
        """``beta'/beta``, the rate of the log signal; infinite at t = 0 where beta vanishes."""
        return self.beta_dot(t) / self.beta(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """Logarithm of the ratio of signal to noise, ``2 log(beta / noise_std)``, for data of unit variance.

        Raises:
            InvalidInputError: As :meth:`noise_std`.
        """
        return 2 * (self.beta(t).log() - self.noise_std(t).log())

    def time_at_log_snr(self, value: Tensor) -> Tensor:
        """The time at which :meth:`log_snr` has a value, in float64; the nearer end for values that it never has."""
        low = torch.zeros_like(value, dtype=torch.float64)
        high = torch.ones_like(low)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.log_snr(middle) < value
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def start_kl(self, x1: Tensor) -> Tensor:
        """Error of starting from the base: KL divergence of ``x_0`` given ``x1 (B, *D)`` from it, in nats, ``(B,)``.

        Its mean over the data bounds the divergence of the true start distribution, and hence of the samples made from
        the base by exact dynamics, from above. Zero for a path that starts exactly.

        Raises:
            InvalidInputError: If the path is not one-sided, or its base is not Gaussian.
        """
        base, alpha, beta = self._gaussian("start_kl"), self.ends.x0_at_0, self.ends.x1_at_0
        origin = torch.zeros_like(x1)
        # x_0 given x1 is alpha (mean + L z) + beta x1; whitened, alpha z about a mean.
        shift = base.whiten(alpha * (origin + base.mean_like(x1)) + beta * x1)
        spread = x1[0].numel() * (alpha**2 - 1 - 2 * math.log(alpha))
        return 0.5 * (sum_event(shift.square()) + spread)

    def _base(self, who: str) -> BaseDistribution:
        if self.base is None:
            remedy = "For example, use paths.VP(); a two-sided path has an envelope instead."
            raise invalid(f"{type(self).__name__}.{who}", "the path must be one-sided", "no base", remedy)
        return self.base

    def _gaussian(self, who: str) -> Gaussian:
        base = self._base(who)
        if not isinstance(base, Gaussian):
            remedy = (
                "No noising SDE has this distribution of x_t; the ODE, or an SDE with a learnt score, has."
            )
            raise invalid(f"{type(self).__name__}.{who}", "the base must be Gaussian", repr(base), remedy)
        return base

    def _base_scale(self, who: str) -> float:
        scale = self._base(who).shared_scale
        if scale is None:
            remedy = "Whiten the data by the base's root, so that the base is standard."
            rule = "all entries of the base must have one standard deviation"
            raise invalid(f"{type(self).__name__}.{who}", rule, repr(self.base), remedy)
        return scale

    def interpolate(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``alpha x0 + beta x1``."""
        return self._mix(self.alpha(t), x0, self.beta(t), x1)

    def interpolate_dot(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``alpha' x0 + beta' x1``."""
        return self._mix(self.alpha_dot(t), x0, self.beta_dot(t), x1)

    def _mix(self, a: Tensor, x0: Tensor, b: Tensor, x1: Tensor) -> Tensor:
        return self.apply(a, x0) + self.apply(b, x1)

    @property
    def _needs_x0(self) -> bool:
        return not self.is_one_sided

    def _draw(self, t: Tensor, x0: Tensor | None, x1: Tensor, z: Tensor) -> PathSample:
        if self.base is None:
            return super()._draw(t, x0, x1, z)
        if x0 is None:
            x0 = self.base.color(z)
        else:
            z = self.base.whiten(x0)
        return super()._draw(t, x0, x1, z)
