"""Chains of noise levels along which data fade in and out at any rate: posterior steps, and what a level is worth.

Letters: k = 0 (data) ... T (noise); ``z_k = sqrt(a_k) z_{k-1} + omega_k e + sqrt(1 - a_k) eps``, so that
``z_k = A_k e + sqrt(1 - abar_k) eps`` with ``abar_k = a_1 ... a_k`` and ``A_k = sqrt(a_k) A_{k-1} + omega_k``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid


class ChainStep(NamedTuple):
    """``q(z_{k-1} | z_k, e) = N(from_state z_k + from_data e, variance)``, each ``(T,)`` for k = 1 ... T.

    Attributes:
        from_state: Weight of z_k.
        from_data: c_k, the slope in e.
        variance: v_k.
    """

    from_state: Tensor
    from_data: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class InformationChain:
    """A chain with any amount of data at each level; with ``omega = 0`` and ``A_0 = 1`` that of DDPM.

    Args:
        kept: ``a_1 ... a_T``, each in (0, 1): what a step keeps of the variance.
        data: ``A_0 ... A_T``, how much of the data a level holds; ``A_0 != 0``.

    Raises:
        InvalidInputError: If numbers are out of range, or the data end holds no data.

    Source: Chen et al. (2024), arXiv:2407.17571, for chains of several modalities; the posterior is derived here.
    """

    kept: Sequence[float]
    data: Sequence[float]

    def __post_init__(self) -> None:
        a, level = (torch.as_tensor(x, dtype=torch.float64) for x in (self.kept, self.data))
        if a.ndim != 1 or not len(a) or not bool(((a > 0) & (a < 1)).all()):
            raise invalid("InformationChain", "kept must be numbers in (0, 1)", self.kept)
        if level.shape != (len(a) + 1,) or not bool(level.isfinite().all()):
            raise invalid(
                "InformationChain", f"data must be {len(a) + 1} finite numbers, A_0 ... A_T", self.data
            )
        if float(level[0]) == 0:
            raise invalid("InformationChain", "A_0 must not be 0: the data end would hold no data", 0.0)
        object.__setattr__(self, "kept", a)
        object.__setattr__(self, "data", level)

    @classmethod
    def ddpm(cls, kept: Sequence[float]) -> "InformationChain":
        """The chain in which no data come on the way: ``A_k = sqrt(abar_k)``."""
        a = torch.as_tensor(kept, dtype=torch.float64)
        return cls(kept, torch.cat([torch.ones(1, dtype=torch.float64), a.cumprod(0).sqrt()]).tolist())

    @property
    def noise(self) -> Tensor:
        """``1 - abar_k``, the variance of the noise at k = 0 ... T."""
        a = torch.as_tensor(self.kept)
        return torch.cat([torch.zeros(1, dtype=torch.float64), 1 - a.cumprod(0)])

    def posterior(self) -> ChainStep:
        """The steps back, given the data: ``z_{k-1}`` and ``z_k`` are joint normal for a given e."""
        a, level = torch.as_tensor(self.kept), torch.as_tensor(self.data)
        before, now = self.noise[:-1], self.noise[1:]
        from_state = a.sqrt() * before / now
        return ChainStep(from_state, level[:-1] - from_state * level[1:], (1 - a) * before / now)

    def bound_weights(self) -> Tensor:
        """``c_k^2 / (2 v_k)`` for k = 2 ... T: what a squared error of e at level k adds to the bound, in nats.

        ``(SNR_{k-1} - SNR_k) / 2`` for DDPM, and no such difference where data come on the way.
        """
        step = self.posterior()
        return step.from_data[1:].square() / (2 * step.variance[1:])
