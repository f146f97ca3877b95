"""The distribution of ``alpha x0 + beta x1 + gamma z`` for pairs of Gaussian modes, factored once for all times.

Letters: a pair n = (i, j) has weight ``p_i q_j``, ends ``N(m, C)`` and ``N(n, D)``, and at time t the covariance
``Sigma = alpha^2 C + beta^2 D + gamma^2 Id``. With the residual ``r = x - alpha m - beta n`` every field is a sum of
``(a C + b D + g Id) Sigma^-1 r`` over the pairs, so that is all that is offered here.

``P C P^T = diag(c)``, ``P D P^T = diag(d)`` for one P per pair makes ``Sigma`` diagonal at all times. Such a P exists
for two matrices always, and is orthogonal if they commute; with the third matrix, the identity, only if they commute.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

_COMMUTES = 1e-12  # relative size of C D - D C up to which the two share eigenvectors, in float64
_CHUNK = 1 << 22  # entries of the per-row covariances that are held at once
_LOG_2_PI = math.log(2 * math.pi)

# A path's coefficient: a number, 0-d, one per state ``(B,)``, or one per state and coordinate ``(1 or B, D)``.
Scalar = Tensor | float


@dataclass(frozen=True)
class Coefficients:
    """A path's coefficients at the requested times, each 0-d or ``(B,)``, in the problem's precision.

    Where the pairs are given in the coordinates of a path's basis, one per coordinate, ``(1 or B, D)``.
    """

    alpha: Tensor
    beta: Tensor
    gamma_squared: Tensor

    def column(self) -> "Coefficients":
        """The same as ``(1, 1, 1)`` or ``(B, 1, 1)``, to broadcast against ``(B, N, D)``."""
        return _map(self, as_column)

    def take(self, rows: slice) -> "Coefficients":
        """Those of some states."""
        return _map(self, lambda value: value[rows])

    def distinct(self) -> tuple["Coefficients", Tensor | None]:
        """Each combination once, and which one each state has; None if there is a single one."""
        if self.alpha.ndim == 0:
            return self, None
        if self.alpha.requires_grad:  # a derivative in time must reach every state's own time
            return self, torch.arange(self.alpha.shape[0], device=self.alpha.device)
        table = torch.stack([self.alpha, self.beta, self.gamma_squared])
        unique, row = torch.unique(table, dim=1, return_inverse=True)
        return Coefficients(*unique), None if unique.shape[1] == 1 else row


@dataclass(frozen=True)
class Pairs:
    """The pairs: ``log_weights (N,)``; ``mean0, mean1 (N, D)``; ``cov0, cov1``, both ``(N, D)`` or ``(N, D, D)``."""

    log_weights: Tensor
    mean0: Tensor
    mean1: Tensor
    cov0: Tensor
    cov1: Tensor

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are variances along the axes."""
        return self.cov0.ndim == 2

    def map(self, f: Callable[[Tensor], Tensor]) -> "Pairs":
        """Apply a cast or a move to every tensor."""
        return _map(self, f)

    def mean(self, at: Coefficients) -> Tensor:
        """``alpha m + beta n``: ``(1 or B, N, D)``."""
        wide = at.column()
        return wide.alpha * self.mean0 + wide.beta * self.mean1


class Posterior(ABC):
    """Everything that depends on the states: weights of the pairs, and ``Sigma^-1 r``.

    Coefficients are 0-d or ``(B,)``; where covariances are diagonal in the axes also one per coordinate.
    """

    log_joint: Tensor  # (B, N), log of p_i q_j N(x; mean, Sigma)

    @cached_property
    def weights(self) -> Tensor:
        """``(B, N)`` probability of each pair given the state."""
        return self.log_joint.softmax(1)

    @abstractmethod
    def apply(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        """``sum_n w_n (a C + b D + g Id) Sigma^-1 r``: ``(B, D)``; coefficients 0-d or ``(B,)``."""

    @abstractmethod
    def each(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        """``(a C + b D + g Id) Sigma^-1 r`` of each pair: ``(B, N, D)``."""

    @abstractmethod
    def trace(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        """``tr (a C + b D + g Id) Sigma^-1`` of each pair: ``(1 or B, N)``."""


class Modes(ABC):
    """A factorisation of the pairs that serves every time."""

    pairs: Pairs

    @abstractmethod
    def posterior(self, x: Tensor, at: Coefficients) -> Posterior:
        """Condition on the states ``x (B, D)``."""

    @abstractmethod
    def map(self, f: Callable[[Tensor], Tensor]) -> "Modes":
        """Apply a cast or a move to every tensor."""


def factorise(pairs: Pairs, *, with_identity: bool) -> Modes:
    """The cheapest factorisation that is exact for the given covariances.

    Args:
        pairs: The pairs, in the precision of the results; the work is done in float64.
        with_identity: Whether the path adds ``gamma^2 Id``.
    """
    dtype = pairs.mean0.dtype
    modes = _factorise(pairs.map(torch.Tensor.double), with_identity)
    return modes.map(lambda value: value.to(dtype))


def _factorise(pairs: Pairs, with_identity: bool) -> Modes:
    if pairs.is_diagonal:
        return AxisModes(pairs, pairs.cov0, pairs.cov1)
    basis = _shared_eigenvectors(pairs.cov0, pairs.cov1)
    if basis is not None:
        return BasisModes.make(pairs, basis, basis.mT, orthogonal=True)
    if with_identity:
        return DenseModes(pairs)
    # C = A A^T and A^-1 D A^-T = U diag(d) U^T, so P = U^T A^-1 turns C into Id and D into diag(d).
    root = torch.linalg.cholesky(pairs.cov0)
    half = torch.linalg.solve_triangular(root, pairs.cov1, upper=False)
    white = torch.linalg.solve_triangular(root, half.mT, upper=False)
    u = torch.linalg.eigh((white + white.mT) / 2).eigenvectors
    basis = torch.linalg.solve_triangular(root.mT, u, upper=True).mT
    return BasisModes.make(pairs, basis, root @ u, orthogonal=False)


def _shared_eigenvectors(c: Tensor, d: Tensor) -> Tensor | None:
    """``(N, D, D)`` rows that diagonalise both members of every pair, or None if some pair does not commute."""
    c, d = (m / m.flatten(1).norm(dim=1).clamp_min(1e-300)[:, None, None] for m in (c, d))
    if float((c @ d - d @ c).flatten(1).norm(dim=1).max()) > _COMMUTES:
        return None
    # A combination with an irrational factor has no eigenvalue twice unless both have; the check below covers the rest.
    basis: Tensor = torch.linalg.eigh(c + 0.7390851332151607 * d).eigenvectors.mT
    for m in (c, d):
        turned = basis @ m @ basis.mT
        rest = turned - turned.diagonal(dim1=1, dim2=2).diag_embed()
        if float(rest.flatten(1).norm(dim=1).max()) > 10 * _COMMUTES:
            return None
    return basis


@dataclass(frozen=True)
class AxisModes(Modes):
    """Covariances diagonal in the axes: no matrix product at all."""

    pairs: Pairs
    c: Tensor
    d: Tensor

    def posterior(self, x: Tensor, at: Coefficients) -> Posterior:
        """Condition on the states."""
        wide = at.column()
        eigen = wide.alpha.square() * self.c + wide.beta.square() * self.d + wide.gamma_squared
        return _AxisPosterior(self, x[:, None] - self.pairs.mean(at), eigen)

    def map(self, f: Callable[[Tensor], Tensor]) -> "AxisModes":
        """Apply a cast or a move to every tensor."""
        return AxisModes(self.pairs.map(f), f(self.c), f(self.d))


class _AxisPosterior(Posterior):
    def __init__(self, modes: AxisModes, r: Tensor, eigen: Tensor) -> None:
        self._c, self._d, self._eigen = modes.c, modes.d, eigen
        self._u = r / eigen
        self.log_joint = _log_joint(modes.pairs.log_weights, r * self._u, eigen)

    def apply(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        return (self.weights[..., None] * self.each(a, b, g)).sum(1)

    def each(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        return self._factor(a, b, g) * self._u

    def trace(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        return (self._factor(a, b, g) / self._eigen).sum(2)

    def _factor(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        return _wide(a) * self._c + _wide(b) * self._d + _wide(g)


@dataclass(frozen=True)
class BasisModes(Modes):
    """One basis per pair in which its covariance is diagonal at all times: two matrix products per evaluation.

    Attributes:
        down: ``(D, N D)``, all ``P^T`` side by side, so that ``x @ down`` holds every ``P x``.
        back: ``(N D, D)``, all ``P^-T`` stacked: ``u @ back`` is the sum of ``P^-1 u_n``.
        still: ``(N D, D)``, all ``P`` stacked: ``u @ still`` is the sum of ``P^T u_n``.
        turned0, turned1: ``(N, D)``, ``P m`` and ``P n``.
        c, d: ``(N, D)`` eigenvalues.
        log_det: ``(N,)``, ``log |det P|``.
    """

    pairs: Pairs
    down: Tensor
    back: Tensor
    still: Tensor
    turned0: Tensor
    turned1: Tensor
    c: Tensor
    d: Tensor
    log_det: Tensor
    orthogonal: bool

    @classmethod
    def make(cls, pairs: Pairs, basis: Tensor, inverse: Tensor, *, orthogonal: bool) -> "BasisModes":
        """From ``P`` and its inverse, each ``(N, D, D)``."""
        size = basis.shape[-1]
        turned = [torch.einsum("nij,nj->ni", basis, m) for m in (pairs.mean0, pairs.mean1)]
        c, d = ((basis @ m @ basis.mT).diagonal(dim1=1, dim2=2) for m in (pairs.cov0, pairs.cov1))
        return cls(
            pairs=pairs,
            down=basis.reshape(-1, size).T.contiguous(),
            back=inverse.mT.reshape(-1, size).contiguous(),
            still=basis.reshape(-1, size).contiguous(),
            turned0=turned[0],
            turned1=turned[1],
            # Rounding leaves variances a hair below zero where a mode has none (mirror paths).
            c=c.clamp_min(0).contiguous(),
            d=d.clamp_min(0).contiguous(),
            log_det=torch.linalg.slogdet(basis).logabsdet,
            orthogonal=orthogonal,
        )

    def posterior(self, x: Tensor, at: Coefficients) -> Posterior:
        """Condition on the states."""
        wide = at.column()
        turned = (x @ self.down).reshape(x.shape[0], *self.c.shape)
        r = turned - (wide.alpha * self.turned0 + wide.beta * self.turned1)
        eigen = wide.alpha.square() * self.c + wide.beta.square() * self.d
        return _BasisPosterior(self, r, eigen + wide.gamma_squared if self.orthogonal else eigen)

    def map(self, f: Callable[[Tensor], Tensor]) -> "BasisModes":
        """Apply a cast or a move to every tensor."""
        return _map(self, f)


class _BasisPosterior(Posterior):
    def __init__(self, modes: BasisModes, r: Tensor, eigen: Tensor) -> None:
        self._modes, self._eigen = modes, eigen
        self._u = r / eigen
        log_weights = modes.pairs.log_weights + modes.log_det
        self.log_joint = _log_joint(log_weights, r * self._u, eigen)

    def apply(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        mixed, plain = self._parts(a, b, g)
        weights = self.weights[..., None]
        value = torch.zeros_like(self._u[:, 0])
        if mixed is not None:
            value = (weights * mixed).flatten(1) @ self._modes.back
        return value if plain is None else value + (weights * plain).flatten(1) @ self._modes.still

    def each(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        mixed, plain = self._parts(a, b, g)
        value = torch.zeros_like(self._u) if mixed is None else self._turn(mixed, self._modes.back)
        return value if plain is None else value + self._turn(plain, self._modes.still)

    def trace(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        factor = _wide(a) * self._modes.c + _wide(b) * self._modes.d
        if self._modes.orthogonal:
            factor = factor + _wide(g)
        else:
            assert isinstance(g, float)  # zero: the identity is not diagonal in this basis
        return (factor / self._eigen).sum(2)

    def _parts(self, a: Scalar, b: Scalar, g: Scalar) -> tuple[Tensor | None, Tensor | None]:
        """Arguments of ``P^-1`` and of ``P^T``; the same when P is orthogonal."""
        only_plain = all(isinstance(k, float) and k == 0 for k in (a, b))
        no_plain = isinstance(g, float) and g == 0
        mixed = _wide(a) * self._modes.c + _wide(b) * self._modes.d
        if self._modes.orthogonal:
            return (mixed + _wide(g)) * self._u, None
        if only_plain:
            return None, _wide(g) * self._u
        return mixed * self._u, None if no_plain else _wide(g) * self._u

    def _turn(self, u: Tensor, stacked: Tensor) -> Tensor:
        matrices = stacked.reshape(*self._modes.c.shape, -1)
        return torch.einsum("bni,nij->bnj", u, matrices)


@dataclass(frozen=True)
class DenseModes(Modes):
    """Any covariances: one Cholesky factor per pair and distinct time."""

    pairs: Pairs

    def posterior(self, x: Tensor, at: Coefficients) -> Posterior:
        """Condition on the states."""
        if at.alpha.ndim == 0:
            return _DensePosterior(self, *self._solve(x, at))
        n, size = self.pairs.mean0.shape
        rows = max(1, _CHUNK // (n * size * size))
        parts = [
            self._solve(x[k : k + rows], at.take(slice(k, k + rows))) for k in range(0, x.shape[0], rows)
        ]
        return _DensePosterior(self, *(torch.cat(part) for part in zip(*parts, strict=True)))

    def _solve(self, x: Tensor, at: Coefficients) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights ``(B, N)``, ``Sigma^-1 r (B, N, D)``, and the traces ``(1 or B, N, 3)`` of its products."""
        pairs = self.pairs
        r = x[:, None] - pairs.mean(at)
        distinct, row = at.distinct()
        a, b, g = (k.reshape(-1, 1, 1, 1) for k in (distinct.alpha, distinct.beta, distinct.gamma_squared))
        eye = torch.eye(x.shape[1], dtype=r.dtype, device=r.device)
        factor = torch.linalg.cholesky(a.square() * pairs.cov0 + b.square() * pairs.cov1 + g * eye)
        precision = torch.cholesky_inverse(factor)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        traces = torch.stack([(precision * m).sum((-1, -2)) for m in (pairs.cov0, pairs.cov1, eye)], -1)
        if row is None:
            y = torch.einsum("bnd,nde->bne", r, precision[0])
        else:
            y = torch.einsum("bnd,bnde->bne", r, precision[row])
            log_det, traces = log_det[row], traces[row]
        quadratic = (r * y).sum(2) + log_det + x.shape[1] * _LOG_2_PI
        return pairs.log_weights - 0.5 * quadratic, y, traces

    def map(self, f: Callable[[Tensor], Tensor]) -> "DenseModes":
        """Apply a cast or a move to every tensor."""
        return DenseModes(self.pairs.map(f))


class _DensePosterior(Posterior):
    def __init__(self, modes: DenseModes, log_joint: Tensor, y: Tensor, traces: Tensor) -> None:
        self.log_joint, self._y, self._traces = log_joint, y, traces
        self._pairs = modes.pairs

    def apply(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        return (self.weights[..., None] * self.each(a, b, g)).sum(1)

    def each(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        value = _wide(g) * self._y
        for k, covariance in ((a, self._pairs.cov0), (b, self._pairs.cov1)):
            if not (isinstance(k, float) and k == 0):
                value = value + _wide(k) * torch.einsum("bnd,nde->bne", self._y, covariance)
        return value

    def trace(self, a: Scalar, b: Scalar, g: Scalar) -> Tensor:
        terms = self._traces.unbind(2)
        return sum(
            (_flat(k) * term for k, term in zip((a, b, g), terms, strict=True)), torch.zeros_like(terms[0])
        )


def as_column(value: Tensor) -> Tensor:
    """A coefficient that broadcasts against ``(B, N, D)``."""
    return value[:, None] if value.ndim == 2 else value.reshape(-1, 1, 1)


def _wide(value: Scalar) -> Scalar:
    return value if isinstance(value, float) else as_column(value)


def _flat(value: Scalar) -> Scalar:
    return value if isinstance(value, float) else value.reshape(-1, 1)


def _log_joint(log_weights: Tensor, quadratic: Tensor, eigen: Tensor) -> Tensor:
    return log_weights - 0.5 * (quadratic.sum(2) + eigen.log().sum(2) + eigen.shape[2] * _LOG_2_PI)


_T = TypeVar("_T")


def _map(record: _T, f: Callable[[Tensor], Tensor]) -> _T:
    values = {k.name: getattr(record, k.name) for k in fields(record)}  # type: ignore[arg-type]
    moved = {
        name: f(v) if isinstance(v, Tensor) else v.map(f) if isinstance(v, Pairs) else v
        for name, v in values.items()
    }
    return type(record)(**moved)
