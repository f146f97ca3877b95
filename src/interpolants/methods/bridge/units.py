"""Units in which a bridge learns, and whether its network is preconditioned: as asked for, or chosen by the data.

Unasked, a one-sided bridge of vectors learns in whitened units with a preconditioned network: a network that answers
zero, as one does before its first step, is then the Gaussian fit of the data, and all that is learnt is how they differ
from it. Small sets are not overfitted for want of a covariance, and large ones lose nothing.

A two-sided one of few rows learns in units in which both ends are uncorrelated, beside the field between two Gaussians.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.fields.gaussian_part import HEADS as GAUSSIAN_HEADS
from interpolants.fields.gaussian_part import GaussianPart
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.randomness import generator
from interpolants.foundations.row_access import Rows, each, in_memory, joined
from interpolants.foundations.shrinkage import shrunk_correlation
from interpolants.framework.frames import Frame, Standard, Varying, Whitened, constant_columns
from interpolants.framework.transformed import Transformed
from interpolants.methods.bridge.held_out import AUTO, Ends
from interpolants.methods.bridge.settings import WHITEN, BridgeSettings
from interpolants.methods.parts.column_maps import bent_columns
from interpolants.methods.parts.columns import warn_about_columns, warn_about_spaces, warn_about_units
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.training.instance_noise import InstanceNoise
from interpolants.training.pairs import draw_pairs

# Whitening unasked: at least so many rows, and at most so many columns, whose product is D^2 per row.
_ROWS, _COLUMNS = 20, 256
# Columns up to which there is one linear system per row and evaluation, for bridges with masks.
_SOLVED = 32
# Few rows of an end of a two-sided bridge: less than so many per column. Pairs from which their covariance is taken.
_FEW, _PAIRS = 50, 2048


def new_frame(bridge: BridgeSettings, ends: Ends) -> Frame:
    """Units of both ends, without the columns that are constant over both; of transformed columns where asked for."""
    rows, columns = _both(ends), bridge.columns("x1")
    bent = bent_columns("Bridge.fit", "x1", bridge.transform, rows, columns)
    changed = ends if bent is None else replace(ends, x0=_bent(ends.x0, bent), x1=_bent(ends.x1, bent))
    out = _left_out(bridge, rows)
    known = {"left_out": out, "learnt": changed.x1, "transforms": True, "noisy": bool(_noise(bridge))}
    warn_about_columns("Bridge.fit", "x1", ends.x1, columns, **known)
    warn_about_spaces("Bridge.fit", "x1", ends.x1, columns)
    if bridge.standardize is False and bent is None:
        warn_about_units("Bridge.fit", "x1", ends.x1, "Leave out standardize=False")
    inner = _linear_frame(bridge, changed, None if out is None else Varying.of(rows, Standard()))
    return inner if bent is None else replace(bent, inner=inner)


def _linear_frame(bridge: BridgeSettings, ends: Ends, varying: Varying | None) -> Frame:
    """Units of ends whose columns are transformed, where they are; without the columns that do not vary."""
    rows = _both(ends)
    if starts_from_gaussians(bridge, ends):
        return _uncorrelated(ends, rows)
    out = None if varying is None else torch.isfinite(varying.slack)
    inner: Standard | Whitened = Whitened() if _whitens(bridge, rows, out) else Standard()
    if varying is not None:
        frame = replace(varying, inner=inner)
        return frame.fit(rows) if bridge.standardize else frame
    return inner.fit(rows) if bridge.standardize else inner


def _both(ends: Ends) -> Rows:
    return ends.x1 if ends.x0 is None else joined(ends.x0, ends.x1)


def _bent(x: Rows, frame: Transformed) -> Rows:
    """Rows with transformed columns, in float64: a logarithm of single precision would lose what an offset hides."""
    return None if x is None else each(x, frame.bend)


def preconditions(bridge: BridgeSettings, path: Path, x1: Rows) -> bool:
    """Whether the network of a fit is preconditioned."""
    if bridge.masks:
        return True
    if bridge.precondition != AUTO:
        return bool(bridge.precondition)
    plain = isinstance(path, SpatiallyLinearPath) and path.basis is None and _has_plain_base(path)
    return plain and bridge.standardize is not False and _by_default(bridge, x1)


def masked_covariance(bridge: BridgeSettings, x1: Rows) -> Tensor | None:
    """Shrunk covariance of vectors in standardised units, whose denoiser a bridge with masks corrects.

    None for bridges without masks, images, many columns or few rows, and for networks made for other units.
    """
    fits = len(x1.shape) == 2 and x1.shape[1] <= _SOLVED and len(x1) >= _ROWS
    if not bridge.masks or not fits or bridge.standardize is False or not _by_default(bridge, x1):
        return None
    values, vectors = shrunk_correlation(x1)
    return (vectors * values) @ vectors.T


def starts_from_gaussians(bridge: BridgeSettings, ends: Ends) -> bool:
    """Whether a two-sided bridge learns beside the field between two Gaussians: unasked, and with few rows."""
    if ends.x0 is None or bridge.standardize != AUTO or bridge.precondition != AUTO or _noise(bridge):
        return False
    size, few = math.prod(ends.x1.shape[1:]), min(len(ends.x0), len(ends.x1))
    known = isinstance(bridge.first_path, SpatiallyLinearPath) and set(bridge.heads) <= set(GAUSSIAN_HEADS)
    fits = 2 <= size <= _COLUMNS and _ROWS <= few < _FEW * size and not _has_flat_columns(ends)
    alike = bool(ends.x0.shape[1:] == ends.x1.shape[1:])
    return known and fits and alike and _by_default(bridge, ends.x1)


def gaussian_part(net: nn.Module, bridge: BridgeSettings, path: Path, ends: Ends) -> GaussianPart:
    """The network beside the field between Gaussians of the ends, which are in units of `new_frame`."""
    assert ends.x0 is not None
    shape, moments = ends.x1.shape[1:], [_moments(x) for x in (ends.x0, ends.x1)]
    spreads = [(vectors.square() * values).sum(1) for _, values, vectors in moments]
    spreads.append(_within_pairs(bridge, ends, spreads))
    means = torch.stack([mean.reshape(shape) for mean, *_ in moments])
    return GaussianPart(net, path, bridge.heads, means, torch.stack([s.reshape(shape) for s in spreads]))


def _uncorrelated(ends: Ends, rows: Tensor) -> Whitened:
    """Units in which the mean covariance of the ends is one, along the principal axes of x0, and so of x1 too."""
    assert ends.x0 is not None
    centred = torch.cat([x.double() - x.double().mean(0) for x in (ends.x0, ends.x1)])
    frame = Whitened().fit(centred)
    frame = replace(frame, units=replace(frame.units, shift=rows.double().mean(0)))
    return frame.turned(_moments(frame.encode(ends.x0.double()))[2])


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, eigenvalues and eigenvectors of the covariance of flattened rows, shrunk as few rows need it."""
    flat = x.flatten(1).double()
    mean = flat.mean(0)
    size = (flat - mean).square().mean().sqrt()
    values, vectors = shrunk_correlation((flat - mean) / size)
    return mean, size**2 * values, vectors


def _within_pairs(bridge: BridgeSettings, ends: Ends, spreads: list[Tensor]) -> Tensor:
    """Covariance ``(D,)`` of x0 and x1 in the pairs of the coupling; 0 for independent ones."""
    if isinstance(bridge.coupling, Independent) or ends.x0 is None:
        return torch.zeros_like(spreads[0])
    known = {"cond": ends.cond, "cond0": ends.cond0, "who": "Bridge.fit"}
    drawn = generator(bridge.seed, "moments of pairs")
    pairs = draw_pairs(ends.x0, ends.x1, _PAIRS, bridge.coupling, bridge.batch_size, drawn, **known)
    x0, x1 = (x.flatten(1).double() for x in pairs[:2])
    most = (spreads[0] * spreads[1]).sqrt()
    return torch.clamp(((x0 - x0.mean(0)) * (x1 - x1.mean(0))).mean(0), -most, most)


def _has_flat_columns(ends: Ends) -> bool:
    """Whether a column of the flattened rows of either end is constant, or has gaps."""
    flat = [in_memory(x).flatten(1) for x in (ends.x0, ends.x1) if x is not None]
    return any(bool(x.isnan().any()) or bool(constant_columns(x).any()) for x in flat)


def _whitens(bridge: BridgeSettings, rows: Rows, out: Tensor | None) -> bool:
    if bridge.standardize != AUTO or bridge.masks:
        return bridge.standardize == WHITEN
    columns = math.prod(rows.shape[1:]) - (0 if out is None else int(out.sum()))
    has_gaps = isinstance(rows, Tensor) and bool(rows.isnan().any())
    fits = len(rows) >= _ROWS and 2 <= columns <= _COLUMNS and not has_gaps
    return fits and not _noise(bridge) and _has_plain_base(bridge.first_path) and _by_default(bridge, rows)


def _by_default(bridge: BridgeSettings, rows: Rows) -> bool:
    """Whether the choice is ours: a network of ours for vectors, and nothing that was made for other units."""
    net = bridge.net
    made_for_others = bridge.penalties or isinstance(bridge.path, UnfittedPath)
    known = all(head in QUANTITIES for head in bridge.heads)
    if isinstance(net, nn.Module) or made_for_others or not known:
        return False
    kind = net.get("kind", AUTO) if isinstance(net, Mapping) else net
    return bool(kind == "mlp" or (kind == AUTO and rows.ndim == 2))


def _has_plain_base(path: Path) -> bool:
    base = path.base
    return base is not None and base.is_gaussian and base.is_centred and base.shared_scale is not None


def _noise(bridge: BridgeSettings) -> float:
    return bridge.perturb.std if isinstance(bridge.perturb, InstanceNoise) else bridge.perturb


def _left_out(bridge: BridgeSettings, rows: Rows) -> Tensor | None:
    """Constant columns of a table, if there are some, and some others, and no part is made for all of them."""
    flat = constant_columns(rows) if rows.ndim == 2 else torch.zeros(1, dtype=torch.bool)
    path = bridge.params()["path"]
    made = isinstance(path, str) or (isinstance(path, Mapping) and "base" not in path)
    own = isinstance(bridge.net, nn.Module) or not made or bridge.penalties
    return None if own or not bool(flat.any()) or bool(flat.all()) else flat
