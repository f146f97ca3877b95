"""The settings of a training run, checked once."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]

# These may change between a run and its continuation; all others would make it another run.
FREE = {"steps", "checkpoint_every", "keep", "log_every", "validate_every", "on_nonfinite", "compile"}


class TrainSettings(BaseModel):
    """How a run is trained; a misspelt or impossible setting is refused.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Samples per step, over all processes; read by whoever makes the batches.
        lr: Learning rate after the warm-up.
        optimizer: ``"adam"``, or ``"adamw"`` (decoupled weight decay).
        betas: Decay of Adam's first and second moments.
        weight_decay: Weight decay, >= 0.
        schedule: Learning rate over the run: ``"constant"``, ``"cosine"`` (to zero at the last step) or
            ``"step"`` (times ``gamma`` after each ``every`` steps).
        gamma: Factor of the step schedule.
        every: Steps between two reductions of the step schedule.
        warmup: Steps of linear growth of the learning rate, before the schedule.
        clip_norm: Largest norm of the whole gradient; ``None`` does not clip.
        ema: Decay of the moving average of the weights; ``None`` keeps none.
        seed: All randomness of the run follows from it.
        checkpoint_every: Steps between checkpoints (one is always written at the end); 0 for only the last.
        keep: Number of checkpoints to keep.
        log_every: Steps between rows of the log.
        validate_every: Steps between validations; 0 for none.
        on_nonfinite: ``"raise"`` at the first step with a NaN or an infinity, or ``"skip"`` that step.
        precision: ``"fp32"`` (whatever the weights have), or ``"bf16"`` for automatic mixed precision.
        compile: Compile the networks with ``torch.compile``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveCount = 2000
    batch_size: PositiveCount = 256
    lr: Positive = 1e-3
    optimizer: Literal["adam", "adamw"] = "adam"
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    schedule: Literal["constant", "cosine", "step"] = "constant"
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
    on_nonfinite: Literal["raise", "skip"] = "raise"
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
