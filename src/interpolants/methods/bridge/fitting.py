"""How a bridge is fitted: one function for each of its decisions, and ``learn``, which asks them in order.

The page "how a fit runs" (``docs/design/how-a-fit-runs.md``) follows ``x1`` through it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.fields.entry_preconditioned import EntryPreconditioned
from interpolants.fields.error_growth import warn_of_growing_errors
from interpolants.fields.log_density import LogDensity
from interpolants.fields.preconditioned import Preconditioned, can_precondition
from interpolants.foundations.calls import check_takes_condition
from interpolants.foundations.errors import invalid
from interpolants.foundations.row_access import Rows, each, in_memory, root_mean_square
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.framework.frames import Frame, constant_columns
from interpolants.framework.stages import Run
from interpolants.methods.bridge.held_out import Ends, check_weights, set_aside
from interpolants.methods.bridge.pairs_by_data import pairs_by_data
from interpolants.methods.bridge.settings import BridgeSettings
from interpolants.methods.bridge.units import (
    gaussian_part,
    masked_covariance,
    new_frame,
    preconditions,
    starts_from_gaussians,
)
from interpolants.methods.parts import choices
from interpolants.methods.parts.conditions import units_of
from interpolants.methods.parts.learning import parted_draws
from interpolants.methods.parts.start_points import Pool
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import choose_net
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.objectives.masked_loss import MaskedLoss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.paths.custom import General
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, finished

# Rounding of a condition, in standard deviations, that is refused.
_ROUNDED = 0.01


def learn(bridge: BridgeSettings, data: dict[str, Any], run: Run) -> dict[str, Any]:
    """What a bridge learns: its rows, units, path and pairs are settled, its fields matched, and its leg learnt.

    Args:
        bridge: How it is set.
        data: Canonical values of its roles.
        run: The fit that is running.

    Returns:
        The state of the bridge; see :class:`~interpolants.methods.bridge.fitted.FittedBridge`.
    """
    data, endless = parted_draws(data)
    _check(bridge, data)
    ends, away = split(bridge, data, run)
    gaussian = starts_from_gaussians(bridge, ends)
    ends = read_whole(ends) if gaussian else ends
    frame = new_frame(bridge, ends)
    ends, away = encoded(ends, frame), None if away is None else encoded(away, frame)
    path, coupling = path_of(bridge, ends), bridge.coupling
    if not gaussian:
        path, coupling = pairs_by_data(bridge, path, ends)
    fresh = {name: rows.in_units(lambda x: frame.encode(x).float()) for name, rows in endless.items()}
    net = match(bridge, path, coupling, ends, away, run, gaussian=gaussian, fresh=fresh)
    paired = isinstance(coupling, Paired)
    weights0 = ends.weights if paired else ends.weights0
    pool0 = None if ends.x0 is None else Pool.of(ends.x0, ends.cond0, bridge.seed, weights0)
    return {
        "net": net,
        "path": path,
        "frame": frame,
        "pool0": pool0,
        "pool1": Pool.of(ends.x1, ends.cond, bridge.seed, ends.weights),
        "held": away,
        "density0": run.densities.get("x0"),
        "leg": leg_of(bridge, pool0, frame, run),
        "eps_choice": None,
        "coupling": None if coupling is bridge.coupling else coupling,
    }


def _check(bridge: BridgeSettings, data: Mapping[str, Any]) -> None:
    """Refuse conditions that single precision rounds away, and tell of what has no effect."""
    choices.warn_about_loss_of_detail("Bridge", data["x1"], "x1")
    if bridge.first_path.base is not None and not isinstance(bridge.coupling, Independent):
        words = f"Bridge.fit: {type(bridge.coupling).__name__} has nothing to pair on a one-sided path"
        remedy = "Leave coupling out, or pass x0=torch.randn_like(x1) with path='linear'"
        tell(SettingWarning, f"{words}, where x0 is drawn with each x1. {remedy}.")
    if data.get("cond0") is not None and isinstance(bridge.coupling, Independent):
        words = (
            "Bridge.fit: cond0 has no effect, for the coupling is independent: rows are paired across labels"
        )
        tell(SettingWarning, f"{words}. Use coupling='minibatch_ot' to pair within them.")
    cond = data.get("cond")
    if cond is None or cond.dtype != torch.float64:
        return
    columns = cond.movedim(1, -1).flatten(0, -2)
    # such as times since 1970 in seconds
    lost = (columns.float().double() - columns).abs().amax(0) > _ROUNDED * columns.std(0)
    if bool((lost & ~constant_columns(columns)).any()):
        at = (lost & ~constant_columns(columns)).nonzero().flatten().tolist()
        rule = "cond must vary by more than the rounding of single precision"
        remedy = "Subtract an offset of your own here and in every request, e.g. the first time."
        raise invalid("Bridge.fit", rule, f"less in columns {at}", remedy)


def split(bridge: BridgeSettings, data: Mapping[str, Any], run: Run) -> tuple[Ends, Ends | None]:
    """Rows to learn from, and rows to judge by: those that were given, or some that are set aside."""
    endpoints, away, paired = Ends.of(data), None, isinstance(bridge.coupling, Paired)
    if run.held:
        check_weights("Bridge.fit (held)", data, run.held)
        away = Ends.of(run.held)
    else:
        endpoints, away = set_aside(endpoints, bridge.held_out, bridge.seed, paired=paired)
    return endpoints, None if away is None else away.evened(bridge.seed, paired=paired)


def read_whole(ends: Ends) -> Ends:
    """Ends in memory: for what learns from all rows at once."""
    x0 = None if ends.x0 is None else in_memory(ends.x0)
    return replace(ends, x0=x0, x1=in_memory(ends.x1))


def encoded(ends: Ends, frame: Frame) -> Ends:
    """Ends in the network's units and precision."""

    def changed(x: Rows) -> Rows:
        return None if x is None else each(x, lambda rows: frame.encode(rows).float())

    cond, cond0 = as_float32(ends.cond), as_float32(ends.cond0)
    return replace(ends, x0=changed(ends.x0), x1=changed(ends.x1), cond=cond, cond0=cond0)


def path_of(bridge: BridgeSettings, ends: Ends) -> Path:
    """The path, fitted to x1 where it is one that is, and checked at the ends where it is a user's own."""
    path: Path = bridge.path.fit(in_memory(ends.x1)) if isinstance(bridge.path, UnfittedPath) else bridge.path
    if isinstance(path, General) and ends.x0 is not None:
        rows = min(len(ends.x0), len(ends.x1), 64)
        path.check_ends(ends.x0[:rows], ends.x1[:rows])
    return path


def match(
    bridge: BridgeSettings,
    path: Path,
    coupling: Any,
    ends: Ends,
    away: Ends | None,
    run: Run,
    *,
    gaussian: bool,
    fresh: Mapping[str, Any],
) -> nn.Module:
    """The network that has learnt the fields; from ``fresh`` rows at the ends that have some."""
    net = _new_net(bridge, path, ends)
    net = gaussian_part(net, bridge, path, ends) if gaussian else net
    return match_further(bridge, net, path, coupling, ends, away, run, fresh=fresh)


def match_further(
    bridge: BridgeSettings,
    net: nn.Module,
    path: Path,
    coupling: Any,
    ends: Ends,
    away: Ends | None,
    run: Run,
    *,
    fresh: Mapping[str, Any],
) -> nn.Module:
    """The network after a training that starts from its weights; ``fresh`` as in :func:`match`."""
    loss = _loss_of(bridge, path, net)
    times = choices.choose_times("Bridge", bridge.times, path)
    drop = bridge.drop_condition if ends.cond is not None else 0.0
    penalties = choices.choose_penalties("Bridge", bridge.penalties, path, bridge.heads)
    trained = PathLoss(loss, times, drop, penalties)
    batches = _batches(bridge, replace(ends, **fresh), bridge.batch_size, coupling, times)
    settings = bridge.training()
    rule = choices.choose_aggregate("Bridge", bridge.aggregate, path)
    options: dict[str, Any] = {} if rule is None else {"aggregate": rule}
    # Judged at the times that are trained on; those that learn from losses would learn from these too.
    even, unseen = StratifiedTimes() if isinstance(times, nn.Module) else times, away
    drawn = None if unseen is None else lambda size: _batches(bridge, unseen, size, coupling, even)
    coupled = not isinstance(coupling, Independent | Paired)
    how: dict[str, Any] = {"images": ends.x1.ndim > 2, "as_trained": coupled}
    settings, more = followed(run, settings, PathLoss(loss, even), drawn, **how)
    options |= more
    return finished(net, run.train("match", TimedNet(net, times), trained, batches, settings, **options))


def _batches(bridge: BridgeSettings, ends: Ends, size: int, coupling: Any, times: TimeSampler) -> PairBatches:
    known: dict[str, Any] = {"cond": ends.cond, "cond0": ends.cond0, "perturb": bridge.perturb}
    batches = PairBatches(ends.x0, ends.x1, size, coupling, times, who="Bridge.fit", **known)
    return batches.by_weight(ends.weights0, ends.weights)


def _loss_of(bridge: BridgeSettings, path: Path, net: nn.Module) -> JointLoss | MaskedLoss:
    """The loss that suits a network as the fields use it."""
    if isinstance(net, EntryPreconditioned):
        assert isinstance(path, SpatiallyLinearPath)
        return MaskedLoss(path, net.weight, levels=bridge.masks == "levels")
    return joint_loss(bridge.heads, path, net.weight if isinstance(net, Preconditioned) else None)


def _new_net(bridge: BridgeSettings, path: Path, ends: Ends) -> nn.Module:
    """The network with its initial weights, as the fields use it."""
    if isinstance(bridge.net, nn.Module):
        check_takes_condition("Bridge", bridge.net)
    net = _bare_net(bridge, path, ends)
    if not preconditions(bridge, path, ends.x1):
        # What is learnt by default is stable, and the other quantities follow from it.
        instead = f"heads={list(choices.choose_heads('Bridge', 'auto', path))}"
        instead = f"precondition=True or {instead}" if can_precondition(path, bridge.heads) else instead
        warn_of_growing_errors("Bridge.fit", path, bridge.heads, instead=f"Use {instead}.")
        return net
    size = root_mean_square(ends.x1)
    if size == 0:
        remedy = "There is nothing to learn: every sample would be this row."
        raise invalid("Bridge.fit", "rows of x1 must differ", "the same row everywhere", remedy)
    if bridge.masks:
        assert isinstance(path, SpatiallyLinearPath)
        return EntryPreconditioned(net, path, size, masked_covariance(bridge, ends.x1))
    return Preconditioned(net, path, bridge.heads, size)


def _bare_net(bridge: BridgeSettings, path: Path, endpoints: Ends) -> nn.Module:
    """The network for units of the fit."""
    own, cond = isinstance(bridge.net, nn.Module), endpoints.cond
    if bridge.heads == ("log_density",):
        known = read_whole(endpoints)
        net: nn.Module = LogDensity.fitted(
            path, known.x0, known.x1, net=bridge.net, cond=known.cond, seed=bridge.seed
        )
    else:
        first, *others = endpoints.x1.shape[1:]
        shape = (2 * first if bridge.masks else first, *others)  # each entry, and its time
        net = choose_net(bridge.net, shape, len(bridge.heads), cond, bridge.seed)
        if not own and cond is not None and cond.is_floating_point() and bridge.standardize is not False:
            net = ScaledCondition(net, *units_of(cond))
    return net if own else net.float()  # the ends are float32 here, whatever torch's default type


def leg_of(bridge: BridgeSettings, pool0: Pool | None, frame: Frame, run: Run) -> Any:
    """The bridge from a Gaussian to rho0, if it was asked for and there are rows of rho0."""
    if bridge.leg is None or pool0 is None:
        return None
    return run.fit("leg", bridge.leg_of(), x1=frame.decode(pool0.x))


def as_float32(cond: Tensor | None) -> Tensor | None:
    """A condition in the network's precision; labels as they are."""
    return cond.float() if cond is not None and cond.is_floating_point() else cond
