"""Checks of a bridge on rows that its training has not seen: overfitting, a Gaussian fit, and not moving at all.

The identities of :mod:`self_test` hold on training rows for a network that has learnt these by heart; only rows that it
has not seen show that.
"""

import math
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.foundations.types import take_rows
from interpolants.framework.frames import constant_columns
from interpolants.framework.self_checks import Check
from interpolants.framework.transformed import in_two
from interpolants.likelihood.log_prob import log_prob
from interpolants.methods.bridge.examples import as_coupled, examples_of
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.estimate import Estimate

NAME = "held-out rows"
# Most rows of a density, of tables and of pictures, and of an arrival; columns up to which the divergence is exact.
_DENSITIES, _PICTURES, _ARRIVALS, _NARROW = 200, 64, 500, 40
# Standard errors of a difference beyond which it counts; nats per column by which training rows may be likelier.
_CLEAR, _GAP = 2.0, 0.1
# Parts of the held-out rows for a Gaussian that learns from the other parts too, its most columns; and the nats a row
# by which a Gaussian counts as better: two that divide a sum by n and by n - 1 differ by less.
_FOLDS, _MOST_COLUMNS, _AHEAD = 5, 256, 0.05
# Share of the distance without a move that may be left.
_LEFT = 0.25
# Noise levels tried for an arrival, in increasing order, and the share of the flow's distance below which one is named.
_LEVELS, _MUCH = (0.1, 0.25, 0.5, 1.0), 0.5


def held_out_checks(bridge: FittedBridge, seed: int) -> list[Check]:
    """The verdicts of held-out rows, where they can be had.

    Args:
        bridge: A fitted bridge.
        seed: Seed of all draws.
    """
    if bridge.held_out_rows is None:
        told = (
            "none were held out, so nothing shows whether it overfits; fit with held_out=0.1, or with held="
        )
        return [Check(NAME, "warn", 0.0, 1.0, told)]
    checks = [_copies(count, rows) for count, rows in bridge.about.get("held_copies", {}).values()]
    if not bridge.first_path.is_static and bridge.density0() is not None:
        checks.append(_likelihood(bridge, seed))
    if bridge.state["pool0"] is not None:
        checks.append(_arrival(bridge, seed))
    return checks


def _copies(count: int, rows: int) -> Check:
    """Held-out rows that were learnt from show nothing about rows that were not."""
    told = f"{count} of {rows} held-out rows are copies of rows that were learnt from; hold out other rows"
    return Check(f"copies among {NAME}", "fail" if 2 * count > rows else "warn", count / rows, 0.0, told)


def _likelihood(bridge: FittedBridge, seed: int) -> Check:
    """Log density of held-out rows beside that of training rows and under a Gaussian fit of the training rows."""
    held, pool = bridge.held_out_rows, bridge.state["pool1"]
    assert held is not None
    rows = _DENSITIES if held.x1.ndim == 2 else _PICTURES
    ours = _log_prob(bridge, held.x1[:rows], take_rows(held.cond, slice(rows)), seed)
    train = _log_prob(bridge, pool.x[:rows], take_rows(pool.cond, slice(rows)), seed)
    gaussian = _gaussian(bridge, pool.x, held.x1[:rows])
    behind = gaussian - ours
    loses = _is_ahead(behind) or not bool(torch.isfinite(ours).all())
    gap = float(train.mean() - ours.mean())
    overfits = gap > _CLEAR * math.hypot(_error(train), _error(ours)) + _GAP * held.x1[0].numel()
    figures = [float(x.mean()) for x in (ours, train, gaussian)]
    told = _told(figures, loses, overfits)
    more = _from_all_rows(bridge, pool.x, held.x1, rows)
    ahead = more is not None and _is_ahead(more - ours)
    if ahead and not loses and not overfits:
        assert more is not None
        told = (
            f"a Gaussian fit, which needs no rows held out, has {float(more.mean()):.4g} nats a row; {told}"
        )
    if bridge.transform is not None:
        told = told.replace("Gaussian fit", "Gaussian fit of the transformed columns", 1)
    return Check(
        f"log density of {NAME}",
        "fail" if loses else "warn" if overfits or ahead else "pass",
        figures[0],
        figures[2],
        told,
    )


def _gaussian(bridge: FittedBridge, train: Tensor, x: Tensor) -> Tensor:
    """Log densities of rows under a Gaussian fit, of transformed columns where there are, without constant columns."""
    bend, _, linear = in_two(bridge.frame)
    rows = bridge.frame.decode(x.double())
    seen, asked = (linear.decode(each.double()).flatten(1) for each in (train, x))
    varying = ~constant_columns(seen)
    found: Tensor = GaussianFit().fit(x1=seen[:, varying]).log_prob(asked[:, varying])
    return found + bridge.frame.log_volume(rows) - linear.log_volume(bend(rows))


def _from_all_rows(bridge: FittedBridge, train: Tensor, held: Tensor, n: int) -> Tensor | None:
    """Log densities of held-out rows under Gaussian fits that learn from all other rows; None of wide ones.

    A bridge that is a Gaussian fit and little more loses against these what the held-out rows would have taught it,
    about ``D (D + 3) / 4`` times the difference of ``1 / rows``.
    """
    if held[0].numel() > _MOST_COLUMNS:
        return None
    folds = torch.arange(min(n, len(held))).chunk(_FOLDS)
    kept = torch.ones(len(held), dtype=torch.bool)
    found = []
    for fold in folds:
        others = held[kept.index_fill(0, fold, False)]
        found.append(_gaussian(bridge, torch.cat([train, others]), held[fold]))
    return torch.cat(found)


def _is_ahead(nats: Tensor) -> bool:
    return bool(nats.mean() > max(_AHEAD, _CLEAR * _error(nats)))


def _told(figures: list[float], loses: bool, overfits: bool) -> str:
    ours, train, gaussian = (f"{figure:.4g}" for figure in figures)
    if loses:
        told = f"a Gaussian fit is better on held-out rows: {gaussian} nats a row against {ours}"
        return f"{told} (training rows {train}); use the Gaussian, get more rows, or a smaller net"
    if overfits:
        return f"overfitted: training rows have {train} nats a row, held-out rows {ours} (a Gaussian fit {gaussian})"
    return f"held-out rows have {ours} nats a row, training rows {train}, held-out rows under a Gaussian fit {gaussian}"


def _log_prob(bridge: FittedBridge, x: Tensor, cond: Any, seed: int) -> Tensor:
    """Log densities of rows in the network's units, in nats of data units."""
    few = x[0].numel() <= _NARROW
    how: dict[str, Any] = {"divergence": "exact"} if few else {"divergence": "hutchinson", "probes": 4}
    options = {"method": "midpoint", "n_steps": 25, "seed": seed, "on_failure": "keep", **how}
    found = log_prob(bridge.fields, x, bridge.density0(), cond=cond, **options).log_prob.double()
    return found + bridge.frame.log_volume(bridge.frame.decode(x.double()))


def _arrival(bridge: FittedBridge, seed: int) -> Check:
    """Energy distance of moved starts to held-out ends, beside that of starts that are left where they are."""
    rows = examples_of(bridge, _ARRIVALS, seed)
    rows = rows if rows.cond is None else as_coupled(bridge, rows, seed)
    n = min(len(rows.x0), len(rows.x1))
    x0, x1 = (bridge.frame.encode(x).float() for x in (rows.x0, rows.x1))
    cond = rows.cond.float() if rows.cond is not None and rows.cond.is_floating_point() else rows.cond
    start = x0 if cond is None else x0[:n]
    cond = take_rows(cond, slice(n))
    there, still = _distance(bridge, start, x1, cond, 0.0, seed), energy_distance(start, x1)
    name = f"arrival of {NAME}"
    if there is None:
        return Check(name, "fail", math.nan, 0.0, "some moved rows are not finite")
    told = f"energy distance to held-out rows {there.value:.3g} ± {there.error:.2g}, without a move {still.value:.3g}"
    limit = max(_LEFT * still.value, _CLEAR * there.error)
    told += _noise_helps(bridge, start, x1, cond, there, seed)
    if there.value <= limit:
        return Check(name, "pass", there.value, limit, told)
    if there.value < still.value:
        return Check(name, "warn", there.value, limit, told)
    return Check(
        name, "fail", there.value, limit, f"not moving is better: {told}; coupling='minibatch_ot' may help"
    )


def _noise_helps(
    bridge: FittedBridge, start: Tensor, x1: Tensor, cond: Any, flow: Estimate, seed: int
) -> str:
    """The smallest noise level that arrives much nearer than the flow, as a sentence; empty without one.

    A distance between sets rewards noise: it mixes the rows until their set fits, whichever row started where. So the
    smallest level that suffices is named, for draws alone. Where the sets have other shares of some type, more noise
    turns rows of a type into another, and the set still fits; a condition on the type prevents that.
    """
    if not bridge.fields.has_score:
        return ""
    for eps in _LEVELS:
        distance = _distance(bridge, start, x1, cond, eps, seed)
        if distance is None:
            continue
        clear = flow.value - distance.value > _CLEAR * math.hypot(flow.error, distance.error)
        if clear and max(distance.value, 0.0) < _MUCH * flow.value:
            types = "" if cond is not None else "; if types of rows are known, fit with them as cond="
            return (
                f"; with eps={eps:g} it is {distance.value:.3g}: take that to draw a set, not to carry single rows, "
                f"for noise forgets where each of them started{types}"
            )
    return ""


def _distance(
    bridge: FittedBridge, start: Tensor, x1: Tensor, cond: Any, eps: float, seed: int
) -> Estimate | None:
    """Energy distance of moved starts to held-out ends; None where some were lost."""
    moved = sample(bridge.fields, start, eps=eps, seed=seed, cond=cond, on_failure="keep").x
    return energy_distance(moved, x1) if bool(torch.isfinite(moved).all()) else None


def _error(x: Tensor) -> float:
    return float(x.std()) / math.sqrt(len(x))
