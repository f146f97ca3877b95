"""Discrete transitions between grid times from the path's coefficients: ancestral, reverse-diffusion and DDIM steps.

Letters: a step leads from t to a later t' of a one-sided path ``x = alpha x0 + beta x1`` with ``x0 = m + L z`` and
``C = L L^T``; dashes mark t'. Read down in t, ``x = rho x' + (alpha - rho alpha') m + sqrt(kappa) L w`` with new noise
w, ``rho = beta/beta'`` and ``kappa = alpha^2 - rho^2 alpha'^2``: the noising chain. The steps go the other way:

* ``reverse_diffusion``: the chain's Euler step read backwards, ``x' = x - f + kappa C s + sqrt(kappa) L z``, where
  ``f = (rho - 1) x + (alpha - rho alpha') m`` is what the chain adds; ``reverse_flow`` takes half the score, no noise;
* ``ancestral``: a draw of x' given x and the mean end points e0 and e1, of mean
  ``beta' e1 + alpha' m + (rho alpha'^2/alpha) (e0 - m)`` and noise ``(alpha'/alpha) sqrt(kappa) L z``; exact for data
  at one point; DDPM's sampler with the smaller variance, DDIM's with eta = 1;
* ``ddim``: ``alpha' e0 + beta' e1 + gamma' e_z``, without noise. On any spatially linear path, either way.

Source: Song et al. (2021), arXiv:2011.13456, appendices E and F, there for VP and VE; Ho et al. (2020),
arXiv:2006.11239; Song et al. (2021), arXiv:2010.02502; in this form, for any alpha and beta, derived anew.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.fields.protocol import Combined, Fields, Weights
from interpolants.foundations.clock import number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

# A number, or on a path with a basis a tensor of numbers, one per coordinate.
Coefficient = float | Tensor


@dataclass(frozen=True)
class Move:
    """``x' = keep x + sum_k w_k q_k + mean m + noise L z`` with quantities q of the fields at x.

    Attributes:
        terms: Quantities by name, with their weights.
        keep: Weight of the state; None for none.
        mean: Weight of the base's mean.
        noise: Standard deviation of the noise, in units of the base; None for none.
    """

    terms: tuple[tuple[str, Coefficient], ...]
    keep: Coefficient | None = None
    mean: Coefficient = 0.0
    noise: Coefficient | None = None

    def map(self, f: Callable[[Coefficient], Coefficient]) -> "Move":
        """Apply a conversion to every coefficient."""
        terms = tuple((name, f(weight)) for name, weight in self.terms)
        keep, noise = (None if c is None else f(c) for c in (self.keep, self.noise))
        return Move(terms, keep, f(self.mean), noise)


class _Step(NamedTuple):
    """The coefficients of one step, float64; see the legend."""

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    next_alpha: Tensor
    next_beta: Tensor
    next_gamma: Tensor

    @property
    def rho(self) -> Tensor:
        return self.beta / self.next_beta

    @property
    def kappa(self) -> Tensor:
        # Not negative, but for rounding where two times are close.
        return (self.alpha.square() - (self.rho * self.next_alpha).square()).clamp_min(0)


def _ddim(step: _Step, path: SpatiallyLinearPath, by_score: bool) -> Move:
    ends = (("endpoint0", step.next_alpha), ("denoised", step.next_beta))
    return Move(ends if path.is_one_sided else (*ends, ("noise", step.next_gamma)))


def _ancestral(step: _Step, path: SpatiallyLinearPath, by_score: bool) -> Move:
    share = step.rho * step.next_alpha.square() / step.alpha
    ends = (("endpoint0", share), ("denoised", step.next_beta))
    noise = step.next_alpha / step.alpha * step.kappa.sqrt()
    return Move(ends, mean=step.next_alpha - share, noise=noise)


def _reverse_diffusion(step: _Step, path: SpatiallyLinearPath, by_score: bool) -> Move:
    return replace(_reverse(step, path, by_score, step.kappa), noise=step.kappa.sqrt())


def _reverse_flow(step: _Step, path: SpatiallyLinearPath, by_score: bool) -> Move:
    return _reverse(step, path, by_score, step.kappa / 2)


def _reverse(step: _Step, path: SpatiallyLinearPath, by_score: bool, share: Tensor) -> Move:
    """``x - f + share C s``."""
    if bool((step.beta == 0).any()):
        rule = "reverse diffusion needs beta > 0 at its first time"
        remedy = "Begin with start > 0, or use method='ancestral'."
        raise invalid("sample", rule, f"beta = 0 on {type(path).__name__}", remedy)
    assert isinstance(path.base, Gaussian)
    keep, mean = 2 - step.rho, step.rho * step.next_alpha - step.alpha
    if by_score and path.base.std is not None:
        return Move((("score", share * path.base.std**2),), keep, mean)
    # C s = -(e0 - m) / alpha, whatever the base
    pull = share / step.alpha
    return Move((("endpoint0", -pull),), keep, mean + pull)


Make = Callable[[_Step, SpatiallyLinearPath, bool], Move]
DDIM = "ddim"
# Methods that are named instead of a solver: the steps of a path, and whether they draw noise of their own.
TRANSITIONS: dict[str, Make] = {
    "ancestral": _ancestral,
    DDIM: _ddim,
    "reverse_diffusion": _reverse_diffusion,
    "reverse_flow": _reverse_flow,
}
NOISY = ("ancestral", "reverse_diffusion")


def transitions(
    fields: Fields, method: str, grid: npt.NDArray[Any], *, quiet_end: bool = False
) -> list[Move]:
    """The moves of a method over the steps of a grid.

    Args:
        fields: Their path gives the coefficients; what they know decides in which quantity a move is written.
        method: One of ``TRANSITIONS``.
        grid: Times ``(n + 1,)`` in the order of travel.
        quiet_end: Leave out the noise of the last move.

    Raises:
        InvalidInputError: If the path has no such steps, or the grid runs the wrong way.
    """
    path = fields.path
    if not isinstance(path, SpatiallyLinearPath):
        name = type(path).__name__
        raise invalid("sample", f"method={method!r} needs a spatially linear path", name, "Use 'heun'.")
    if method != DDIM and not isinstance(path.base, Gaussian):
        what = type(path).__name__ if path.base is None else repr(path.base)
        remedy = "For example, use paths.VP(), or eps > 0."
        raise invalid("sample", f"method={method!r} needs a path with a Gaussian base", what, remedy)
    if method != DDIM and grid[0] > grid[-1]:
        remedy = "The noising process itself: path.sample(x1=..., t=0)."
        raise invalid("sample", f"method={method!r} runs from t = 0 to 1", "reverse=True", remedy)
    times = torch.as_tensor(grid, dtype=torch.float64)
    rows = zip(path.alpha(times), path.beta(times), path.envelope.gamma(times), strict=True)
    make, by_score = TRANSITIONS[method], fields.bounded_quantity == "score"
    moves = [make(_Step(*now, *then), path, by_score).map(_as_number) for now, then in pairwise(rows)]
    return [*moves[:-1], replace(moves[-1], noise=None)] if quiet_end else moves


def _as_number(coefficient: Coefficient) -> Coefficient:
    return float(coefficient) if not isinstance(coefficient, Tensor) or coefficient.ndim == 0 else coefficient


def make_moves(
    fields: Fields,
    moves: Sequence[Move],
    x: Tensor,
    clock: Sequence[Tensor],
    cond: Condition,
    normals: Iterable[Tensor],
    *,
    total: Combined | None = None,
    on_step: Any = None,
    return_path: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Run the moves; the state reached and, if asked for, all states ``(n + 1, B, *D)``.

    Args:
        fields: What the moves are made of.
        moves: One per step.
        x: Start, ``(B, *D)``.
        clock: The grid's times, 0-d.
        cond: Condition of the rows.
        normals: Standard normal draws, one per move, which may be overwritten; not read by moves without noise.
        total: What :func:`terms_of` gave for these moves, where it is known already.
        on_step: As in ``integrate_fixed``.
        return_path: Keep the states at all times.
    """
    path = fields.path
    base = path.base if path is not None and isinstance(path.base, Gaussian) else None
    states, draws = [x], iter(normals)
    total = terms_of(fields, moves, clock) if total is None else total
    for n, at in enumerate(_like(move, x) for move in moves):
        moved = total(x, clock[n], cond)
        x = moved if at.keep is None else _add(moved, at.keep, x, path)
        if base is not None and not base.is_centred:
            x = _add(x, at.mean, base.mean_like(x).expand_as(x), path)
        if at.noise is not None:
            z = next(draws)
            x = _add(x, at.noise, z if base is None else base.root(z), path)
        if on_step is not None:
            replaced = on_step(n + 1, clock[n + 1], x)
            x = x if replaced is None else replaced
        if return_path:
            states.append(x)
    return x, torch.stack(states) if return_path else None


def terms_of(fields: Fields, moves: Sequence[Move], clock: Sequence[Tensor]) -> Combined:
    """Combination of the fields in the moves, as one function of state and time."""
    return fields.combined([name for name, _ in moves[0].terms], _weights(moves, clock), clock[: len(moves)])


def _weights(moves: Sequence[Move], clock: Sequence[Tensor]) -> Weights:
    """The weights of the moves as functions of the times they start from."""
    place = {number_of(t): n for n, t in zip(range(len(moves)), clock, strict=False)}

    def weights(t: Tensor) -> list[Coefficient]:
        if t.ndim == 0:
            here = [weight for _, weight in moves[place[number_of(t)]].terms]
            return [weight.to(t) if isinstance(weight, Tensor) else weight for weight in here]
        rows = [moves[place[number]].terms for number in t.tolist()]
        return [
            torch.stack([torch.as_tensor(w, dtype=torch.float64) for _, w in column])
            for column in zip(*rows, strict=True)
        ]

    return weights


def _like(move: Move, x: Tensor) -> Move:
    """Tensors of numbers per coordinate, made in float64 on the CPU, to the type and device of the states."""
    if not isinstance(move.terms[0][1], Tensor):
        return move
    return move.map(lambda c: c.to(x) if isinstance(c, Tensor) else c)


def _add(x: Tensor, coefficient: Coefficient, y: Tensor, path: Path | None) -> Tensor:
    """``x + coefficient y``, in the path's coordinates where it has some."""
    if isinstance(coefficient, Tensor):
        assert path is not None
        return x + path.apply(coefficient, y)
    return torch.add(x, y, alpha=coefficient)
