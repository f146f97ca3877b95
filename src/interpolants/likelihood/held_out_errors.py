"""Squared errors of learnt fields without the truth: the predictable part of their held-out residuals.

Letters: ``y`` what a field is trained on (the rate of the interpolant, or for the score ``-z/sigma``);
``r = y - f(x_t)`` its residual, ``d(x) = E[r | x_t = x]`` the error that it still has; ``phi`` features of x_t: the
state, both fields and random ones; ``G = E[phi phi']`` and ``m = E[phi r] = E[phi d]``.

The features explain ``m' G^-1 m`` of ``E|d|^2``. The square of an estimated m would count its noise as an error, and a
regression scored on rows of its own would set the cost of learning it against the error; in many dimensions either
outweighs the error itself. So the held-out rows are cut into folds that share no end point, and only products of
different folds are taken,

``mean over k != l of m_k' (G + ridge)^-1 m_l``,

which is right on average for what the features explain. Errors that they do not explain are missed, so this is an
estimate from below; a ratio of two of them, which is what the noise level depends on, suffers less than either. Its
standard error is by jackknife over folds, and twice that, the least that could have been seen, is its least value.

Source: the bound it serves is that of Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, check_rows, take_rows
from interpolants.likelihood.kl_bound import SquaredErrors, middle_times
from interpolants.paths.path import Path

# Random features; the most entries of a state whose features all entries share; folds; a ridge for features of unit
# variance; and end points per direction in the space of features.
_RANDOM, _WIDEST, _FOLDS, _RIDGE, _PER_DIRECTION = 96, 256, 8, 1e-3, 4
_FEWEST_ENDS = 200


def held_out_errors(
    fields: Fields,
    x0: Tensor | None,
    x1: Tensor,
    *,
    times: int | Sequence[float] = 10,
    repeats: int = 16,
    paired: bool = False,
    cond: Condition = None,
    generator: Generator | None = None,
) -> SquaredErrors:
    """Estimates, from below, of the mean squared errors of velocity and score on data that training has not seen.

    Args:
        fields: Learnt fields with a path.
        x0: Held-out start points ``(N, *D)``; None where the path draws them.
        x1: Held-out end points ``(M, *D)``, M >= 200.
        times: The times, or their number.
        repeats: How often each end point is used at a time, with fresh noise (and another start, unless ``paired``).
        paired: Row i of ``x0`` belongs to row i of ``x1``.
        cond: Condition, one row per end point.
        generator: Source of noise, pairs and features.

    Raises:
        InvalidInputError: If there is no path, no score, too few rows, or conditions do not fit.
    """
    who = "held_out_errors"
    path = fields.path
    if path is None or not fields.has_score:
        raise invalid(who, "the fields must have a path and a score", type(fields).__name__)
    if path.basis is not None:
        rule = "the path must have one noise scale for all directions, not a basis"
        raise invalid(who, rule, type(path).__name__, "Choose eps yourself.")
    if len(x1) < _FEWEST_ENDS:
        raise invalid(who, f"there must be at least {_FEWEST_ENDS} held-out end points", len(x1))
    if x0 is not None and len(x0) < _FOLDS:
        raise invalid(who, f"there must be at least {_FOLDS} held-out start points", len(x0))
    if paired and x0 is not None and len(x0) != len(x1):
        remedy = "Row i of x0 must belong to row i of x1."
        raise invalid(who, "paired rows need x0 and x1 of one size", (len(x0), len(x1)), remedy)
    check_rows(who, cond, len(x1), "row of x1")
    nodes = middle_times(times)
    rows = _Rows(fields, path, x0, x1, repeats, paired, cond, generator)
    with torch.no_grad():
        found = torch.tensor([_seen(rows, t) for t in nodes.tolist()], dtype=torch.float64)
    velocity, noise = found.unbind(1)
    return SquaredErrors(nodes, velocity, noise / path.noise_scale(nodes).square(), path=path)


@dataclass(frozen=True)
class _Fold:
    """States of some held-out rows at one time, both fields there, and their residuals; the score as noise."""

    parts: tuple[Tensor, Tensor, Tensor]
    residuals: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Rows:
    """The held-out rows, fold by fold: neither a start nor an end point is in two of them."""

    fields: Fields
    path: Path
    x0: Tensor | None
    x1: Tensor
    repeats: int
    paired: bool
    cond: Condition
    generator: Generator | None

    @property
    def directions(self) -> int:
        """So many directions of the features may be used: of more, few end points would not tell the second moments."""
        return min(len(x) for x in (self.x0, self.x1) if x is not None) // _PER_DIRECTION

    def folds(self, t: float) -> Iterator[_Fold]:
        sigma = float(self.path.noise_scale(torch.tensor(t, dtype=torch.float64)))
        for k in range(_FOLDS):
            ends = torch.arange(k, len(self.x1), _FOLDS).repeat(self.repeats)
            start = None if self.x0 is None else self.x0[ends if self.paired else self._starts(k, len(ends))]
            at = self.path.sample(x0=start, x1=self.x1[ends], t=t, generator=self.generator)
            time = torch.as_tensor(t, dtype=at.x_t.dtype)
            values = self.fields.evaluate(at.x_t, time, ("velocity", "score"), take_rows(self.cond, ends))
            velocity, score = values["velocity"], sigma * values["score"]
            missed = score - sigma * self.path.kernel_score(at)
            parts = [part.flatten(1) for part in (at.x_t, velocity, score, at.x_dot - velocity, missed)]
            yield _Fold((parts[0], parts[1], parts[2]), (parts[3], parts[4]))

    def _starts(self, k: int, count: int) -> Tensor:
        assert self.x0 is not None
        own = torch.arange(k, len(self.x0), _FOLDS)
        return own[torch.randint(len(own), (count,), generator=self.generator)]


def _seen(rows: _Rows, t: float) -> tuple[float, float]:
    """Squared errors at one time, of the velocity and of the score as noise."""
    gram: Tensor | None = None
    moments: list[tuple[Tensor, Tensor]] = []
    features: _Features | None = None
    for fold in rows.folds(t):
        features = features or _Features.of(fold.parts, rows.generator)
        phi = features.of_each(fold.parts)
        here = (phi.mT @ phi).double() / phi.shape[1]
        gram = here if gram is None else gram + here
        moments.append((features.moment(phi, fold.residuals[0]), features.moment(phi, fold.residuals[1])))
    assert gram is not None
    velocity, noise = (torch.stack(part) for part in zip(*moments, strict=True))
    most = rows.directions
    return _explained(gram / _FOLDS, velocity, most), _explained(gram / _FOLDS, noise, most)


@dataclass(frozen=True)
class _Features:
    """Features of unit variance, ``(1, B, P)`` for all entries of a state, or for wide states ``(D, B, 4)``."""

    centre: list[Tensor]
    spread: list[Tensor]
    weights: Tensor
    shift: Tensor

    @classmethod
    def of(cls, parts: tuple[Tensor, ...], generator: Generator | None) -> "_Features":
        size, like = parts[0].shape[1], parts[0]
        weights = torch.randn(size, _RANDOM, generator=generator).to(like) * math.sqrt(min(size, 9) / size)
        shift = 3 * torch.randn(_RANDOM, generator=generator).to(like)
        return cls([p.mean(0) for p in parts], [p.std(0).clamp_min(1e-6) for p in parts], weights, shift)

    @property
    def shared(self) -> bool:
        return len(self.weights) <= _WIDEST

    def of_each(self, parts: tuple[Tensor, ...]) -> Tensor:
        flat = [(p - m) / s for p, m, s in zip(parts, self.centre, self.spread, strict=True)]
        if not self.shared:
            return torch.stack([*flat, torch.ones_like(flat[0])], 2).movedim(1, 0)
        random = torch.tanh(2 * flat[0] @ self.weights + self.shift)
        return torch.cat([torch.ones_like(flat[0][:, :1]), *flat, random], 1)[None]

    def moment(self, phi: Tensor, residual: Tensor) -> Tensor:
        """``mean(phi r)``, float64, for each set of features and the entries that it serves."""
        target = residual[None] if self.shared else residual.T[:, :, None]
        return (phi.mT @ target).double() / len(residual)


def _explained(gram: Tensor, moments: Tensor, most: int) -> float:
    """``mean over k != l of m_k' (G + ridge)^-1 m_l`` over the widest directions; two standard errors at least."""
    values, vectors = (part[..., -most:] for part in torch.linalg.eigh(gram))
    white = (vectors.mT @ moments) / (values.clamp_min(0) + _RIDGE).sqrt()[..., None]
    products = white.flatten(1) @ white.flatten(1).T
    others = [torch.arange(_FOLDS) != k for k in range(_FOLDS)]
    without = torch.stack([_off_diagonal_mean(products[keep][:, keep]) for keep in others])
    error = ((_FOLDS - 1) * without.var(correction=0)).sqrt()
    return float(torch.maximum(_off_diagonal_mean(products), 2 * error))


def _off_diagonal_mean(products: Tensor) -> Tensor:
    n = len(products)
    return (products.sum() - products.trace()) / (n * (n - 1))
