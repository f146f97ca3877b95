"""Completion of rows of which some entries are known, by a trained bridge and a rule of guidance."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.foundations.types import Condition
from interpolants.framework.transformed import in_two
from interpolants.guidance.cyclic import Coordinates, CyclicOneWay, Job, RePaint
from interpolants.guidance.masked_flow import MaskedFlow
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.held_out import AUTO
from interpolants.paths.path import Path, SpatiallyLinearPath

_WHO = "Bridge.complete"
# Share of the range of a column by which a known value may lie beyond it without a warning.
_BEYOND = 0.5


def has_gaussian_base(path: Path) -> bool:
    """Whether a path fits the rules: one schedule from a Gaussian base."""
    return isinstance(path, SpatiallyLinearPath) and isinstance(path.base, Gaussian) and path.basis is None


Rule = MaskedFlow | RePaint | CyclicOneWay


@dataclass(frozen=True)
class Incomplete:
    """Rows ``(B, *D)`` in data units with hidden entries.

    Attributes:
        x: The rows, NaN where nothing is known.
        known: How surely each entry is known, ``(B, *D)`` in [0, 1]; None for 1 wherever there is a number.
        sigma: Standard deviation of the noise of known entries; see :func:`noise_of`.
    """

    x: Tensor
    known: Tensor | None = None
    sigma: Any = None


def choose_rule(bridge: FittedBridge, using: Any, sigma: Any) -> Rule:
    """A rule from itself, its id or a table.

    Raises:
        InvalidInputError: If it is none that completes, or this bridge or the noise needs another.
    """
    if isinstance(using, str) and using == AUTO:
        using = "masked_flow" if bridge.masks or sigma is not None else "repaint"
    table = {"kind": using} if isinstance(using, str) else using
    if isinstance(table, Mapping) and "kind" in table:
        settings = dict(table)
        using = build("guidance", settings.pop("kind"), **settings)
    if not isinstance(using, Rule):
        rule = "using must be a rule that completes: auto, masked_flow, repaint or cyclic_one_way"
        raise invalid(_WHO, rule, repr(using))
    if isinstance(using, MaskedFlow) and not bridge.masks:
        rule = "using='masked_flow' needs a bridge with one time per entry"
        remedy = f"Fit Bridge(masks={True if sigma is None else 'levels'!r})."
        raise invalid(_WHO, rule, "one fitted with masks=False", remedy)
    return using


def _check_noise(bridge: FittedBridge, rule: Rule) -> None:
    """Check that the rule and the bridge support noise of known entries."""
    if not isinstance(rule, MaskedFlow):
        raise invalid(_WHO, "sigma needs using='masked_flow'", type(rule).__name__, "Omit using.")
    if bridge.masks != "levels":
        rule_of = "sigma needs a bridge that has learnt noise levels per entry"
        raise invalid(_WHO, rule_of, "one fitted with masks=True", "Fit Bridge(masks='levels').")


def noise_of(bridge: FittedBridge, sigma: Any, x: Tensor) -> Tensor:
    """Standard deviation of the noise of each entry, ``(B, *D)`` in data units, 0 for the exact ones.

    Args:
        bridge: A fitted bridge.
        sigma: A number, one per entry of a row ``(*D)``, one per entry ``(B, *D)``, or a mapping of columns by name
            (by number where they have no names) to numbers.
        x: Rows in data units.

    Raises:
        InvalidInputError: If a column is unknown, a number is negative, NaN or infinite, the shape does not fit, or the
            entries are learnt in transformed units, in which the noise is not Gaussian.
    """
    if bridge.transform is not None:
        rule = "sigma needs columns without a transform: the noise is not Gaussian in transformed units"
        raise invalid(_WHO, rule, "a bridge with transform=", "Fit without transform.")
    if isinstance(sigma, Mapping):
        columns = [str(name) for name in bridge.columns("x1")] or [str(k) for k in range(x.shape[-1])]
        if unknown := [str(name) for name in sigma if str(name) not in columns]:
            rule = "sigma must name columns of the fit"
            raise invalid(_WHO, rule, repr(unknown[0]), nearest(unknown[0], columns))
        by_name = {str(name): value for name, value in sigma.items()}
        sigma = [by_name.get(name, 0.0) for name in columns]
    try:
        noise = torch.as_tensor(sigma, dtype=torch.float64)
        noise = noise.broadcast_to(x.shape)
    except (TypeError, ValueError, RuntimeError) as error:
        rule = f"sigma must be a number, a table of columns, or have shape {tuple(x.shape[1:])} or {tuple(x.shape)}"
        raise invalid(_WHO, rule, repr(sigma)[:80]) from error
    invalid_noise = ~((noise >= 0) & noise.isfinite())
    if bool(invalid_noise.any()):
        rule = "sigma must be finite and >= 0, a standard deviation in data units"
        raise invalid(_WHO, rule, float(noise[invalid_noise][0]), "Where nothing is known, x is NaN.")
    return noise


def complete_rows(
    bridge: FittedBridge,
    fields: Fields,
    rows: Incomplete,
    using: Any,
    seed: int,
    cond: Condition,
    first_index: int,
) -> Tensor:
    """Rows ``(B, *D)`` in data units, with entries filled in; the known come out as they came in, if the rule pastes.

    Args:
        bridge: A fitted bridge.
        fields: Its fields, guided or not.
        rows: The rows, and how well their entries are known.
        using: The rule; see :func:`choose_rule`.
        seed: Seed of the noise.
        cond: Condition of the rows, as the fields take it.
        first_index: Index of the first row in a larger job.
    """
    x, rule = rows.x, choose_rule(bridge, using, rows.sigma)
    if rows.sigma is not None:
        _check_noise(bridge, rule)
    there = ~x.isnan()
    mask = there.to(x) if rows.known is None else torch.where(there, rows.known.to(x), 0.0)
    sigma = None if rows.sigma is None else noise_of(bridge, rows.sigma, x)
    if isinstance(rule, MaskedFlow):
        _check_whole(mask)
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
    if isinstance(rule, MaskedFlow):
        _warn_of_range(bridge, x, mask if sigma is None else mask * (sigma == 0))
    covariance = _covariance(of_state, bridge.field_shape)
    coordinates = Coordinates(of_state, to_state, covariance, of_data)
    noise = None if sigma is None else sigma.float()
    job = Job(fields, shifted, mask.float(), seed, cond, first_index, coordinates, noise)
    filled = unbend(of_state(rule.complete(job).x).double() + centre)
    # Pasted entries come out to the bit, not as the units made them.
    exact = mask == 1 if sigma is None else (mask == 1) & (sigma == 0)
    return (torch.where(exact, x.double(), filled) if rule.paste else filled).to(x)


def _check_whole(mask: Tensor) -> None:
    """Check that no entry is known in part."""
    partly = (mask > 0) & (mask < 1)
    if bool(partly.any()):
        rule = "known must be 0 or 1 with using='masked_flow'"
        remedy = "Pass sigma= for entries with noise, or using='cyclic_one_way'."
        raise invalid(_WHO, rule, float(mask[partly][0]), remedy)


def _warn_of_range(bridge: FittedBridge, x: Tensor, mask: Tensor) -> None:
    """Warn of known values beyond those of the fit: of each column of a table, or of all entries of images."""
    rows = bridge.frame.decode(bridge.state["pool1"].x.double())
    table = x.ndim == 2
    rows = rows if table else rows.reshape(-1, 1)
    low, high = rows.amin(0), rows.amax(0)
    slack = _BEYOND * (high - low)
    values = x.double() if table else x.double().reshape(-1, 1)
    far = (mask.reshape(values.shape) == 1) & ((values < low - slack) | (values > high + slack))
    if not bool(far.any()):
        return
    row, column = far.nonzero()[0].tolist()
    names = bridge.columns("x1") or range(len(low))
    entry = f"column {names[column]} of row {row}" if table else "an entry of x"
    message = f"{_WHO}: {entry} is {float(values[far][0]):.6g}, and {low[column]:.6g} to {high[column]:.6g} in the fit"
    tell(OutsideWarning, f"{message}; draws given such a value are arbitrary. Check the value, or hide it.")


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
