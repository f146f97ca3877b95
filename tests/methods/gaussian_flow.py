"""The flow between two Gaussians with independent ends on the linear path, in closed form.

In the coordinates where the start is white and the end has variances ``mu``, each coordinate is scaled by
``r(t) = sqrt((1 - t)^2 + t^2 mu)``. So ``X_{s,t}(x) = m_t + A_t A_s^{-1} (x - m_s)`` with ``A_t = V r(t) V^{-1}``.
"""

import torch

from interpolants.paths import Linear, ZeroEnvelope
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

DOUBLE = torch.float64


class GaussianFlow:
    def __init__(self, mean0, cov0, mean1, cov1):
        self.mean0, self.cov0, self.mean1, self.cov1 = (
            torch.as_tensor(a, dtype=DOUBLE) for a in (mean0, cov0, mean1, cov1)
        )
        root = torch.linalg.cholesky(self.cov0)
        white = torch.linalg.solve(root, torch.linalg.solve(root, self.cov1).mT)
        self.mu, turn = torch.linalg.eigh(white)
        self.to, self.back = root @ turn, turn.mT @ torch.linalg.inv(root)

    def mean(self, t):
        return self.mean0 + t * (self.mean1 - self.mean0)

    def scale(self, t):
        return ((1 - t).square() + t.square() * self.mu).sqrt()

    def matrix(self, t):
        return self.to @ torch.diag(self.scale(torch.as_tensor(t, dtype=DOUBLE))) @ self.back

    def velocity(self, x, s, t):
        """The average velocity, written so that nothing cancels at s = t."""
        s, t = (
            torch.as_tensor(a, dtype=DOUBLE).expand(len(x)) if not torch.is_tensor(a) or a.ndim == 0 else a
            for a in (s, t)
        )
        s, t = s[:, None], t[:, None]
        rate = ((t + s) * (1 + self.mu) - 2) / (self.scale(s) * (self.scale(s) + self.scale(t)))
        return self.mean1 - self.mean0 + ((x - self.mean(s)) @ self.back.mT * rate) @ self.to.mT

    def jump(self, x, s, t):
        change = self.matrix(t) @ torch.linalg.inv(self.matrix(s))
        return self.mean(t) + (x - self.mean(s)) @ change.mT

    def draw(self, n, generator):
        z0, z1 = (torch.randn(n, 2, dtype=DOUBLE, generator=generator) for _ in range(2))
        roots = [torch.linalg.cholesky(c) for c in (self.cov0, self.cov1)]
        return self.mean0 + z0 @ roots[0].mT, self.mean1 + z1 @ roots[1].mT

    @property
    def fields(self):
        one = torch.ones(1, dtype=DOUBLE)
        ends = [
            GaussianMixture(one, mean[None], cov[None])
            for mean, cov in ((self.mean0, self.cov0), (self.mean1, self.cov1))
        ]
        return GaussianMixtureBridge(*ends).fields(Linear(envelope=ZeroEnvelope()))

    @property
    def cost(self):
        return transport_cost(self.matrix(1.0), self.cov0) + (self.mean1 - self.mean0).square().sum()


def transport_cost(matrix, cov0):
    move = matrix - torch.eye(len(matrix), dtype=matrix.dtype)
    return (move @ cov0 @ move.mT).trace()


def crossed():
    """Two long ellipses at 45 degrees: the flow is no gradient, and far from optimal transport."""
    half = 0.5 * (4.0 + 0.25), 0.5 * (4.0 - 0.25)
    return GaussianFlow(
        [0.0, 0.0], [[4.0, 0.0], [0.0, 0.25]], [1.0, -0.5], [[half[0], half[1]], [half[1], half[0]]]
    )
