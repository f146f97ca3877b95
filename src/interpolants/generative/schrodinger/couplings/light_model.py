"""Trainable mixture potential: value and derivatives from sums over the samples.

Letters as in ``light_plan``; ``w`` the components' weights given x0 and ``q`` those given x1.

Both ``log c_k`` and ``log v_k`` are linear in the features ``(x x, x, 1)``, so one product gives all components, and
one product more the sums ``E w (x x, x, 1)`` on which every derivative of L depends. No automatic differentiation is
needed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 1 << 21  # entries of the largest array that is held at once


@dataclass(frozen=True)
class Sums:
    """``E w``, ``E w x`` and ``E w x x`` over one end: ``(K)``, ``(K, D)``, ``(K, D)`` or ``(K, D, D)``; and ``E
    log``.
    """

    value: float
    mass: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Model:
    """The parameters, in the scaled frame."""

    log_alpha: Tensor
    offsets: Tensor
    slopes: Tensor

    @property
    def full(self) -> bool:
        """Whether the slopes are matrices."""
        return self.slopes.ndim == 3

    def natural0(self, e: float) -> Tensor:
        """Coefficients of the features in ``log c_k``: ``(F, K)``."""
        parts = [self.slopes.flatten(1) / (2 * e), self.offsets / e, self.log_alpha[:, None]]
        return torch.cat(parts, 1).mT.contiguous()

    def natural1(self, e: float) -> Tensor:
        """Coefficients of the features in ``log v_k``: ``(F, K)``."""
        if self.full:
            root = torch.linalg.cholesky(self.slopes)
            precision = torch.cholesky_inverse(root)
            turned = torch.einsum("kde,ke->kd", precision, self.offsets)
            log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
        else:
            precision = 1 / self.slopes
            turned = precision * self.offsets
            log_det = self.slopes.log().sum(1)
        dim = self.offsets.shape[1]
        constant = self.log_alpha - 0.5 * (log_det + dim * math.log(2 * math.pi * e))
        constant = constant - (self.offsets * turned).sum(1) / (2 * e)
        return torch.cat([-precision.flatten(1) / (2 * e), turned / e, constant[:, None]], 1).mT.contiguous()


def _features(x: Tensor, full: bool) -> Tensor:
    """``(x x, x, 1)``: all products of two coordinates, or the squares."""
    squares = (x[:, :, None] * x[:, None, :]).flatten(1) if full else x.square()
    return torch.cat([squares, x, x.new_ones(len(x), 1)], 1)


def sums_of(x: Tensor, natural: Tensor, full: bool) -> Sums:
    """One pass over the points: weights of the components, and what they add up to."""
    size = x.shape[1]
    total, value = torch.zeros_like(natural), x.new_zeros(())
    for part in _parts(x, natural):
        features = _features(part, full)
        logits = features @ natural
        top = logits.amax(1, keepdim=True)
        weights = logits.sub_(top).exp_()
        norm = weights.sum(1, keepdim=True)
        value += top.sum() + norm.log().sum()
        total += features.mT @ weights.div_(norm)
    total /= len(x)
    squares, first, mass = total[: -size - 1].mT, total[-size - 1 : -1].mT, total[-1]
    second = squares.reshape(-1, size, size) if full else squares
    return Sums(float(value) / len(x), mass, first, second)


def _mean_log(x: Tensor, natural: Tensor, full: bool) -> float:
    """``E log sum_k exp(features . natural)``."""
    parts = _parts(x, natural)
    return float(sum((_features(part, full) @ natural).logsumexp(1).sum() for part in parts)) / len(x)


def _parts(x: Tensor, natural: Tensor) -> tuple[Tensor, ...]:
    """Rows that fit into memory with their features and logits."""
    return torch.split(x, max(1, CHUNK // max(natural.shape)))


def loss(model: Model, y0: Tensor, y1: Tensor, e: float) -> float:
    """``E log c - E log v``."""
    return _mean_log(y0, model.natural0(e), model.full) - _mean_log(y1, model.natural1(e), model.full)


class Coordinates:
    """The parameters as one vector without constraints: log alpha, r, and log S or the logged Cholesky factor of S.

    Args:
        flat: The vector; shared, not copied.
        k: Components.
        dim: Dimensions.
        full: Whether S is a matrix.
    """

    def __init__(self, flat: Tensor, k: int, dim: int, full: bool) -> None:
        self.flat, self.full = flat, full
        self._alpha, self._offsets = flat[:k], flat[k : k + k * dim].view(k, dim)
        rest = flat[k + k * dim :]
        self._rest = rest.view(k, dim, dim) if full else rest.view(k, dim)

    @classmethod
    def of(cls, model: Model) -> "Coordinates":
        """Those of a model."""
        if model.full:
            root = torch.linalg.cholesky(model.slopes)
            rest = root.tril(-1) + root.diagonal(dim1=1, dim2=2).log().diag_embed()
        else:
            rest = model.slopes.log()
        flat = torch.cat([model.log_alpha, model.offsets.flatten(), rest.flatten()])
        k, dim = model.offsets.shape
        return cls(flat, k, dim, model.full)

    def model(self) -> Model:
        """The model of this moment."""
        if not self.full:
            return Model(self._alpha, self._offsets, self._rest.exp())
        root = self._root()
        return Model(self._alpha, self._offsets, root @ root.mT)

    def _root(self) -> Tensor:
        return self._rest.tril(-1) + self._rest.diagonal(dim1=1, dim2=2).exp().diag_embed()

    def gradient(self, model: Model, sums0: Sums, sums1: Sums, e: float) -> Tensor:
        """Of the loss, by these coordinates."""
        mass, r = sums1.mass, model.offsets
        if not model.full:
            precision = 1 / model.slopes
            offsets = (sums0.first - precision * (sums1.first - mass[:, None] * r)) / e
            spread = sums1.second - 2 * r * sums1.first + mass[:, None] * r.square()
            rest = (model.slopes * sums0.second - precision * spread) / (2 * e) + 0.5 * mass[:, None]
        else:
            precision = torch.cholesky_inverse(torch.linalg.cholesky(model.slopes))
            apart = sums1.first - mass[:, None] * r
            offsets = (sums0.first - torch.einsum("kde,ke->kd", precision, apart)) / e
            cross = r[:, :, None] * sums1.first[:, None, :]
            outer = mass[:, None, None] * r[:, :, None] * r[:, None, :]
            spread = sums1.second - cross - cross.mT + outer
            by_slope = (sums0.second - precision @ spread @ precision) / (2 * e)
            by_slope = by_slope + 0.5 * mass[:, None, None] * precision
            root = self._root()
            by_root = 2 * by_slope @ root
            log_diagonal = (by_root * root).diagonal(dim1=1, dim2=2)
            rest = by_root.tril(-1) + log_diagonal.diag_embed()
        return torch.cat([sums0.mass - mass, offsets.flatten(), rest.flatten()])

    def bound(self, least: float) -> None:
        """Keep the slopes above ``least``."""
        sizes = self._rest.diagonal(dim1=1, dim2=2) if self.full else self._rest
        sizes.clamp_min_(0.5 * math.log(least) if self.full else math.log(least))
