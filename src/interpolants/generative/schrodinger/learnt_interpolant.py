"""An interpolant between given ends that is learnt: ``I = (1-t) x0 + t x1 + sum_k psi_k(t) r_k(x0, x1)``.

Letters: ``psi_k(t)`` functions that vanish at both ends; ``r_k(x0, x1)`` what is learnt. The psi_k are integrals of
Legendre polynomials, so their rates are orthonormal and no rate of a network in t is needed.
"""

import torch
from torch import Tensor, nn

from interpolants.foundations.ops import expand_like
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import Net


def bubbles(t: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Integrals of the orthonormal Legendre polynomials of degree 1 to n on [0, 1], and their rates.

    ``psi_k = (P_{k+1} - P_{k-1}) / (2 sqrt(2k+1))`` in ``2t - 1``, zero at both ends; ``psi_k' = sqrt(2k+1) P_k``.
    ``t (...)`` -> twice ``(..., n)``.
    """
    s = 2 * t - 1
    p = [torch.ones_like(s), s]
    for k in range(1, n + 1):
        p.append(((2 * k + 1) * s * p[k] - k * p[k - 1]) / (k + 1))
    psi = [(p[k + 1] - p[k - 1]) / (2 * (2 * k + 1) ** 0.5) for k in range(1, n + 1)]
    rate = [(2 * k + 1) ** 0.5 * p[k] for k in range(1, n + 1)]
    return torch.stack(psi, -1), torch.stack(rate, -1)


class LearntInterpolant(Remembered, id="learnt_interpolant"):
    """``I(t, x0, x1) = (1-t) x0 + t x1 + sum_k psi_k(t) r_k(x0, x1)``; ends exact by construction.

    Args:
        net: ``r_k`` beyond the linear part, ``net(x0, 0, x1) -> (B, K, *D)``; None for a linear I.
        size: Entries of a state.
        n_basis: K.
        linear: Whether ``r_k`` has a part linear in (x0, x1).
    """

    def __init__(self, net: nn.Module | None, size: int, n_basis: int, *, linear: bool) -> None:
        super().__init__()
        self.net, self.n_basis = net, n_basis
        self.linear = nn.Parameter(torch.zeros(2 * size, n_basis * size)) if linear else None

    def forward(self, t: Tensor, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        """``I`` and ``dI/dt``; ``t (B,)``, ends ``(B, *D)`` -> each ``(B, *D)``."""
        psi, rate = (c.to(x0) for c in bubbles(t, self.n_basis))
        bend = self._bend(x0, x1)
        straight = x1 - x0
        i = (
            x0
            + expand_like(t, x0).to(x0) * straight
            + torch.einsum("bk,bkd->bd", psi, bend).reshape(x0.shape)
        )
        return i, straight + torch.einsum("bk,bkd->bd", rate, bend).reshape(x0.shape)

    def _bend(self, x0: Tensor, x1: Tensor) -> Tensor:
        """``r_k`` flattened, ``(B, K, d)``."""
        shape = (len(x0), self.n_basis, -1)
        # An MLP takes the state flat, so that x1 can be the vector of its condition.
        event = self.net.shape if isinstance(self.net, Net) else x0.shape[1:]
        bend = x0.new_zeros(len(x0), self.n_basis, x0[0].numel())
        if self.net is not None:
            bend = bend + self.net(x0.reshape(-1, *event), x0.new_zeros(()), x1.reshape(-1, *event)).reshape(
                shape
            )
        if self.linear is not None:
            bend = bend + (torch.cat([x0.flatten(1), x1.flatten(1)], 1) @ self.linear).reshape(shape)
        return bend
