"""Order gap of a bridge with masks: whether its conditional distributions belong to one joint distribution.

For a joint density, hidden entries a and b and known entries k, ``log p(a, b | k) - log p(b | k, a)`` equals
``log p(a | k)`` and does not depend on b. A learnt bridge gives the two terms on the left by two masks. Their
difference at b of a row and at b' drawn by the bridge itself is the gap, in nats; it is 0 for exact
fields, and needs no truth.
"""

import torch
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows
from interpolants.framework.self_checks import Check
from interpolants.guidance.cyclic import Job
from interpolants.guidance.masked_flow import MaskedFlow, conditional_log_prob
from interpolants.methods.bridge.fitted import FittedBridge

# Rows, splits, and the most hidden entries: each costs a derivative per evaluation.
_ROWS, _SPLITS, _MOST, _STEPS = 64, 2, 8, 25
# Gap in nats per redrawn entry: pass and warn.
_LIMITS = (0.1, 0.5)


def order_gap(bridge: FittedBridge, seed: int) -> Check:
    """Mean absolute order gap over rows and random splits, in nats per redrawn entry.

    Args:
        bridge: A fitted bridge with masks and at least two entries per row.
        seed: Seed of rows, splits and draws.
    """
    held_out, pool = bridge.held_out_rows, bridge.state["pool1"]
    rows, cond = (pool.x, pool.cond) if held_out is None else (held_out.x1, held_out.cond)
    source = generator(seed, "order gap")
    pick = torch.randperm(len(rows), generator=source)[:_ROWS]
    x, cond = rows[pick], take_rows(cond, pick)
    differences = []
    for k in range(_SPLITS):
        order = torch.randperm(x[0].numel(), generator=source)[:_MOST]
        hidden, last = (_marked(order[: len(order) // part], x) for part in (1, 2))
        differences.append(_difference(bridge, x, cond, hidden, last, seed + k) / (len(order) // 2))
    value = float(torch.cat(differences).abs().mean())
    verdict = "pass" if value <= _LIMITS[0] else "warn" if value <= _LIMITS[1] else "fail"
    message = f"log densities by two orders of masks differ by {value:.3g} nats per entry"
    return Check("order gap of masks", verdict, value, _LIMITS[0], message)


def _marked(entries: Tensor, x: Tensor) -> Tensor:
    """Boolean mask ``(*D)`` of some flat entries."""
    mask = torch.zeros(x[0].numel(), dtype=torch.bool)
    mask[entries] = True
    return mask.reshape(x.shape[1:])


def _difference(
    bridge: FittedBridge, x: Tensor, cond: Tensor | None, hidden: Tensor, last: Tensor, seed: int
) -> Tensor:
    job = Job(bridge.fields, x.masked_fill(last, torch.nan), (~last).expand_as(x).to(x), seed, cond)
    redrawn = MaskedFlow(n_steps=_STEPS).complete(job).x
    how = {"cond": cond, "method": "midpoint", "n_steps": _STEPS}

    def implied(rows: Tensor) -> Tensor:
        joint, second = (conditional_log_prob(bridge.fields, rows, mask, **how) for mask in (hidden, last))
        return (joint - second).double()

    return implied(x) - implied(redrawn)
