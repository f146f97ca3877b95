"""Fields of a path as one stage of a fit: the network, its batches of pairs and its losses."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.data.endless import EndlessRows
from interpolants.foundations.devices import here
from interpolants.foundations.row_access import LazyRows, each
from interpolants.foundations.types import Condition
from interpolants.framework.stages import Run
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import choose_net
from interpolants.objectives.joint import Weight, joint_loss
from interpolants.objectives.times import StratifiedTimes
from interpolants.paths.path import Path
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, check_precision, finished
from interpolants.training.settings import TrainSettings

# Rows of both ends, and what is known of each end.
Held = tuple[Tensor | None, Tensor, Condition]


def new_net(
    who: str,
    asked: Any,
    like: Tensor,
    *,
    heads: int = 1,
    form: ConditionForm | None = None,
    vector: int = 0,
    field: int = 0,
    seed: int = 0,
) -> nn.Module:
    """The network that was asked for, in the precision of the samples; one of the user's own as it is.

    Args:
        who: Name of the caller, used in error messages.
        asked: As in :func:`interpolants.nets.build.choose_net`.
        like: Samples ``(N, *D)``.
        heads: Number of outputs.
        form: What is known of each row.
        vector: Entries of the method's own in the vector of the condition.
        field: Channels of the method's own in the field of the condition.
        seed: Seed of the initial weights.
    """
    if isinstance(asked, nn.Module):
        return asked
    table = {"kind": asked} if isinstance(asked, str) else dict(asked)
    own = (form or ConditionForm()).settings(vector=vector, field=field)
    return choose_net({**table, **own}, tuple(like.shape[1:]), heads, None, seed, who=who).to(like.dtype)


def learn_net(
    run: Run,
    stage: str,
    path: Path,
    x0: Tensor | None,
    x1: Tensor,
    *,
    net: nn.Module,
    heads: Sequence[str],
    settings: TrainSettings,
    coupling: Any = None,
    cond: Condition = None,
    held: Held | None = None,
    weight: Weight | None = None,
) -> nn.Module:
    """Learn quantities of a path by one network with a head for each; with its last averaged weights, or the best.

    Args:
        run: The run of the fit.
        stage: Name of the stage.
        path: The interpolant.
        x0: Samples of rho0; None on a one-sided path.
        x1: Samples of rho1.
        net: The network, trained in place.
        heads: Quantities to learn, e.g. ``("velocity",)``.
        settings: Settings of the gradient loop.
        coupling: How x0 and x1 are paired; independent when None.
        cond: What is known of each row of ``x1``.
        held: The same three of rows that training must not see: the weights that are best on them are kept.
        weight: Weights of the losses by head, as :func:`interpolants.objectives.joint.joint_loss` takes them.
    """
    times = StratifiedTimes()
    pairing = Independent() if coupling is None else coupling

    def drawn(rows: Held, size: int) -> PairBatches:
        return PairBatches(*rows[:2], size, pairing, times, cond=rows[2], who=f"{stage} of fit")

    loss = PathLoss(joint_loss(heads, path, weight), times)
    batches, unseen = drawn((x0, x1, cond), settings.batch_size), None
    if held is not None:
        unseen = partial(drawn, held)
    settings, options = followed(run, settings, loss, unseen, images=x1.ndim > 2)
    result = run.train(stage, TimedNet(net, times), loss, batches, settings, **options)
    return finished(net, result)


def in_one_precision(who: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Samples and conditions in the precision of x1; labels and other roles as they are.

    Raises:
        InvalidInputError: If samples have a precision in which no network is learnt.
    """
    for name, value in data.items():
        if name.startswith("x") and isinstance(value, Tensor | LazyRows):
            check_precision(who, name, value)
    like = data["x1"]
    return {name: _as_precise(value, like.dtype) for name, value in data.items()}


def _as_precise(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, LazyRows):
        return each(value, lambda rows: rows.to(dtype))
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def parted_draws(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, EndlessRows]]:
    """Data with the pilots of what is drawn afresh for every step; and that which is."""
    endless = {name: value for name, value in data.items() if isinstance(value, EndlessRows)}
    return {name: here(value.pilot) if name in endless else value for name, value in data.items()}, endless
