"""Loss of an ensemble of critics on targets: likelihood, weights against risk, weights by agreement."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative
from interpolants.sciml.rl.critics import Heads
from interpolants.sciml.rl.error_variance import inverse_error_variance_weights
from interpolants.sciml.rl.generalized_gaussian import variance
from interpolants.sciml.rl.generalized_likelihood import generalized_gaussian_loss

Head = Literal["generalized", "gaussian", "squared"]
Centre = Literal["likelihood", "mean"]


@dataclass(frozen=True)
class CriticLoss(Checked):
    """``sum_t w_t NLL(d_t) + lambda sum_t u_t |d_t|`` with ``d = target - value``, averaged over the ensemble.

    ``w`` is the power of the error's law, made to sum to 1 over the batch, without gradient: of two laws with one scale
    that with the larger power is less risky. ``u`` is the inverse variance of the errors over the ensemble.

    Raises:
        InvalidInputError: If a name is unknown, or a number out of range.

    Source: Kim et al. (2024), arXiv:2408.02295. Their code normalises w over the ensemble, lets its gradient through,
        and averages what sums to 1; here lambda means what it says.
    """

    head: Head = "generalized"
    """Law of the errors: ``"generalized"``; ``"gaussian"``, whose power is 2, without weights against risk and with
    squared errors; ``"squared"``, no law at all."""
    centre: Centre = "likelihood"
    """``"likelihood"``: values move by the likelihood, whose centre is no mean where errors are skewed; ``"mean"``:
    values move by squared errors, and the law is learnt about them."""
    agreement: NonNegative = 0.1
    """lambda."""
    effective: Annotated[float, Ge(1)] = 16.0
    """Least effective number of rows of u."""

    def __call__(self, heads: Heads, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The loss, a number.

        Args:
            heads: What the critics say, ``(B, E)`` each.
            target: ``(B, E)``, or ``(B, 1)`` where all members have one target; no gradient flows into it.
            counts: How often each member counts each row, ``(B, E)``; once without it.

        Raises:
            InvalidInputError: If targets are of another shape.
        """
        if (
            target.ndim != 2
            or target.shape[0] != len(heads.value)
            or target.shape[1] not in (1, heads.value.shape[1])
        ):
            rule = f"targets must be {tuple(heads.value.shape)}, or have one column"
            raise invalid("CriticLoss", rule, tuple(target.shape))
        error = target.detach() - heads.value
        counts = torch.ones_like(error) if counts is None else counts
        total = self._likelihood(heads, error, counts)
        if self.agreement > 0 and error.shape[1] > 1:
            kurtosis = None if self.head == "generalized" and error.shape[1] > 3 else 0.0
            u = inverse_error_variance_weights(error, effective=self.effective, kurtosis=kurtosis)
            robust = self.head == "generalized" and self.centre == "likelihood"
            size = error.abs() if robust else error.square()
            total = total + self.agreement * _average(u[:, None] * counts, size)
        return total

    def _likelihood(self, heads: Heads, error: Tensor, counts: Tensor) -> Tensor:
        if self.head == "squared":
            return _average(counts, error.square())
        about = error if self.centre == "likelihood" else error.detach()
        told = generalized_gaussian_loss(about, self.power(heads), heads.scale)
        w = counts * heads.power.detach() if self.head == "generalized" else counts
        found = _average(w, told)
        return found if self.centre == "likelihood" else found + _average(counts, error.square())

    def power(self, heads: Heads) -> Tensor:
        """The power of the law, which is 2 for a Gaussian head."""
        return heads.power if self.head == "generalized" else torch.full_like(heads.power, 2.0)

    def spread(self, heads: Heads) -> Tensor:
        """Standard deviation of an error by its law, ``(B, E)``; NaN where there is none."""
        if self.head == "squared":
            return torch.full_like(heads.scale, torch.nan)
        return variance(self.power(heads), heads.scale).sqrt()


def _average(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted mean over the batch of each member, then the mean over members."""
    return ((weights * values).sum(0) / weights.sum(0).clamp(min=1e-12)).mean()
