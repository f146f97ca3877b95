"""Path from tabulated schedules."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Real
from interpolants.paths.curves import Curve
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class Tabulated(SpatiallyLinearPath):
    """``x_t = alpha(t) x0 + beta(t) x1 + gamma(t) z`` with alpha and beta from a table.

    Between its times they are cubic, smooth in value and rate, and monotone where the table is; the rates are exact
    derivatives of these curves.

    Raises:
        InvalidInputError: If the times do not increase from 0 to 1, an end value is wrong, or there are both a base
            and an envelope.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; α and β as tabulated"

    times: tuple[Real, ...]
    """Increasing from 0 to 1."""
    alpha_values: tuple[Real, ...]
    """Coefficient of x0 at these times, from 1 to 0."""
    beta_values: tuple[Real, ...]
    """Coefficient of x1, from 0 to 1."""
    envelope: Envelope = field(default_factory=ZeroEnvelope)
    """The latent term of a two-sided path."""
    base: Gaussian | None = None
    """A Gaussian distribution of x0 makes the path one-sided; then no envelope may be given."""

    def check_settings(self) -> None:
        """Refuse schedules with other ends, and two kinds of noise."""
        super().check_settings()
        for name, first, last in (("times", 0, 1), ("alpha_values", 1, 0), ("beta_values", 0, 1)):
            values = getattr(self, name)
            if len(values) < 2 or (values[0], values[-1]) != (first, last):
                raise invalid(f"{name} must lead from {first} to {last}", values)
        if self.base is not None and not self.envelope.is_zero:
            rule = "a one-sided path has no envelope: its base is the noise"
            raise invalid(rule, self.envelope)
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
        """Time derivative of alpha."""
        return self._alpha.rate(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta."""
        return self._beta.rate(t)
