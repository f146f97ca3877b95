"""Data-dependent couplings: the start is a degraded copy of the end, ``x0 = degrade(x1) + noise``.

The bridge then carries a degraded sample back to a whole one. What separates this from regression is the noise in x0:
it gives rho0 a density, so that one observation leads to the whole distribution of x1 that agrees with it, not to its
mean.

Letters: ``m`` mask of what is known, ``zeta ~ N(0, Id)`` noise of the start, ``sigma`` its standard deviation.

Source: Albergo, Goldstein, Boffi, Ranganath & Vanden-Eijnden (2023), arXiv:2310.03725.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing
from interpolants.foundations.checked import Checked
from interpolants.foundations.devices import draws_on_cpu
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import NonNegative


@dataclass(frozen=True)
class Start:
    """Start of a bridge for given observations.

    Attributes:
        x0: Start points, ``(N, *D)``.
        field: What is known of each, to be the network's condition: ``(N, C, *spatial)``, or ``(N, C)`` for vectors.
    """

    x0: Tensor
    field: Tensor


class DataDependent(Checked, ABC):
    """A coupling that draws x0 given x1; abstract.

    Attributes:
        condition: Whether :meth:`pair` adds what is known to the conditions of x1.
    """

    condition: bool

    @abstractmethod
    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """Draw starts for whole samples ``x1 (N, *D)``; each call draws afresh."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair each row of x1 with a start drawn from it.

        Args:
            x0: Not read: every training loop hands over a batch of starts, and these are drawn anew from x1.
            x1: Whole samples, ``(N, *D)``, floating point.
            generator: Draws the degradation.
            cond0: Not read, like ``x0``.
            cond1: Conditions of ``x1``; the field of :class:`Start` joins them under the name ``field`` (``vector`` for
                vectors), unless ``condition`` is off.

        Returns:
            Pairs of N rows in the order of ``x1``.

        Raises:
            InvalidInputError: For an empty batch, or a condition that has a field already.
        """
        who = type(self).__name__
        check_pairing(who, x1, x1, None, cond1, equal=True, distances=False)
        start = self.degrade(x1, generator=generator)
        rows = torch.arange(x1.shape[0], device=x1.device)
        cond = _joined(who, cond1, start.field) if self.condition else cond1
        return Pairs(start.x0, x1, None, cond, rows, rows)

    def net_settings(self, x1: Tensor) -> dict[str, int]:
        """Network settings that the condition requires: ``{"cond_channels": C}``, or ``{"cond_dim": C}``."""
        if not self.condition:
            return {}
        source = Generator("cpu" if draws_on_cpu() else x1.device).manual_seed(0)
        field = self.degrade(x1[:1], generator=source).field
        return {"cond_dim" if field.ndim == 2 else "cond_channels": field.shape[1]}


@dataclass(frozen=True)
class Degraded(DataDependent):
    """Any degradation of your own, ``x0 = degrade(x1) + sigma zeta``, with ``degrade(x1)`` as the condition.

    ``E[x0 | x1] = degrade(x1)`` and ``Var[x0 | x1] = sigma^2``.

    Raises:
        InvalidInputError: If the noise breaks its rule, or (at a call) the function changes the shape.

    Source: Albergo et al. (2023), arXiv:2310.03725, section 3.
    """

    function: Callable[[Tensor], Tensor]
    """``x1 (N, *D) -> (N, *D)``, row by row and without randomness of its own."""
    noise: NonNegative = 0.3
    """sigma, in data units. At zero the bridge is a deterministic map of the observation."""
    condition: bool = True
    """Give ``degrade(x1)`` to the network."""

    def degrade(self, x1: Tensor, *, generator: Generator | None = None) -> Start:
        """Draw starts for whole samples."""
        return self.start(self.function(x1), generator=generator, like=x1)

    def start(
        self, observed: Tensor, *, generator: Generator | None = None, like: Tensor | None = None
    ) -> Start:
        """Starts for degraded samples ``(N, *D)``, as they come from the instrument."""
        if like is not None and observed.shape != like.shape:
            rule = f"the function must keep the shape {tuple(like.shape)}"
            raise invalid("Degraded", rule, tuple(observed.shape), "Bring its result back to the size of x1.")
        return Start(noisy(observed, self.noise, generator), observed)


def noisy(x: Tensor, sigma: float, generator: Generator | None) -> Tensor:
    """``x + sigma zeta``; nothing is drawn for sigma = 0."""
    if sigma == 0:
        return x
    return x + sigma * torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def _joined(who: str, cond: Cond, field: Tensor) -> Cond:
    """The given condition together with the field, by the names that networks know."""
    name = "vector" if field.ndim == 2 else "field"
    if cond is None:
        return field
    if isinstance(cond, Tensor):
        own = "label" if not cond.is_floating_point() else "vector" if cond.ndim == 2 else "field"
        cond = {own: cond}
    if not isinstance(cond, Mapping):
        remedy = "Name its parts: label, vector, field."
        raise invalid(who, "cond1 must be a tensor or a dict", type(cond).__name__, remedy)
    if name in cond:
        remedy = "Set condition=False and join the two yourself."
        raise invalid(
            who,
            f"cond1 must not have the key {name!r}, which the coupling adds",
            f"keys {sorted(cond)}",
            remedy,
        )
    return {**cond, name: field}
