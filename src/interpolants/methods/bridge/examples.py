"""Rows of both ends of a fitted bridge in data units, by which it is judged and shown."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows
from interpolants.framework.task import Task
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.held_out import MOST, Ends
from interpolants.methods.parts.start_points import draw_base
from interpolants.training.pairs import draw_pairs


@dataclass(frozen=True)
class Examples:
    """Rows of both ends in data units.

    Attributes:
        x0: ``(N, *D)`` starts; draws of the base where the path has one.
        x1: ``(M, *D)`` ends.
        cond: Condition of each end, if there is one.
        held_out: Whether training has not seen the ends.
        paired: Whether row i of ``x0`` belongs to row i of ``x1``.
        cond0: What is known of each start, for couplings that pair within labels.
    """

    x0: Tensor
    x1: Tensor
    cond: Tensor | None
    held_out: bool
    paired: bool
    cond0: Tensor | None = None


def examples_of(bridge: FittedBridge, n: int, seed: int) -> Examples:
    """At most ``n`` rows of each end in data units; see ``Bridge.examples``."""
    held, pool0, pool1 = (bridge.state[name] for name in ("held", "pool0", "pool1"))
    x0, cond0 = (None, None) if pool0 is None else (pool0.x, pool0.cond)
    ends: Ends = held if held is not None else Ends(x0, pool1.x, pool1.cond, cond0)
    base, x1, decode = bridge.state["path"].base, ends.x1[:n], bridge.frame.decode
    start = x1 if ends.x0 is None else ends.x0[:n]
    start = start if base is None else draw_base(base, bridge.field_shape, n, seed, 0)
    paired = pool0 is not None and isinstance(bridge.pairing, Paired) and len(start) == len(x1)
    cond, cond0 = take_rows(ends.cond, slice(n)), take_rows(ends.cond0, slice(n))
    return Examples(
        decode(start), decode(x1), cond, held is not None, paired, None if base is not None else cond0
    )


def held_out_task(bridge: FittedBridge) -> Task | None:
    """A task whose test rows are those that the fit held out, and whose training rows are those of the fit.

    Args:
        bridge: A fitted bridge.

    Returns:
        The task; None if the fit held out no rows, or read conditions.
    """
    held_out, pools = bridge.held_out_rows, {"x0": bridge.state["pool0"], "x1": bridge.state["pool1"]}
    if held_out is None or bridge.is_conditional:
        return None
    values: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, pool in pools.items():
        test = getattr(held_out, name)
        if test is not None and pool is not None:
            train = pool.x[:MOST]
            values[name] = bridge.decoded(torch.cat([test, train]))
            rows = torch.arange(len(values[name]))
            parts[name] = {"train": rows[len(test) :], "test": rows[: len(test)]}
    return Task.of(bridge.roles(), values, parts=parts)


def as_coupled(bridge: FittedBridge, rows: Examples, seed: int) -> Examples:
    """Rows as the bridge's coupling pairs them, where it does: its fields are means over such pairs.

    Args:
        bridge: The bridge.
        rows: Rows of both ends, paired or not.
        seed: Seed of the draws of the coupling.
    """
    without_starts = bridge.first_path.base is not None or bridge.first_path.is_static
    if without_starts or isinstance(bridge.pairing, Independent | Paired):
        return rows
    x0, x1 = (bridge.frame.encode(x) for x in (rows.x0, rows.x1))
    source, size = generator(seed, "judge coupling"), bridge.batch_size
    labels: dict[str, Any] = {"cond": rows.cond, "cond0": rows.cond0}
    x0, x1, cond = draw_pairs(x0, x1, len(x1), bridge.pairing, size, source, **labels, who="Bridge")
    decode = bridge.frame.decode
    return replace(rows, x0=decode(x0), x1=decode(x1), cond=cond, cond0=None, paired=True)
