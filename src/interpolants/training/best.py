"""Best weights by validation, and the end of a run that no longer gets better."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from interpolants.foundations.errors import invalid, nearest
from interpolants.training.results import Best


class BestWeights:
    """The best validation so far; part of the state of a run.

    Args:
        keep_best: Name of the number to compare; a leading ``-`` prefers large values.
        patience: Validations in a row without a better value before the run shall end; ``None`` for never.

    Attributes:
        best: The best weights, if any validation was finite.
        since: Validations since then.
    """

    def __init__(self, keep_best: str, patience: int | None) -> None:
        self._name, self._sign = keep_best.removeprefix("-"), -1.0 if keep_best.startswith("-") else 1.0
        self._patience = patience
        self.best: Best | None = None
        self.since = 0

    def value(self, numbers: Mapping[str, float]) -> float:
        """The number to compare among those of a validation."""
        if self._name not in numbers:
            rule = "validate must return the number of keep_best"
            raise invalid("fit", rule, repr(self._name), nearest(self._name, numbers))
        return float(numbers[self._name])

    def look(self, step: int, value: float, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Store the weights of this validation if its value is the best so far; NaN is never better."""
        before = math.inf if self.best is None else self._sign * self.best.value
        if self._sign * value < before:
            self.best, self.since = Best(step, value, weights()), 0
        else:
            self.since += 1

    @property
    def gives_up(self) -> bool:
        """Whether patience is at its end."""
        return self._patience is not None and self.since >= self._patience

    def state(self) -> dict[str, Any]:
        """All but the weights, for the checkpoint."""
        found = {} if self.best is None else {"step": self.best.step, "value": self.best.value}
        return {**found, "since": self.since}

    def go_on(self) -> None:
        """Count anew: the run is trained longer, whatever patience said."""
        self.since = 0

    def restore(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""
        self.since = int(state.get("since", 0))
        if "value" in state:
            self.best = Best(int(state["step"]), float(state["value"]), dict(weights))
