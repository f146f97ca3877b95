"""Units in which a bridge learns, and whether its network is preconditioned: as asked for, or chosen by the data.

Unasked, a one-sided bridge of vectors learns in whitened units with a preconditioned network: a network that answers
zero, as one does before its first step, is then the Gaussian fit of the data, and all that is learnt is how they differ
from it. Small sets are not overfitted for want of a covariance, and large ones lose nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from interpolants.fields.protocol import QUANTITIES
from interpolants.framework.frames import Frame, Standard, Varying, Whitened, constant_columns
from interpolants.methods.bridge.held_out import AUTO, Ends
from interpolants.methods.parts.columns import warn_about_columns
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.training.instance_noise import InstanceNoise

if TYPE_CHECKING:
    from interpolants.methods.bridge.bridge_fit import BridgeFit

WHITEN = "whiten"
UNITS = (True, False, WHITEN, AUTO)
# Whitening unasked: at least so many rows, and at most so many columns, whose product is D^2 per row.
_ROWS, _COLUMNS = 20, 256


def new_frame(bridge: "BridgeFit", ends: Ends) -> Frame:
    """Units of both ends, without the columns that are constant over both."""
    rows = ends.x1 if ends.x0 is None else torch.cat([ends.x0, ends.x1.to(ends.x0)])
    out = _left_out(bridge, rows)
    given = bridge.given["x1"]
    if not _noise(bridge):  # noise on the rows gives every column a density
        names = given.columns if given.container == "pandas" else ()
        warn_about_columns("Bridge.fit", "x1", ends.x1, names, left_out=out)
    inner: Standard | Whitened = Whitened() if _whitens(bridge, rows, out) else Standard()
    if out is not None:
        frame = Varying.of(rows, inner)
        return frame.fit(rows) if bridge.standardize else frame
    return inner.fit(rows) if bridge.standardize else inner


def preconditions(bridge: "BridgeFit", path: Path, x1: Tensor) -> bool:
    """Whether the network of a fit is preconditioned."""
    if bridge.precondition != AUTO:
        return bool(bridge.precondition)
    plain = isinstance(path, SpatiallyLinearPath) and path.basis is None and _has_plain_base(path)
    return plain and bridge.standardize is not False and _by_default(bridge, x1)


def _whitens(bridge: "BridgeFit", rows: Tensor, out: Tensor | None) -> bool:
    if bridge.standardize != AUTO:
        return bridge.standardize == WHITEN
    columns = rows[0].numel() - (0 if out is None else int(out.sum()))
    fits = len(rows) >= _ROWS and 2 <= columns <= _COLUMNS and not bool(rows.isnan().any())
    return fits and not _noise(bridge) and _has_plain_base(bridge.first_path) and _by_default(bridge, rows)


def _by_default(bridge: "BridgeFit", rows: Tensor) -> bool:
    """Whether the choice is ours: a network of ours for vectors, and nothing that was made for other units."""
    known = all(head in QUANTITIES for head in bridge.heads)
    return (
        known
        and not bridge.penalties
        and not isinstance(bridge.path, UnfittedPath)
        and _for_vectors(bridge, rows)
    )


def _for_vectors(bridge: "BridgeFit", rows: Tensor) -> bool:
    net = bridge.net
    if isinstance(net, nn.Module):
        return False
    kind = net.get("kind", AUTO) if isinstance(net, Mapping) else net
    return kind == "mlp" or (kind == AUTO and rows.ndim == 2)


def _has_plain_base(path: Path) -> bool:
    base = path.base
    return base is not None and base.is_gaussian and base.is_centred and base.shared_scale is not None


def _noise(bridge: "BridgeFit") -> float:
    return bridge.perturb.std if isinstance(bridge.perturb, InstanceNoise) else bridge.perturb


def _left_out(bridge: "BridgeFit", rows: Tensor) -> Tensor | None:
    """Constant columns of a table, if there are some, and some others, and no part is made for all of them."""
    flat = constant_columns(rows) if rows.ndim == 2 else torch.zeros(1, dtype=torch.bool)
    path = bridge.params()["path"]
    made = isinstance(path, str) or (isinstance(path, Mapping) and "base" not in path)
    own = isinstance(bridge.net, nn.Module) or not made or bridge.penalties
    return None if own or not bool(flat.any()) or bool(flat.all()) else flat
