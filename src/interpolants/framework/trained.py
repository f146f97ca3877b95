"""Methods with a gradient loop: the settings of the loop as settings of the method."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ValidationError

from interpolants.foundations.errors import invalid
from interpolants.framework.method import Method
from interpolants.training.settings import FREE, TrainSettings

_LATER = ("accumulate", "shares")


class Trained(Method):
    """A method whose fit holds gradient loops; the settings are those of :class:`interpolants.training.TrainSettings`.

    Args:
        steps: Training steps.
        batch_size: Rows per step.
        lr: Learning rate.
        optimizer: Name of the optimizer.
        betas: Decays of Adam's averages.
        momentum: Momentum of SGD and RMSprop.
        nesterov: Nesterov momentum, for SGD.
        rms_decay: Decay of RMSprop's average of squares.
        weight_decay: Decay of the weights.
        groups: Groups of parameters with settings of their own, by the name of a module.
        schedule: Schedule of the learning rate.
        restarts: Steps after which the cosine schedule begins anew, as in a run that was trained longer.
        gamma: Factor of the step schedule.
        every: Steps between two reductions of the step schedule.
        warmup: Steps of linear growth of the learning rate.
        clip_norm: Largest norm of the gradient.
        ema: Decay of the moving average of the weights.
        checkpoint_every: Steps between checkpoints.
        keep: Number of checkpoints to keep.
        log_every: Steps between rows of the log.
        validate_every: Steps between validations.
        keep_best: Number of the validation by which the best weights are kept.
        patience: Validations without a better one after which the training ends.
        on_nonfinite: What happens at a NaN or an infinity.
        precision: Precision of the network's computations.
        compile: Compile the networks.
        accumulate: Parts into which a process cuts its share of a batch.
        shares: Whether each process draws its ``"own"`` rows or all cut the ``"whole"`` batch.
        shard_above: Parameters above which processes cut the weights among themselves.
    """

    free: ClassVar[tuple[str, ...]] = tuple(sorted(FREE - {"steps"}))
    per_fit: ClassVar[tuple[str, ...]] = ("steps", "batch_size")
    former: ClassVar[Mapping[str, str]] = {
        "train": "Give the settings of the training directly, e.g. steps=500, lr=2e-3."
    }

    steps: int = 2000
    batch_size: int = 256
    lr: float = 2e-3
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    nesterov: bool = False
    rms_decay: float = 0.99
    weight_decay: float = 0.0
    groups: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schedule: str = "cosine"
    restarts: tuple[int, ...] = ()
    gamma: float = 0.1
    every: int = 1000
    warmup: int = 50
    clip_norm: float | None = 1.0
    ema: float | None = 0.999
    checkpoint_every: int = 500
    keep: int = 2
    log_every: int = 50
    validate_every: int = 0
    keep_best: str | None = None
    patience: int | None = None
    on_nonfinite: str = "raise"
    precision: str = "fp32"
    compile: bool = False
    accumulate: int = 1
    shares: str = "own"
    shard_above: int = 500_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.training()

    def identity(self) -> dict[str, Any]:
        """What makes two fits the same; a run may be extended by more steps, or where its schedule ends, more legs."""
        fixed = super().identity()
        for name in _LATER:  # a run from before there were these settings goes on
            if fixed.get(name) == _default(name):
                del fixed[name]
        if self.training().schedule != "cosine":
            del fixed["steps"]
        elif self.restarts:
            fixed["steps"] = self.restarts[0]
        return fixed

    def longer(self, more: int) -> dict[str, Any]:
        """The settings of this fit with more steps; a schedule that ends begins anew."""
        now = self.training().longer(more)
        return {"steps": now.steps, "restarts": list(now.restarts)}

    def training_params(self) -> dict[str, Any]:
        """The settings of the gradient loop, as settings of this method."""
        names = [f.name for f in dataclasses.fields(Trained) if f.name in TrainSettings.model_fields]
        return {name: getattr(self, name) for name in names}

    def training(self, **changes: Any) -> TrainSettings:
        """The settings of a gradient loop.

        Args:
            changes: Settings that differ from the method's own.

        Raises:
            InvalidInputError: If a setting is out of range.
        """
        try:
            return TrainSettings(**{**self.training_params(), **changes})
        except ValidationError as error:
            raise _refused(error, type(self).__name__) from error


def _refused(error: ValidationError, who: str) -> Exception:
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    where, given = ".".join(str(part) for part in first["loc"]), first["input"]
    if not where:  # of settings that do not fit each other
        return invalid(who, said, {k: v for k, v in given.items() if v and v != _default(k)})
    return invalid(who, f"{where}: {said[0].lower()}{said[1:]}", given)


def _default(name: str) -> Any:
    return next(f.default for f in dataclasses.fields(Trained) if f.name == name)
