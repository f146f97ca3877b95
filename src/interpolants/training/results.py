"""Results of the training loop: the state after a step, and the end of the run."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from interpolants.training.checkpoint import Checkpoint
from interpolants.training.logging import Row
from interpolants.training.losses import Losses

Ending = Literal["finished", "interrupted", "callback", "patience"]


@dataclass(frozen=True)
class Moment:
    """State passed to a callback after a step; return True from the callback to stop the run.

    Attributes:
        step: Completed steps.
        modules: What is trained.
        losses: Losses of this step, detached: ``(B,)`` per sample, or ``()`` for one of the whole batch.
        lr: Learning rate of this step.
        validation: Numbers of the validation after this step, or None if there was no validation.
    """

    step: int
    modules: nn.Module
    losses: Losses
    lr: float
    validation: Mapping[str, float] | None = None


Callback = Callable[[Moment], bool | None]


@dataclass(frozen=True)
class Best:
    """The weights with the best validation so far.

    Attributes:
        step: Completed steps at that validation.
        value: The number that was compared, as ``validate`` returned it.
        weights: Parameters (averaged ones if there are any) and buffers, by name.
    """

    step: int
    value: float
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class FitResult:
    """Outcome of a run.

    Attributes:
        steps: Completed steps, those of the resumed run included.
        history: Logged rows: step, lr, loss, one column per loss, grad_norm, skipped.
        validation: Rows of the validations: step and whatever ``validate`` returned.
        seconds: Training time, resumed runs included.
        ema: Averaged parameters by name at the last step, or ``None``.
        stopped: ``"finished"``, ``"interrupted"`` (by a signal), ``"callback"``, or ``"patience"`` (no better
            validation for so long).
        skipped: Steps skipped because something was not finite.
        checkpoint: The last checkpoint, if any was written or found.
        signal: The signal that interrupted, if any.
        best: The best weights, with ``keep_best``.
        weights: Which weights ``modules`` holds: ``"last"``, or ``"best"``.
        last: The last weights and buffers by name, where ``modules`` holds the best.
        end: From what the run can be trained longer, if it was kept.
    """

    steps: int
    history: list[Row]
    validation: list[Row]
    seconds: float
    ema: dict[str, Tensor] | None
    stopped: Ending
    skipped: int = 0
    checkpoint: Path | None = None
    signal: int | None = None
    best: Best | None = None
    weights: Literal["last", "best"] = "last"
    last: dict[str, Tensor] | None = None
    end: Checkpoint | None = None


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a training, after the step was finished and a checkpoint was written.

    Args:
        result: How far the run came; ``result.checkpoint`` is what it goes on from, if ``out`` was given.
    """

    def __init__(self, result: FitResult) -> None:
        self.result = result
        name = signal.Signals(result.signal or signal.SIGINT).name
        saved = (
            f"Saved: {result.checkpoint}. Go on with resume=True."
            if result.checkpoint
            else "Nothing was saved."
        )
        super().__init__(f"fit: {name} interrupted the training after step {result.steps}. {saved}")
