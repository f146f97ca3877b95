"""Path from tabulated schedules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.curves import Curve
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class Tabulated(SpatiallyLinearPath):
    """``x_t = alpha(t) x0 + beta(t) x1 + gamma(t) z`` with alpha and beta from a table.

    Between its times they are cubic, smooth in value and rate, and monotone where the table is; the rates are exact
    derivatives of these curves.

    Args:
        times: Increasing from 0 to 1.
        alpha_values: Coefficient of x0 at these times, from 1 to 0.
        beta_values: Coefficient of x1, from 0 to 1.
        envelope: The latent term of a two-sided path.
        base: A Gaussian distribution of x0 makes the path one-sided; then no envelope may be given.

    Raises:
        InvalidInputError: If the times do not increase from 0 to 1, an end value is wrong, or there are both a base
            and an envelope.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; α and β as tabulated"

    times: Sequence[float]
    alpha_values: Sequence[float]
    beta_values: Sequence[float]
    envelope: Envelope = field(default_factory=ZeroEnvelope)
    base: Gaussian | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("times", "alpha_values", "beta_values"):
            values = getattr(self, name)
            values = values.tolist() if isinstance(values, Tensor) else values
            object.__setattr__(self, name, tuple(float(value) for value in values))
        for name, first, last in (("times", 0, 1), ("alpha_values", 1, 0), ("beta_values", 0, 1)):
            values = getattr(self, name)
            if len(values) < 2 or (values[0], values[-1]) != (first, last):
                raise invalid("Tabulated", f"{name} must lead from {first} to {last}", values)
        if self.base is not None and not self.envelope.is_zero:
            rule = "a one-sided path has no envelope: its base is the noise"
            raise invalid("Tabulated", rule, self.envelope)
        self._alpha, self._beta  # noqa: B018  # built now, so that a bad table is refused now

    @cached_property
    def _alpha(self) -> Curve:
        return Curve(self.times, self.alpha_values, who="Tabulated")

    @cached_property
    def _beta(self) -> Curve:
        return Curve(self.times, self.beta_values, who="Tabulated")

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0."""
        # The cubic of the last piece ends at its node up to rounding.
        return torch.where(t >= 1, torch.zeros_like(t), self._alpha(t))

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1."""
        return torch.where(t >= 1, torch.ones_like(t), self._beta(t))

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Rate of alpha."""
        return self._alpha.rate(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Rate of beta."""
        return self._beta.rate(t)
