"""Inference in several Matern processes that are observed together at sorted places, in time linear in the places.

R independent processes ``u_r`` have one kernel. At place s a message ``exp(-u^T Lambda_s u / 2 + eta_s^T u)`` tells
about ``u = (u_1(x_s), ..., u_R(x_s))``: an observation with noise, or what variational inference knows of u. A Kalman
filter goes through the places, and a smoother back.

Letters: ``S`` places, ``m`` states of the kernel, ``n = m R`` states in all, in the order (state, process).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.records import record
from interpolants.kernels.matern import Matern

Array = npt.NDArray[np.float64]


@record("chain_posterior")
@dataclass(frozen=True, kw_only=True, eq=False)
class ChainPosterior:
    """Posterior of R processes.

    Attributes:
        smoothness: That of the kernel.
        lengthscale: In units of the places.
        places: Sorted, different, ``(S,)``.
        filtered_mean: Of the states given messages up to their place, ``(S, n)``.
        filtered_covariance: ``(S, n, n)``.
        mean: Of the states given all messages, ``(S, n)``.
        covariance: ``(S, n, n)``.
        log_normaliser: Logarithm of the messages' mean under the prior, in nats.
    """

    smoothness: float
    lengthscale: float
    places: Tensor
    filtered_mean: Tensor
    filtered_covariance: Tensor
    mean: Tensor
    covariance: Tensor
    log_normaliser: float

    @property
    def processes(self) -> int:
        """Number R of processes."""
        return self.mean.shape[1] // Matern(self.smoothness).size

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean ``(S, R)`` and covariance ``(S, R, R)`` of the processes at the places."""
        r = self.processes
        return self.mean[:, :r], self.covariance[:, :r, :r]

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``(B, R)`` and covariance ``(B, R, R)`` of the processes at any x ``(B,)``.

        The states at x are conditioned on the filtered ones at the last place before x and on the smoothed ones at the
        next place. That is the posterior itself, and a row depends on no other row.
        """
        r = self.processes
        mean, covariance = self._states(x)
        return mean[:, :r], covariance[:, :r, :r]

    def between(self, x: Tensor) -> Tensor:
        """Covariance of the processes at each two of x ``(B,)``, ``(B, B, R, R)``; [i, j] is Cov(u(x_i), u(x_j)).

        For sorted points ``s < t`` of places and x together, ``Cov(z_s, z_t) = G_s ... G_(t-1) C_t``, with the gains G
        of the smoother and the smoothed covariance C.
        """
        kernel, r = Matern(self.smoothness), self.processes
        own, index = torch.unique(x, return_inverse=True)
        points, place = torch.unique(torch.cat([self.places, own]), return_inverse=True)
        place = place[len(self.places) :]
        filtered = self._filtered(kernel, points)[1]
        a, q = _wide(kernel, points.diff() / self.lengthscale, r)
        gains = torch.linalg.solve(a @ filtered[:-1] @ a.mT + q, a @ filtered[:-1]).mT
        across = self._states(own)[1]
        found = across.new_zeros(len(own), len(own), r, r)
        for i in range(len(own) - 1, -1, -1):
            later = range(int(place[i + 1]) - 1, int(place[i]) - 1, -1) if i + 1 < len(own) else ()
            for s in later:
                across[i + 1 :] = gains[s] @ across[i + 1 :]
            found[i, i:] = across[i:, :r, :r]
            found[i:, i] = across[i:, :r, :r].mT
        return found[index][:, index]

    def _filtered(self, kernel: Matern, x: Tensor) -> tuple[Tensor, Tensor]:
        """States at x given the messages up to there."""
        left = torch.searchsorted(self.places, x.contiguous(), right=True) - 1
        none, known = left < 0, left.clamp_min(0)
        # Before the first place the state is a stationary one.
        stationary = _blocks(kernel.stationary, self.processes).to(self.mean)
        mean = torch.where(none[:, None], 0.0, self.filtered_mean[known])
        covariance = torch.where(none[:, None, None], stationary, self.filtered_covariance[known])
        gaps = torch.where(none, 0.0, x - self.places[known]) / self.lengthscale
        return _moved(_wide(kernel, gaps, self.processes), mean, covariance)

    def _states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``(B, n)`` and covariance ``(B, n, n)`` of all states at x."""
        kernel, r, last = Matern(self.smoothness), self.processes, len(self.places) - 1
        left = torch.searchsorted(self.places, x.contiguous(), right=True) - 1
        right = (left + 1).clamp_max(last)
        mean, covariance = self._filtered(kernel, x)
        ahead = _wide(kernel, (self.places[right] - x).clamp_min(0) / self.lengthscale, r)
        there, spread = _moved(ahead, mean, covariance)
        # Beyond the last place nothing comes back; the identity is there so that its systems can be solved.
        beyond = (left == last)[:, None, None]
        eye = torch.eye(spread.shape[-1], dtype=spread.dtype)
        gain = torch.linalg.solve(spread + torch.where(beyond, eye, 0.0), ahead[0] @ covariance).mT
        gain = torch.where(beyond, 0.0, gain)
        mean = mean + (gain @ (self.mean[right] - there)[..., None])[..., 0]
        covariance = covariance + gain @ (self.covariance[right] - spread) @ gain.mT
        return mean, 0.5 * (covariance + covariance.mT)


def infer_chain(
    kernel: Matern, lengthscale: float, places: Tensor, precision: Tensor, shift: Tensor
) -> ChainPosterior:
    """The posterior of R processes with messages about them.

    Args:
        kernel: Their kernel; variance 1.
        lengthscale: In units of the places, > 0.
        places: Sorted and different, ``(S,)`` float64.
        precision: Matrices Lambda of the messages, ``(S, R, R)``, positive semi-definite; 0 where nothing is known.
        shift: Vectors eta of the messages, ``(S, R)``.

    Source: Kalman filter and Rauch-Tung-Striebel smoother in information form, Särkkä (2013), ch. 4 and 8.
    """
    r = precision.shape[1]
    steps = [_wide(kernel, _gaps(places, lengthscale), r)]
    a, q = (np.stack([step[i].numpy() for step in steps], 1) for i in range(2))
    forward = _Forward.run(a, q, precision.numpy(), shift.numpy())
    mean, covariance = _backward(a[:, 0], forward)
    filtered = (torch.from_numpy(forward.mean[:, 0]), torch.from_numpy(forward.covariance[:, 0]))
    return ChainPosterior(
        smoothness=kernel.smoothness,
        lengthscale=lengthscale,
        places=places,
        filtered_mean=filtered[0].contiguous(),
        filtered_covariance=filtered[1].contiguous(),
        mean=torch.from_numpy(mean),
        covariance=torch.from_numpy(covariance),
        log_normaliser=float(forward.log_normalisers()[0]),
    )


def log_normalisers(
    kernel: Matern, lengthscales: Tensor, places: Tensor, precision: Tensor, shift: Tensor
) -> Tensor:
    """Log normalisers of :func:`infer_chain` for several lengthscales ``(G,)`` at once, ``(G,)``, by filters alone."""
    r = precision.shape[1]
    steps = [_wide(kernel, _gaps(places, scale), r) for scale in lengthscales.tolist()]
    a, q = (np.stack([step[i].numpy() for step in steps], 1) for i in range(2))
    return torch.from_numpy(_Forward.run(a, q, precision.numpy(), shift.numpy()).log_normalisers())


def _gaps(places: Tensor, lengthscale: float) -> Tensor:
    """Steps to each place in lengthscales; the first comes from infinitely far, where nothing is known."""
    return places.diff(prepend=places[:1] - torch.inf) / lengthscale


def _blocks(a: Tensor, r: int) -> Tensor:
    """``a kron I_r``: each of r processes moves by itself."""
    eye = torch.eye(r, dtype=a.dtype)
    wide = torch.einsum("...ij,rs->...irjs", a, eye)
    n = a.shape[-1] * r
    return wide.reshape(*a.shape[:-2], n, n)


def _wide(kernel: Matern, gaps: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Transitions of the states of r processes."""
    a, q = kernel.transition(gaps)
    return _blocks(a, r), _blocks(q, r)


def _moved(step: tuple[Tensor, Tensor], mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    a, q = step
    return (a @ mean[..., None])[..., 0], a @ covariance @ a.mT + q


# --- the two passes, in NumPy: matrices are small, and its calls cost least -----------------------------------


@dataclass(frozen=True)
class _Forward:
    """Moments of the forward pass at each place for G lengthscales: ``(S, G, n)`` and ``(S, G, n, n)``."""

    mean: Array
    covariance: Array
    predicted_mean: Array
    predicted_covariance: Array
    precision: Array
    shift: Array

    @classmethod
    def run(cls, a: Array, q: Array, precision: Array, shift: Array) -> "_Forward":
        """Predict and update, place by place."""
        places, count, n, _ = a.shape
        r = precision.shape[1]
        eye = np.eye(r)
        stored = [np.empty((places, count, n, *more)) for more in ((1,), (n,), (1,), (n,))]
        mean, covariance = np.zeros((count, n, 1)), np.zeros((count, n, n))
        for s in range(places):
            mean = a[s] @ mean
            covariance = a[s] @ covariance @ a[s].swapaxes(1, 2) + q[s]
            stored[2][s], stored[3][s] = mean, covariance
            seen = covariance[:, :r]
            told = precision[s] @ np.concatenate([mean[:, :r], seen], 2)
            told[:, :, 0] = shift[s] - told[:, :, 0]
            gained = seen.swapaxes(1, 2) @ np.linalg.solve(eye + told[:, :, 1 : r + 1], told)
            mean = mean + gained[:, :, :1]
            covariance = covariance - gained[:, :, 1:]
            covariance = 0.5 * (covariance + covariance.swapaxes(1, 2))
            stored[0][s], stored[1][s] = mean, covariance
        return cls(stored[0][..., 0], stored[1], stored[2][..., 0], stored[3], precision, shift)

    def log_normalisers(self) -> Array:
        """``log E exp(-u^T Lambda u / 2 + eta^T u)`` over the predictions, summed over places, ``(G,)``."""
        r = self.precision.shape[1]
        mu, sigma = self.predicted_mean[..., :r, None], self.predicted_covariance[..., :r, :r]
        precision, shift = self.precision[:, None], self.shift[:, None, :, None]
        pulled = precision @ mu
        system = np.eye(r) + precision @ sigma
        rest = shift - pulled
        quadratic = (sigma @ rest * np.linalg.solve(system, rest)).sum((-2, -1))
        linear = (mu * (shift - 0.5 * pulled)).sum((-2, -1))
        found: Array = (linear + 0.5 * quadratic - 0.5 * np.linalg.slogdet(system)[1]).sum(0)
        return found


def _backward(a: Array, forward: _Forward) -> tuple[Array, Array]:
    """Smoothed moments ``(S, n)`` and ``(S, n, n)`` of the first lengthscale."""
    mean, covariance = forward.mean[:, 0].copy(), forward.covariance[:, 0].copy()
    ahead_mean, ahead_covariance = forward.predicted_mean[1:, 0], forward.predicted_covariance[1:, 0]
    gains: Any = np.linalg.solve(ahead_covariance, a[1:] @ covariance[:-1]).swapaxes(1, 2)
    for s in range(len(mean) - 2, -1, -1):
        gain = gains[s]
        mean[s] += gain @ (mean[s + 1] - ahead_mean[s])
        covariance[s] += gain @ (covariance[s + 1] - ahead_covariance[s]) @ gain.T
        covariance[s] = 0.5 * (covariance[s] + covariance[s].T)
    return mean, covariance
