"""Completion of rows of which some entries are known, by a trained bridge and a rule of guidance."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build
from interpolants.foundations.types import Condition
from interpolants.framework.transformed import in_two
from interpolants.guidance.cyclic import Coordinates, CyclicOneWay, Job, RePaint
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.paths.path import Path, SpatiallyLinearPath

_WHO = "Bridge.complete"


def has_gaussian_base(path: Path) -> bool:
    """Whether a path fits the rules: one schedule from a Gaussian base."""
    return isinstance(path, SpatiallyLinearPath) and isinstance(path.base, Gaussian) and path.basis is None


def choose_rule(using: Any) -> RePaint | CyclicOneWay:
    """A rule from itself, its id or a table.

    Raises:
        InvalidInputError: If it is none that completes.
    """
    table = {"kind": using} if isinstance(using, str) else using
    if isinstance(table, Mapping) and "kind" in table:
        settings = dict(table)
        using = build("guidance", settings.pop("kind"), **settings)
    if not isinstance(using, RePaint | CyclicOneWay):
        rule = "using must be a rule that completes: repaint or cyclic_one_way"
        raise invalid(_WHO, rule, repr(using))
    return using


def complete_rows(
    bridge: FittedBridge,
    fields: Fields,
    x: Tensor,
    known: Tensor | None,
    using: Any,
    seed: int,
    cond: Condition,
    first_index: int,
) -> Tensor:
    """Rows ``(B, *D)`` in data units, with entries filled in; the known come out as they came in, if the rule pastes.

    Args:
        bridge: A fitted bridge.
        fields: Its fields, guided or not.
        x: Rows with NaN where nothing is known.
        known: How surely each entry is known, ``(B, *D)`` in [0, 1]; None for 1 wherever there is a number.
        using: The rule; see :func:`choose_rule`.
        seed: Seed of the noise.
        cond: Condition of the rows, as the fields take it.
        first_index: Index of the first row in a larger job.
    """
    rule = choose_rule(using)
    there = ~x.isnan()
    mask = there.to(x) if known is None else torch.where(there, known.to(x), 0.0)
    # Transforms of single columns keep known entries apart from others: the rules work in the linear units beyond them.
    bend, unbend, linear = in_two(bridge.frame)
    centre = linear.decode(torch.zeros(1, *bridge.field_shape, dtype=torch.float64))

    def of_state(u: Tensor) -> Tensor:
        return (linear.decode(u.double()) - centre).to(u)

    def to_state(v: Tensor) -> Tensor:
        return linear.encode(v.double() + centre).to(v)

    def of_data(v: Tensor) -> Tensor:
        return (bend(v.double()) - centre).to(v)

    shifted = torch.where(there, bend(x) - centre, torch.nan).float()
    _check_inside(bridge, x, mask > 0)
    covariance = _covariance(of_state, bridge.field_shape)
    coordinates = Coordinates(of_state, to_state, covariance, of_data)
    job = Job(fields, shifted, mask.float(), seed, cond, first_index, coordinates)
    filled = unbend(of_state(rule.complete(job).x).double() + centre)
    # Pasted entries come out to the bit, not as the units made them.
    return (torch.where(mask == 1, x.double(), filled) if rule.paste else filled).to(x)


def _check_inside(bridge: FittedBridge, x: Tensor, known: Tensor) -> None:
    """Refuse known values that no row of the model has: another one in a column that was constant in the fit."""
    row = bridge.frame.decode(torch.zeros(1, *bridge.field_shape, dtype=torch.float64)).to(x)
    off = bridge.frame.outside(torch.where(known, x, row))
    if bool(off.any()):
        rule = "known entries of columns that were constant in the fit must have their values"
        remedy = "Drop these columns or rows, or fit again with rows like these."
        raise invalid(_WHO, rule, f"another value in row {int(off.nonzero()[0, 0])}", remedy)


def _covariance(of_state: Callable[[Tensor], Tensor], shape: Sequence[int]) -> Tensor | None:
    """Covariance of standard normal states in data units, flattened; None where entries are uncorrelated."""
    size = math.prod(shape)
    if len(shape) > 1:  # pictures are never whitened
        return None
    basis = of_state(torch.eye(size, dtype=torch.float64)).flatten(1)
    covariance = basis.T @ basis
    apart = covariance - torch.diag(covariance.diagonal())
    return None if not bool(apart.any()) else covariance
