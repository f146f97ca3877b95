"""Methods with a gradient loop: the settings of the loop as settings of the method."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from interpolants.foundations.asked import asking
from interpolants.framework.method import Method
from interpolants.training.settings import FREE, LoopSettings, TrainSettings, check_loop

_LATER = ("accumulate", "shares")


class Trained(Method, LoopSettings):
    """A method whose fit holds gradient loops: it has the settings of a loop."""

    free: ClassVar[tuple[str, ...]] = tuple(sorted(FREE - {"steps"}))
    per_fit: ClassVar[tuple[str, ...]] = ("steps", "batch_size")
    former: ClassVar[Mapping[str, str]] = {
        "train": "Pass the settings of the training directly, e.g. steps=500, lr=2e-3."
    }

    # Bases whose settings the help of a subclass names in one line.
    told_briefly: ClassVar[tuple[type, ...]] = (LoopSettings,)

    lr = 2e-3
    schedule = "cosine"
    warmup = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        with asking(type(self).__name__):
            check_loop(self)
            self.training()

    def identity(self) -> dict[str, Any]:
        """Settings that identify a fit; a run may be extended by more steps, or more legs if its schedule ends."""
        fixed = super().identity()
        for name in _LATER:  # a run from before these settings existed can be continued
            if fixed.get(name) == _default(name):
                del fixed[name]
        if self.training().schedule != "cosine":
            del fixed["steps"]
        elif self.restarts:
            fixed["steps"] = self.restarts[0]
        return fixed

    def longer(self, more: int) -> dict[str, Any]:
        """The settings of this fit with more steps; a schedule that ends is restarted."""
        now = self.training().longer(more)
        return {"steps": now.steps, "restarts": list(now.restarts)}

    def training_params(self) -> dict[str, Any]:
        """The settings of the gradient loop, as settings of this method."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(TrainSettings)}

    def training(self, **changes: Any) -> TrainSettings:
        """The settings of a gradient loop.

        Args:
            changes: Settings that differ from the method's own.

        Raises:
            InvalidInputError: If a setting is out of range.
        """
        return TrainSettings(**{**self.training_params(), **changes})


def _default(name: str) -> Any:
    return next(f.default for f in dataclasses.fields(Trained) if f.name == name)
