"""Squared errors of learnt fields without the truth: how much of their held-out residual a second model explains.

Letters: ``y`` what a field is trained on (the rate of the interpolant, or the noise z for the score, ``-z/sigma``);
``r = y - f(x_t)`` its residual, ``d(x) = E[y|x] - f(x)`` the field's error. For any second model m of the residual,

``E|r|^2 - E|r - m|^2 = E|d|^2 - E|d - m|^2``,

so the gain of m on data that neither has seen is below the squared error in expectation, and near it where m is good.
Here m is a ridge regression at each time on the state, both fields and random features, fitted on one half of the
held-out rows and scored on the other, both ways round. It finds the smooth part of an error; a ratio of two such gains,
which is what the noise level depends on, suffers less than either. Times at which no gain is seen (below two standard
errors) take the error of the nearest times at which one is, as an error of z for the score; if there is no such time,
two standard errors.

Source: the bound it serves is that of Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, take_rows
from interpolants.likelihood.kl_bound import SquaredErrors, middle_times
from interpolants.paths.path import Path

# Random features, and the most entries of a state whose full vector enters the regression.
_RANDOM, _WIDEST = 96, 256
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


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
        InvalidInputError: If there is no path, no score, or too few rows.
    """
    who = "held_out_errors"
    path = fields.path
    if path is None or not fields.has_score:
        raise invalid(who, "the fields must have a path and a score", type(fields).__name__)
    if len(x1) < 200:
        raise invalid(who, "there must be at least 200 held-out end points", len(x1))
    nodes = middle_times(times)
    with torch.no_grad():
        rows = [_gains(fields, path, t, x0, x1, repeats, paired, cond, generator) for t in nodes.tolist()]
    found = torch.tensor(rows, dtype=torch.float64)
    velocity, noise = (_filled(nodes, *part.unbind(1)) for part in found.unbind(1))
    return SquaredErrors(nodes, velocity, noise / path.noise_scale(nodes).square(), path=path)


def _filled(t: Tensor, gain: Tensor, error: Tensor) -> Tensor:
    """Gains where they are seen, and between and beyond these times the nearest of them."""
    seen = gain > 2 * error
    if not bool(seen.any()):
        return 2 * error
    filled = np.interp(t.numpy(), t[seen].numpy(), gain[seen].numpy())
    return torch.from_numpy(filled)


def _gains(
    fields: Fields,
    path: Path,
    t: float,
    x0: Tensor | None,
    x1: Tensor,
    repeats: int,
    paired: bool,
    cond: Condition,
    generator: Generator | None,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Gains and their standard errors at one time, for velocity and noise."""
    # The rows are cut in two by end point, so that no end point is on both sides.
    pick1 = torch.arange(len(x1)).repeat(repeats)
    start = None
    if x0 is not None:
        pick0 = pick1 if paired else torch.randint(len(x0), (len(pick1),), generator=generator)
        start = x0[pick0]
    at = path.sample(x0=start, x1=x1[pick1], t=t, generator=generator)
    time = torch.as_tensor(t, dtype=at.x_t.dtype)
    values = fields.evaluate(at.x_t, time, ("velocity", "score"), take_rows(cond, pick1))
    sigma = float(path.noise_scale(torch.tensor(t, dtype=torch.float64)))
    noise = at.z if path.base is None else path.base.inverse_root_transpose(at.z)
    residuals = (at.x_dot - values["velocity"], noise + sigma * values["score"])
    first = pick1 < len(x1) // 2
    features = _features(at.x_t, values["velocity"], sigma * values["score"], generator)
    velocity, denoised = (_gain(features, r.flatten(1), first) for r in residuals)
    return velocity, denoised


def _features(x: Tensor, velocity: Tensor, score: Tensor, generator: Generator | None) -> list[Tensor]:
    """Columns ``(B, P)`` for the regression: one set for all entries, or for wide states one set for each entry."""
    flat = [part.flatten(1) for part in (x, velocity, score)]
    flat = [(part - part.mean(0)) / part.std(0).clamp_min(1e-6) for part in flat]
    size = flat[0].shape[1]
    weights = torch.randn(size, _RANDOM, generator=generator).to(x) / math.sqrt(size)
    shift = 3 * torch.randn(_RANDOM, generator=generator).to(x)
    random = torch.tanh(2 * flat[0] @ weights * math.sqrt(min(size, 9)) + shift)
    one = torch.ones_like(flat[0][:, :1])
    if size <= _WIDEST:
        return [torch.cat([one, *flat, random], 1)]
    return [torch.stack([part[:, i] for part in (*flat, torch.ones_like(flat[0]))], 1) for i in range(size)]


def _gain(features: list[Tensor], residual: Tensor, first: Tensor) -> tuple[float, float]:
    """Mean gain per row, the event summed, fitted on each half and scored on the other; its standard error."""
    targets = [residual] if len(features) == 1 else list(residual.unbind(1))
    totals = torch.zeros(len(_RIDGES), len(residual), dtype=torch.float64)
    for columns, target in zip(features, targets, strict=True):
        wide = target.reshape(len(target), -1)
        for half in (first, ~first):
            totals[:, ~half] += _scored(columns[half], wide[half], columns[~half], wide[~half])
    best = totals[int(totals.mean(1).argmax())]
    return float(best.mean()), float(best.std()) / math.sqrt(len(best))


def _scored(x: Tensor, y: Tensor, x_new: Tensor, y_new: Tensor) -> Tensor:
    """``|y|^2 - |y - m(x)|^2`` on new rows, for each ridge, ``(R, B)``."""
    gram = (x.T @ x).double() / len(x)
    moment = (x.T @ y).double() / len(x)
    values, vectors = torch.linalg.eigh(gram)
    turned = vectors.T @ moment
    rows = []
    for ridge in _RIDGES:
        weights = vectors @ (turned / (values.clamp_min(0) + ridge)[:, None])
        guess = x_new @ weights.to(x_new)
        rows.append(((2 * y_new - guess) * guess).sum(1).double())
    return torch.stack(rows)
