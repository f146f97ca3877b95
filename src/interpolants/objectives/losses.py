"""Quadratic losses whose unique minimisers are the fields of an interpolant.

Each loss compares a prediction ``f(x_t, t)`` with a target that any draw of the interpolant gives away. Two forms:

* ``"squared_error"``: ``|f - target|^2``, summed over the event: a value one can read;
* ``"quadratic"``: ``1/2 |f|^2 - target . f``, the paper's: the same gradient up to a factor 2, without the constant
  ``|target|^2``, which is huge where a target is singular.

``antithetic`` averages over the pair ``I ± gamma z``. Targets with 1/gamma or an infinite gamma' need it: without it
the variance of the loss diverges at the ends. It costs one network evaluation on twice the rows, so it is on by default
just where that happens (``antithetic=None``). On a one-sided path z is the whitened x0, and mirroring it needs an x0
that is independent of x1: by default a start that is given is not mirrored, for it may be coupled to its end.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.3 and appendix.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Generic, TypeVar

import torch
from torch import Generator, Tensor

from interpolants.fields.conversions import derive
from interpolants.foundations import asked
from interpolants.foundations.calls import takes_third
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import shaped
from interpolants.foundations.derivatives import divergence, gradient
from interpolants.foundations.errors import NotIdentifiableError, invalid
from interpolants.foundations.kinds import OneOf, Whole
from interpolants.foundations.ops import sum_event
from interpolants.foundations.row_times import check_row_times
from interpolants.foundations.types import Condition, Field
from interpolants.paths.path import Path, PathSample, SpatiallyLinearPath

FORMS = ("squared_error", "quadratic")
WEIGHTINGS = ("none", "noise", "likelihood")


Loss = TypeVar("Loss")


class DrawnLoss(ABC, Generic[Loss]):
    """A loss at draws of a path: called with a field and end points it draws ``x_t`` and asks the field there."""

    path: Path

    def __call__(
        self,
        field: Field,
        *,
        x0: Tensor | None = None,
        x1: Tensor,
        t: Tensor,
        z: Tensor | None = None,
        cond: Condition = None,
        generator: Generator | None = None,
    ) -> Loss:
        """Per-sample losses ``(B,)``; arguments as in ``path.sample``."""
        sample = self.path.sample(x0=x0, x1=x1, t=t, z=z, generator=generator)
        if takes_third(field):
            check_row_times(type(self).__name__, field, sample.x_t, sample.t, cond)
        return self.at(field, sample, cond, pairs=self.pairs_with(x0), generator=generator)

    @abstractmethod
    def pairs_with(self, x0: Tensor | None) -> bool:
        """Whether draws are mirrored for this start."""

    @abstractmethod
    def at(
        self, field: Field, sample: PathSample, cond: Condition, *, pairs: bool, generator: Generator | None
    ) -> Loss:
        """Per-sample losses at one draw.

        Args:
            field: The field.
            sample: The draw.
            cond: Condition of each row.
            pairs: Average over the draw and its mirror image in z.
            generator: Draws whatever else is needed.
        """


@dataclass(frozen=True)
class Objective(Checked, DrawnLoss[Tensor]):
    """A per-sample loss of a field; call it with a network and end points, get ``(B,)``.

    Raises:
        NotIdentifiableError: If the path has no such field (the noise of a path without latent noise).
    """

    path: Path
    """The interpolant."""
    antithetic: bool | None = None
    """Average over ``I ± gamma z``; None decides by whether the target is singular at the ends."""
    form: Annotated[str, OneOf(lambda: FORMS)] = "squared_error"
    """``"quadratic"`` is half the squared error without the square of the target."""

    predicts: ClassVar[str]
    # The quantities for which :func:`joint_loss` takes this objective; none for those that must be asked for.
    learns: ClassVar[tuple[str, ...]] = ()
    # Formula of the loss, in plain text.
    formula: ClassVar[str] = ""
    needs_latent: ClassVar[bool] = False

    def check_settings(self) -> None:
        """Refuse a path that has no such field."""
        if self.needs_latent and not self.path.has_latent:
            raise NotIdentifiableError(
                f"{asked.who()}: the path {type(self.path).__name__} has no latent noise (gamma = 0), so it has no "
                f"{self.predicts}. Use an envelope with gamma > 0, or a one-sided path."
            )

    @classmethod
    def of(cls, quantity: str, path: Path) -> "Objective":
        """The objective of one of the quantities that it ``learns``."""
        return cls(path)

    @abstractmethod
    def target(self, sample: PathSample) -> Tensor:
        """Regression target, ``(B, *D)``."""

    @cached_property
    def is_singular(self) -> bool:
        """Whether the target is infinite at an end of the path."""
        return False

    @property
    def is_antithetic(self) -> bool:
        """Whether pairs ``I ± gamma z`` are used."""
        return self.is_singular if self.antithetic is None else self.antithetic

    def pairs_with(self, x0: Tensor | None) -> bool:
        """Whether pairs are used for this start: by default, a given start of a one-sided path is not mirrored."""
        if self.antithetic is None and self.path.is_one_sided and x0 is not None:
            return False
        return self.is_antithetic

    def at(
        self, field: Field, sample: PathSample, cond: Condition, *, pairs: bool, generator: Generator | None
    ) -> Tensor:
        """Losses of what the field says at the draw."""
        if not pairs:
            return self.compare(self.predict(field, sample, cond), sample)
        pair = antithetic_pair(self.path, sample)
        return mean_of_pair(self.compare(self.predict(field, pair, twice(cond)), pair))

    def predict(self, field: Field, sample: PathSample, cond: Condition) -> Tensor:
        """What is compared with the target: the field itself, or what follows from it."""
        return field(sample.x_t, sample.t, cond)

    def compare(self, prediction: Tensor, sample: PathSample) -> Tensor:
        """Per-sample losses of predictions made at ``sample``."""
        self._check_shape(prediction, sample.x_t)
        target = self.target(sample)
        if self.form == "quadratic":
            return sum_event(prediction * (0.5 * prediction - target))
        return sum_event((prediction - target).square())

    def _check_shape(self, prediction: Tensor, x: Tensor) -> None:
        if prediction.shape != x.shape:
            rule = f"the field must return the shape of the state, {tuple(x.shape)}"
            raise invalid(type(self).__name__, rule, tuple(prediction.shape))


@dataclass(frozen=True)
class VelocityLoss(Objective):
    """Learns the velocity ``b = E[dI/dt + gamma' z | x_t]`` of the probability flow."""

    predicts: ClassVar[str] = "velocity"
    learns: ClassVar[tuple[str, ...]] = (predicts,)
    formula: ClassVar[str] = "|b - dI/dt - γ'z|²"

    @cached_property
    def is_singular(self) -> bool:
        """Whether gamma' is infinite at an end (Brownian envelope)."""
        return has_singular_rate(self.path)

    def target(self, sample: PathSample) -> Tensor:
        """The rate of the interpolant."""
        return sample.x_dot


@dataclass(frozen=True)
class MeanRateLoss(Objective):
    """Learns ``v = E[dI/dt | x_t]``, the velocity without the latent term's share."""

    predicts: ClassVar[str] = "mean_rate"
    learns: ClassVar[tuple[str, ...]] = (predicts,)
    formula: ClassVar[str] = "|v - dI/dt|²"

    def target(self, sample: PathSample) -> Tensor:
        """The rate of I at fixed ends."""
        return sample.i_dot


@dataclass(frozen=True)
class NoiseLoss(Objective):
    """Learns the mean noise ``eta_z = E[z | x_t]``; without a singular factor, hence preferred to the score."""

    predicts: ClassVar[str] = "noise"
    learns: ClassVar[tuple[str, ...]] = (predicts,)
    formula: ClassVar[str] = "|η - z|²"
    needs_latent: ClassVar[bool] = True

    def target(self, sample: PathSample) -> Tensor:
        """The latent noise."""
        return sample.z


@dataclass(frozen=True)
class ScoreLoss(Objective):
    """Learns the score by denoising, ``s = -E[z | x_t] / gamma``.

    On a one-sided path ``s = E[score0(x0) | x_t] / alpha`` with the score of the base distribution: ``-L^-T z`` for a
    Gaussian, ``-(N + df) / (|z|^2 + df) L^-T z`` for a Student-t over N entries.

    Raises:
        InvalidInputError: If the path has no such weight.

    Source: Song et al. (2021), arXiv:2011.13456, equation 7, for ``"noise"``; Song et al. (2021), arXiv:2101.09258,
    for ``"likelihood"``.
    """

    weighting: Annotated[str, OneOf(lambda: WEIGHTINGS)] = "none"
    """What the loss at t counts: ``"none"`` 1; ``"noise"`` the variance of the noise, which makes it the loss of the
    noise, best for the look of samples; ``"likelihood"`` ``g^2``, with which half the mean loss over t bounds the
    divergence of the reversed SDE's samples from the data, up to a constant."""

    predicts: ClassVar[str] = "score"
    learns: ClassVar[tuple[str, ...]] = (predicts,)
    formula: ClassVar[str] = "|s + z/γ|²; on a one-sided path z/γ is minus the score of x0 over α"
    needs_latent: ClassVar[bool] = True

    def check_settings(self) -> None:
        """Refuse a path that has no such weight."""
        super().check_settings()
        if self.weighting != "none":
            if self.path.basis is not None:
                rule = "a weighting needs one schedule for all directions"
                raise asked.invalid(rule, type(self.path).__name__, "Use weighting='none'.")
            self._weight(torch.full((1,), 0.5))  # raises where the path has none

    @cached_property
    def is_singular(self) -> bool:
        """Whether the target grows like 1/gamma at an end without noise, and no weight compensates for it."""
        return self.weighting != "noise" and self.path.ends.x0_at_1 == 0

    def compare(self, prediction: Tensor, sample: PathSample) -> Tensor:
        """Per-sample losses of predictions made at ``sample``, weighted."""
        loss = super().compare(prediction, sample)
        return loss if self.weighting == "none" else loss * self._weight(sample.t).to(loss)

    def _weight(self, t: Tensor) -> Tensor:
        path = self.path
        if self.weighting == "noise":
            scale = 1.0 if path.base is None else path.base.shared_scale
            return (path.noise_scale(t) * (1.0 if scale is None else scale)).square()
        if not isinstance(path, SpatiallyLinearPath):
            remedy = "Use weighting='none' or 'noise'."
            raise asked.invalid("weighting='likelihood' needs g^2", type(path).__name__, remedy)
        return path.g_squared(t)

    def target(self, sample: PathSample) -> Tensor:
        """The score of x_t given its ends."""
        return self.path.kernel_score(sample)


@dataclass(frozen=True)
class EndpointLoss(Objective):
    """Learns ``eta_0 = E[x0 | x_t]`` or ``eta_1 = E[x1 | x_t]``."""

    end: Annotated[int, OneOf(lambda: (0, 1))] = 1
    """Which one is learnt."""

    learns: ClassVar[tuple[str, ...]] = ("endpoint0", "denoised")
    formula: ClassVar[str] = "|η - x0|² or |η - x1|²"

    @classmethod
    def of(cls, quantity: str, path: Path) -> "EndpointLoss":
        """The objective of one of the two ends."""
        return cls(path, end=cls.learns.index(quantity))

    @property
    def predicts(self) -> str:  # type: ignore[override]  # depends on `end`
        """``"endpoint0"`` or ``"denoised"``."""
        return "denoised" if self.end else "endpoint0"

    def target(self, sample: PathSample) -> Tensor:
        """The end point."""
        return sample.x1 if self.end else sample.x0


@dataclass(frozen=True)
class EnergyLoss(ScoreLoss):
    """Learns an energy ``E(x, t) -> (B,)`` whose minus gradient is the score."""

    predicts: ClassVar[str] = "energy"
    learns: ClassVar[tuple[str, ...]] = ()
    formula: ClassVar[str] = "|-∇E + z/γ|²"

    def predict(self, field: Field, sample: PathSample, cond: Condition) -> Tensor:
        """The score of the energy; the gradient is kept differentiable."""
        return -_slope(field, sample.x_t, sample.t, cond, "EnergyLoss: an energy")


@dataclass(frozen=True)
class LogDensityLoss(NoiseLoss):
    """Learns a log density ``u(x, t) -> (B,)`` whose gradient is the score, by the mean noise that follows from it.

    ``E|sigma L^T grad u + z|^2``: denoising with every noise level weighted alike. It leaves a function of time in u.
    """

    predicts: ClassVar[str] = "log_density"
    learns: ClassVar[tuple[str, ...]] = (predicts,)
    formula: ClassVar[str] = "|γ ∇u + z|²"

    def predict(self, field: Field, sample: PathSample, cond: Condition) -> Tensor:
        """The mean noise of the log density; the gradient is kept differentiable."""
        score = _slope(field, sample.x_t, sample.t, cond, "LogDensityLoss: a log density")
        return derive(self.path, {"score": score}, ("noise",), sample.x_t, sample.t)["noise"]


def _slope(field: Field, x: Tensor, t: Tensor, cond: Condition, what: str) -> Tensor:
    """The gradient of a scalar network."""

    def scalar(point: Tensor) -> Tensor:
        value = field(point, t, cond)
        who, _, name = what.partition(": ")
        return shaped(who, name, value, x.shape[0])

    return gradient(scalar, x)


@dataclass(frozen=True)
class HyvarinenLoss(Objective):
    """Learns the score without noise to denoise: ``|s|^2 + 2 div s``, exact or with random probes.

    Works for paths without latent noise too, at the price of a derivative of the network.

    Source: Hyvarinen (2005); Hutchinson (1989) for the probes.
    """

    probes: Whole = 0
    """Number of random sign probes for the divergence; 0 takes it exactly, one pass per dimension."""

    predicts: ClassVar[str] = "score"
    formula: ClassVar[str] = "|s|² + 2 div s"

    def check_settings(self) -> None:
        """Refuse pairs."""
        super().check_settings()
        if self.antithetic:
            raise asked.invalid("there is no latent noise to pair: antithetic must be None or False", True)

    def target(self, sample: PathSample) -> Tensor:
        """There is none: the loss is implicit."""
        raise invalid("HyvarinenLoss", "the loss is implicit and has no target", "a request for one")

    def at(
        self, field: Field, sample: PathSample, cond: Condition, *, pairs: bool, generator: Generator | None
    ) -> Tensor:
        """Up to a constant the squared error of the score."""

        def score(x: Tensor) -> Tensor:
            s = field(x, sample.t, cond)
            self._check_shape(s, x)
            return s

        s, spread = divergence(score, sample.x_t, probes=self.probes, generator=generator, mode="reverse")
        loss = sum_event(s.square()) + 2 * spread
        return 0.5 * loss if self.form == "quadratic" else loss


def has_singular_rate(path: Path) -> bool:
    """Whether the noise's coefficient vanishes at an end with an infinite rate, so that their product does not.

    The coefficient is gamma, or alpha on a one-sided path, which vanishes at t = 1 only.
    """
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    if not path.is_one_sided:
        return not path.envelope.is_zero and _is_away_from_zero(path.envelope.gamma_gamma_dot(ends))
    assert isinstance(path, SpatiallyLinearPath)
    return _is_away_from_zero(path.alpha_alpha_dot(ends[1:]))


def _is_away_from_zero(values: Tensor) -> bool:
    # a user's schedule may give 0 * inf there
    return not bool((values.abs() <= 1e-3).all())


def antithetic_pair(path: Path, sample: PathSample) -> PathSample:
    """The draw and its mirror image in z, stacked: rows 0 .. B-1 carry +z, rows B .. 2B-1 carry -z."""
    z = torch.cat([sample.z, -sample.z])
    t, x1 = torch.cat([sample.t, sample.t]), torch.cat([sample.x1, sample.x1])
    x0 = None if path.is_one_sided else torch.cat([sample.x0, sample.x0])
    return path.sample(x0=x0, x1=x1, t=t, z=z)


def twice(cond: Condition) -> Condition:
    """A condition for stacked pairs."""
    if cond is None:
        return None
    if isinstance(cond, dict):
        return {name: twice(part) for name, part in cond.items()}
    if isinstance(cond, tuple | list):
        return type(cond)(twice(part) for part in cond)
    return torch.cat([cond, cond])


def mean_of_pair(loss: Tensor) -> Tensor:
    """Losses ``(B,)`` of pairs from those ``(2 B,)`` of :func:`antithetic_pair`."""
    plus, minus = loss.chunk(2)
    return 0.5 * (plus + minus)
