"""Several objectives on one trunk, and the objectives of quantities by name."""

from collections.abc import Callable, Mapping, Sequence

from torch import Generator, Tensor

from interpolants.foundations.calls import check_takes_condition
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import members
from interpolants.foundations.types import Condition, Field
from interpolants.objectives.losses import (
    DrawnLoss,
    EnergyLoss,
    HyvarinenLoss,
    LogDensityLoss,
    Objective,
    antithetic_pair,
    mean_of_pair,
    twice,
)
from interpolants.paths.path import Path, PathSample

Weight = Callable[[Tensor, Tensor], Mapping[str, Tensor]]


class JointLoss(DrawnLoss[dict[str, Tensor]]):
    """Several objectives on one trunk: one draw of the path and one network evaluation for all heads.

    Args:
        objectives: Losses of the heads, in the order of the network's heads; they share one path.
        weight: ``weight(x_t, t) -> {head: (B,)}``, positive: how much a row counts. The minimiser does not change.

    Raises:
        InvalidInputError: If there are none, they do not share a path, or one among several needs derivatives of the
            network.
    """

    def __init__(self, objectives: Sequence[Objective], weight: Weight | None = None) -> None:
        if not objectives:
            raise invalid("JointLoss", "at least one objective is needed", "none")
        for objective in objectives:
            if objective.path != objectives[0].path:
                raise invalid("JointLoss", "the objectives must share one path", objective.path)
            alone = isinstance(objective, EnergyLoss | HyvarinenLoss | LogDensityLoss)
            if alone and (len(objectives) > 1 or weight is not None):
                rule = "losses that differentiate the network cannot share a trunk, or be weighted"
                raise invalid("JointLoss", rule, type(objective).__name__)
        self.objectives, self.weight = tuple(objectives), weight

    @property
    def path(self) -> Path:  # type: ignore[override]  # that of the objectives
        """The shared path."""
        return self.objectives[0].path

    @property
    def heads(self) -> tuple[str, ...]:
        """Quantities that the heads predict."""
        return tuple(objective.predicts for objective in self.objectives)

    def pairs_with(self, x0: Tensor | None) -> bool:
        """Whether one of the objectives asks for pairs."""
        return any(objective.pairs_with(x0) for objective in self.objectives)

    def at(
        self, field: Field, sample: PathSample, cond: Condition, *, pairs: bool, generator: Generator | None
    ) -> dict[str, Tensor]:
        """Losses by head; ``field`` returns ``(B, K, *D)``, or ``(B, *D)`` for a single head."""
        check_takes_condition("JointLoss", field)
        if len(self.objectives) == 1 and self.weight is None:
            (only,) = self.objectives
            return {only.predicts: only.at(field, sample, cond, pairs=pairs, generator=generator)}
        if pairs:
            sample, cond = antithetic_pair(self.path, sample), twice(cond)
        output = field(sample.x_t, sample.t, cond)
        heads = self._split(output, sample.x_t)
        losses = {
            objective.predicts: objective.compare(head, sample)
            for objective, head in zip(self.objectives, heads, strict=True)
        }
        if self.weight is not None:
            weights = self.weight(sample.x_t, sample.t)
            losses = {name: loss * weights[name] for name, loss in losses.items()}
        return {name: mean_of_pair(loss) for name, loss in losses.items()} if pairs else losses

    def _split(self, output: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        count = len(self.objectives)
        if count == 1:
            return (output,)
        wanted = (x.shape[0], count, *x.shape[1:])
        if output.shape != wanted:
            rule = f"the field must return one head per objective, {wanted}"
            raise invalid("JointLoss", rule, tuple(output.shape))
        return output.unbind(1)


def joint_loss(heads: Sequence[str], path: Path, weight: Weight | None = None) -> JointLoss:
    """The joint quadratic loss of some quantities, by name: ``velocity``, ``mean_rate``, ``score``, ``noise``,
    ``endpoint0``, ``denoised``, or ``log_density`` alone; ``weight`` as in :class:`JointLoss`.
    """
    known = _by_quantity()
    for head in heads:
        if head not in known:
            raise invalid(
                "joint_loss",
                "heads must be names of quantities that can be learnt",
                repr(head),
                nearest(head, known),
            )
    return JointLoss([known[head].of(head, path) for head in heads], weight)


def learnable() -> tuple[str, ...]:
    """Quantities that :func:`joint_loss` knows, from the objectives that have a card."""
    return tuple(_by_quantity())


def _by_quantity() -> dict[str, type[Objective]]:
    entries = members("objective").values()
    objectives = [entry for entry in entries if isinstance(entry, type) and issubclass(entry, Objective)]
    return {quantity: objective for objective in objectives for quantity in objective.learns}
