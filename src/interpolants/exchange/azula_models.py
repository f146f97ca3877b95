"""Denoisers of azula as fields: the time turned round, and the noise of its schedule as the base of a path.

azula's time s runs from data (0) to noise (1), with ``x_s = alpha_s x + sigma_s z``. Here ``t = 1 - s``: the data have
the weight ``beta(t) = alpha_(1-t)``, and the base ``N(0, sigma_1^2)`` the weight ``alpha(t) = sigma_(1-t)/sigma_1``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.paths.custom import SpatiallyLinear

WHO = "from_azula"


class AzulaNet(nn.Module):
    """The mean of azula's posterior, called as ``net(x, t, cond)`` in our time.

    Args:
        denoiser: Called as ``denoiser(x, s, **condition)``; its answer has a ``mean``.
        argument: Name under which it takes the condition, or None for none.
    """

    def __init__(self, denoiser: Callable[..., Any], argument: str | None) -> None:
        super().__init__()
        self.denoiser, self.argument = denoiser, argument

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``E[x1 | x_t = x]``, ``(B, *D)``."""
        if cond is not None and self.argument is None:
            remedy = "Name the denoiser's argument: from_azula(denoiser, condition='label')."
            raise invalid(WHO, "a denoiser without a condition takes none", "a condition", remedy)
        told = {} if self.argument is None or cond is None else {self.argument: cond}
        mean = getattr(self.denoiser(x, 1 - t, **told), "mean", None)
        if not isinstance(mean, Tensor):
            raise invalid(
                WHO, "the denoiser must answer with a posterior that has a mean", type(mean).__name__
            )
        return mean


def from_azula(denoiser: Any, *, condition: str | None = None) -> LearnedFields:
    """Fields of a denoiser of azula, for our samplers, likelihoods and guidance.

    Args:
        denoiser: A ``Denoiser`` such as ``KarrasDenoiser(backbone, schedule)``: an object with a ``schedule``, which is
            called as ``denoiser(x_s, s)``. A module is put into evaluation mode.
        condition: Name of the denoiser's argument that ``cond`` is passed to; None for a denoiser without.

    Returns:
        Fields that know ``denoised``, on a path with the schedule's noise. States are in azula's units. The ends of its
        schedules are not exact (noise ``sigma_0`` is left on the data): ``fields.path.ends`` says how much, and
        ``sample(..., finish="denoise")`` takes it away.

    Raises:
        InvalidInputError: If it has no schedule of scales ``(alpha, sigma)``, or answers with no posterior.
    """
    schedule = getattr(denoiser, "schedule", None)
    if not callable(denoiser) or not callable(schedule):
        remedy = "Pass a Denoiser, e.g. azula.denoise.KarrasDenoiser(backbone, schedule)."
        raise invalid(
            WHO, "the denoiser must be callable and have a schedule", type(denoiser).__name__, remedy
        )
    if isinstance(denoiser, nn.Module):
        denoiser.eval()
    largest = _scales(schedule)
    path = SpatiallyLinear(
        lambda t: schedule(1 - t)[1] / largest,
        lambda t: schedule(1 - t)[0],
        base=Gaussian(scale=largest),
        exact_ends=False,
    )
    # Its scales are positive at both ends: no relation of the path divides by zero anywhere.
    return LearnedFields(path, denoised=AzulaNet(denoiser, condition), margin=0.0)


def _scales(schedule: Callable[[Tensor], Any]) -> float:
    """The scale of the noise at its end, from a schedule that gives two positive scales per time."""
    times = torch.linspace(0, 1, 5, dtype=torch.float64)
    try:
        alpha, sigma = schedule(times)
        good = bool((sigma > 0).all() and (alpha > 0).all() and (alpha / sigma).diff().lt(0).all())
    except (TypeError, ValueError, AttributeError) as error:
        told = f"{type(error).__name__}: {str(error)[:100]}"
        raise invalid(WHO, "schedule(s) must give the scales (alpha, sigma)", told) from error
    if not good:
        rule = "the schedule must have positive scales, and ever more noise from s = 0 to 1"
        raise invalid(WHO, rule, f"alpha {alpha.tolist()}, sigma {sigma.tolist()}")
    return float(sigma[-1])
