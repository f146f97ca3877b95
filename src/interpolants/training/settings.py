"""The settings of a training run, checked once."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from interpolants.foundations.checks import is_whole


def _whole(value: Any) -> Any:
    """Refuse what pydantic would make a number of: text, and ``True``."""
    if not is_whole(value):
        raise ValueError("must be a whole number")
    return value


def _number(value: Any) -> Any:
    """Likewise."""
    if isinstance(value, str | bytes | bool):
        raise ValueError("must be a number")
    return value


_Whole = Annotated[int, BeforeValidator(_whole)]
_Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[_Number, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[_Whole, Field(ge=0)]
# No training needs more, and rates near 1e38 make weights infinite without a bad loss.
Rate = Annotated[_Number, Field(gt=0, le=1e6, allow_inf_nan=False)]
PositiveCount = Annotated[_Whole, Field(ge=1)]
Fraction = Annotated[_Number, Field(ge=0, lt=1, allow_inf_nan=False)]

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
}


class GroupSettings(BaseModel):
    """How one group of parameters is trained, where that differs from the rest.

    Attributes:
        lr: Factor on the learning rate of the run.
        weight_decay: Weight decay instead of that of the run; ``None`` keeps it.
        rows: Per-row parameters, such as an embedding or a code for each sample: in a step, rows whose gradient is
            zero are not moved, neither by momentum nor by weight decay, and each row counts its own steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr: Positive = 1.0
    weight_decay: Annotated[_Number, Field(ge=0, allow_inf_nan=False)] | None = None
    rows: bool = False


class TrainSettings(BaseModel):
    """How a run is trained; a misspelt or impossible setting is refused.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Samples per step, over all processes; read by whoever makes the batches.
        lr: Learning rate after the warm-up.
        optimizer: ``"adam"``, ``"adamw"`` (decoupled weight decay), ``"sgd"`` or ``"rmsprop"``.
        betas: Decay of Adam's first and second moments.
        momentum: Momentum of SGD and RMSprop.
        nesterov: Nesterov momentum, for SGD.
        rms_decay: Decay of RMSprop's second moment.
        weight_decay: Weight decay, >= 0.
        groups: Groups of parameters with settings of their own. A key is the name of a module or a parameter, e.g.
            ``"net.encoder"``, and holds for all parameters inside; the longest key that fits counts. With
            ``fit(group_of=...)`` the keys are free names.
        schedule: Learning rate over the run: ``"constant"``, ``"cosine"`` (to zero at the last step) or
            ``"step"`` (times ``gamma`` after each ``every`` steps).
        restarts: Steps after which the cosine schedule begins anew, increasing; each leg ends at zero. A run that was
            trained longer has them.
        gamma: Factor of the step schedule.
        every: Steps between two reductions of the step schedule.
        warmup: Steps of linear growth of the learning rate, before the schedule.
        clip_norm: Largest norm of the whole gradient; ``None`` does not clip.
        ema: Decay of the moving average of the weights; ``None`` keeps none.
        seed: All randomness of the run follows from it.
        checkpoint_every: Steps between checkpoints (one is always written at the end); 0 for only the last.
        keep: Number of checkpoints to keep.
        log_every: Steps between rows of the log.
        validate_every: Steps between validations; 0 for one at the end.
        keep_best: Name of a number of the validation: the weights with its lowest value are kept and returned.
            ``"-name"`` keeps those with the highest.
        patience: Stop after so many validations in a row without a better value of ``keep_best``.
        on_nonfinite: ``"raise"`` at the first step with a NaN or an infinity, or ``"skip"`` that step.
        precision: ``"fp32"`` (whatever the weights have), or ``"bf16"`` for automatic mixed precision.
        compile: Compile the networks with ``torch.compile``.
        accumulate: Parts into which a process cuts its share of a batch, one forward and backward pass each, before the
            optimizer's step: the memory of a smaller batch, and for means over samples the gradient of the whole.
        shares: ``"own"``: each process draws its share of a batch, and pairs within it. ``"whole"``: all draw the same
            batch, pairs included, and take their rows of it; optimal transport is then that of the whole batch, and a
            run may go on with another number of processes.
        shard_above: With more trained parameters than this, several processes cut them among themselves, with their
            gradients, optimizer state and averages (FSDP2). Networks must then be called, not taken apart, by the loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveCount = 2000
    batch_size: PositiveCount = 256
    lr: Rate = 1e-3
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    momentum: Fraction = 0.0
    nesterov: bool = False
    rms_decay: Fraction = 0.99
    weight_decay: Annotated[_Number, Field(ge=0, allow_inf_nan=False)] = 0.0
    groups: dict[str, GroupSettings] = Field(default_factory=dict)
    schedule: Literal["constant", "cosine", "step"] = "constant"
    restarts: tuple[PositiveCount, ...] = ()
    gamma: Positive = 0.1
    every: PositiveCount = 1000
    warmup: Count = 0
    clip_norm: Positive | None = 1.0
    ema: Fraction | None = 0.999
    seed: Count = 0
    checkpoint_every: Count = 500
    keep: PositiveCount = 2
    log_every: PositiveCount = 50
    validate_every: Count = 0
    keep_best: Annotated[str, Field(pattern="^-?[^-]")] | None = None
    patience: PositiveCount | None = None
    on_nonfinite: Literal["raise", "skip"] = "raise"
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    accumulate: PositiveCount = 1
    shares: Literal["own", "whole"] = "own"
    shard_above: PositiveCount = 500_000_000

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum is for sgd and rmsprop; {self.optimizer} has betas")
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum):
            raise ValueError("nesterov needs optimizer='sgd' and momentum > 0")
        ends = (*self.restarts, self.steps)
        if self.restarts and (self.schedule != "cosine" or list(ends) != sorted(set(ends))):
            raise ValueError("restarts are for schedule='cosine', and must increase and lie below steps")
        if self.patience is not None and self.keep_best is None:
            raise ValueError("patience needs keep_best, the number that is to become better")
        return self

    @property
    def legs(self) -> tuple[int, ...]:
        """The steps at which the legs of the cosine schedule end, the last at the end of the run."""
        return (*self.restarts, self.steps)

    def longer(self, more: int) -> Self:
        """The same for so many more steps; a cosine schedule, which has ended, begins anew."""
        restarts = self.legs if self.schedule == "cosine" else ()
        return self.model_copy(update={"steps": self.steps + more, "restarts": restarts})
