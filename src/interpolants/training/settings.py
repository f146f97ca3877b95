"""The settings of a training run, checked once."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import nearest
from interpolants.foundations.kinds import Check, Count, NonNegative, Positive, Whole

# No training needs more, and rates near 1e38 make weights infinite without a bad loss.
Rate = Annotated[float, Interval(gt=0, le=1e6)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]

# These may change between a run and its continuation; all others would make it another run.
FREE = {
    "steps",
    "restarts",
    "checkpoint_every",
    "keep",
    "log_every",
    "validate_every",
    "patience",
    "on_nonfinite",
    "compile",
    "shard_above",
    "shard_within",
}


@dataclass(frozen=True, kw_only=True)
class GroupSettings(Checked):
    """Training settings of one group of parameters that differ from the others."""

    lr: Positive = 1.0
    """Factor on the learning rate of the run."""
    weight_decay: NonNegative | None = None
    """Weight decay instead of that of the run; ``None`` keeps it."""
    rows: bool = False
    """Per-row parameters, such as an embedding or a code for each sample: in a step, rows whose gradient is zero are
    not moved, neither by momentum nor by weight decay, and each row counts its own steps."""


def _groups(who: str, value: Any) -> dict[str, GroupSettings]:
    """Groups by name, from tables."""
    if not isinstance(value, Mapping):
        raise invalid(
            "groups must be a table of groups",
            type(value).__name__,
            'For example, pass {"net.encoder": {"lr": 0.1}}.',
        )
    return {str(name): _group(str(name), table) for name, table in value.items()}


def _group(name: str, table: Any) -> GroupSettings:
    if isinstance(table, GroupSettings):
        return table
    if not isinstance(table, Mapping):
        raise invalid(f"groups.{name} must be a table", type(table).__name__, "For example, pass {lr = 0.1}.")
    known = GroupSettings.__dataclass_fields__
    for key in table:
        if key not in known:
            raise invalid(
                f"every key of groups.{name} must be a setting of a group",
                repr(key),
                nearest(str(key), known),
            )
    return GroupSettings(**table)


def _kept_best(who: str, value: Any) -> str | None:
    """The name of a number of the validation, or -name."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.removeprefix("-") or value.startswith("--"):
        raise invalid(
            "keep_best must be the name of a number of the validation, or -name",
            value,
            'For example, use "loss".',
        )
    return value


@dataclass(kw_only=True, eq=False)  # methods inherit it: two of them with equal settings are still two
class LoopSettings(Checked):
    """Settings of a gradient loop, shared by all methods that have one."""

    steps: Count = 2000
    """Training steps."""
    batch_size: Count = 256
    """Rows per step, over all processes."""
    lr: Rate = 1e-3
    """Learning rate after the warm-up."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    """Optimizer; ``"adamw"`` is Adam with decoupled weight decay."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decays of Adam's first and second moments."""
    momentum: Fraction = 0.0
    """Momentum of SGD and RMSprop."""
    nesterov: bool = False
    """Nesterov momentum, for SGD."""
    rms_decay: Fraction = 0.99
    """Decay of RMSprop's second moment."""
    weight_decay: NonNegative = 0.0
    """Weight decay."""
    groups: Annotated[Any, Check(_groups, "table of tables")] = field(default_factory=dict)
    """Groups of parameters with settings of their own, ``lr``, ``weight_decay``, ``rows``. A key is the name of a
    module or a parameter, such as ``"net.encoder"``, and holds for all parameters inside; the longest key that fits
    counts."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """Learning rate over the run: ``"cosine"`` falls to zero at the last step, ``"step"`` is multiplied by ``gamma``
    after each ``every`` steps."""
    restarts: tuple[Count, ...] = ()
    """Steps after which the cosine schedule begins anew, increasing; each leg ends at zero. A run that was trained
    longer has them."""
    gamma: Positive = 0.1
    """Factor of the step schedule."""
    every: Count = 1000
    """Steps between two reductions of the step schedule."""
    warmup: Whole = 0
    """Steps of linear growth of the learning rate, before the schedule."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the whole gradient; ``None`` does not clip."""
    ema: Fraction | None = 0.999
    """Decay of the moving average of the weights; ``None`` keeps none."""
    checkpoint_every: Whole = 500
    """Steps between checkpoints; one is always written at the end. 0 for only the last."""
    keep: Count = 2
    """Checkpoints to keep."""
    log_every: Count = 50
    """Steps between rows of the log."""
    validate_every: Whole = 0
    """Steps between validations; 0 for one at the end."""
    keep_best: Annotated[Any, Check(_kept_best, "name | None")] = None
    """Number of the validation by which weights are kept: those with its lowest value, with ``"-name"`` those with the
    highest."""
    patience: Count | None = None
    """Validations in a row without a better value of ``keep_best`` after which the training ends."""
    on_nonfinite: Literal["raise", "skip"] = "raise"
    """What happens at the first step with a NaN or an infinity: an error, or the step is skipped."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``"fp32"``: whatever the weights have; ``"bf16"``: automatic mixed precision."""
    compile: bool = False
    """Compile the networks with ``torch.compile``."""
    accumulate: Count = 1
    """Parts into which a process cuts its share of a batch, one forward and backward pass each, before the optimizer's
    step: the memory of a smaller batch, and for means over samples the gradient of the whole."""
    shares: Literal["own", "whole"] = "own"
    """``"own"``: each process draws its share of a batch, and pairs within it. ``"whole"``: all draw the same batch,
    pairs included, and take their rows of it; optimal transport is then that of the whole batch, and a run may go on
    with another number of processes."""
    shard_above: Count = 500_000_000
    """With more trained parameters than this, several processes cut them among themselves, with their gradients,
    optimizer state and averages (FSDP2). Networks must then be called, not taken apart, by the loss."""
    shard_within: Whole = 0
    """Number of processes, such as those of a node, that cut the weights among themselves; each such group has all of
    them, and gradients are averaged over the groups (HSDP). 0 for one group of all processes."""

    def check_settings(self) -> None:
        """Check that the settings are compatible."""
        check_loop(self)


def check_loop(loop: LoopSettings) -> None:
    """Check that the settings of a loop are compatible.

    Raises:
        InvalidInputError: If momentum is asked of Adam, Nesterov's without SGD, restarts that no cosine schedule has,
            or patience without a number to wait for.
    """
    if loop.momentum and loop.optimizer not in ("sgd", "rmsprop"):
        raise invalid("momentum goes with sgd and rmsprop", loop.optimizer, "Adam has betas.")
    if loop.nesterov and not (loop.optimizer == "sgd" and loop.momentum):
        given = f"optimizer={loop.optimizer!r}, momentum={loop.momentum:g}"
        raise invalid("nesterov needs optimizer='sgd' and momentum > 0", given)
    ends = (*loop.restarts, loop.steps)
    if loop.restarts and (loop.schedule != "cosine" or list(ends) != sorted(set(ends))):
        given = f"schedule={loop.schedule!r}, restarts={loop.restarts}, steps={loop.steps}"
        raise invalid(
            "restarts must be strictly increasing and below steps, and need schedule='cosine'", given
        )
    if loop.patience is not None and loop.keep_best is None:
        remedy = "Name the number that is to become better."
        raise invalid("patience needs keep_best", f"patience={loop.patience}", remedy)


@dataclass(kw_only=True)
class TrainSettings(LoopSettings):
    """Settings of a training run; a misspelt or impossible setting raises an error."""

    seed: Whole = 0
    """All randomness of the run follows from it."""

    @property
    def legs(self) -> tuple[int, ...]:
        """The steps at which the legs of the cosine schedule end, the last at the end of the run."""
        return (*self.restarts, self.steps)

    def longer(self, more: int) -> Self:
        """The same for so many more steps; a cosine schedule, which has ended, begins anew."""
        restarts = self.legs if self.schedule == "cosine" else ()
        return replace(self, steps=self.steps + more, restarts=restarts)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON has them, tuples as lists."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found
