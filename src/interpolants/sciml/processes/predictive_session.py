"""A live session: values come one at a time, and each is predicted, felt as a surprise, and learnt from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.framework.series import Series
from interpolants.sciml.processes.error_regression import ErrorRegression, RegressionSettings
from interpolants.sciml.processes.predictive_model import MetaPrior, PredictiveModel

_DRAWS = 8  # of the evidence of a step


@dataclass(frozen=True)
class Told:
    """What a session says of one step.

    Attributes:
        expected: The values as they were predicted, ``(C,)`` in data units.
        surprise: Minus the log probability of what was seen, under the prediction, in nats and data units.
        understood: The values as the network makes them after the regression, ``(C,)``.
        evidence: The bound of the window after the regression, per step: accuracy over the columns less what the
            divergence costs.
        ahead: Predictions of the next steps, ``(S, C)``.
        members: Those that they are the mean of, ``(M, S, C)``.
    """

    expected: Tensor
    surprise: float
    understood: Tensor
    evidence: float
    ahead: Tensor
    members: Tensor


class Session:
    """A series as it comes. The window grows to its length, then slides.

    Args:
        model: The network.
        prior: Weights of the divergence.
        settings: Window, iterations and rate of the regression.
        members: M.
        steps: S.
        seed: Seed of all noise.
        columns: Names of the columns, where they are known.
    """

    def __init__(
        self,
        model: PredictiveModel,
        prior: MetaPrior,
        settings: RegressionSettings,
        *,
        members: int,
        steps: int,
        seed: int,
        columns: Sequence[str] = (),
    ) -> None:
        whole(who(), "members", members, at_least=1)
        whole(who(), "steps", steps, at_least=1)
        self.regression = ErrorRegression(model, prior, settings, [0], seed=seed)
        self._members, self._steps, self._law = members, steps, model.law
        self._columns = tuple(columns)
        self._next = self.regression.members(members, steps)[1][0]

    def __len__(self) -> int:
        """Steps that were fed."""
        return self.regression.steps

    @property
    def ahead(self) -> Tensor:
        """Predictions of the next steps, ``(S, C)``."""
        return self._law.mean(self._next).mean(0)

    def feed(self, frame: Any) -> Told:
        """One step: values ``(C,)``, a number, or a row of a table by its names; NaN for what was not seen.

        Raises:
            InvalidInputError: If there is another number of values, or one that the output cannot take.
        """
        x = torch.as_tensor(self._in_order(frame), dtype=torch.float64).detach().reshape(-1)
        seen = x.isfinite()
        if len(x) != len(self._law.shift) or bool(x.isinf().any()):
            rule = f"a frame must be {len(self._law.shift)} finite numbers, or NaN"
            raise invalid(rule, x.tolist())
        values = torch.where(seen, x, 0.0)
        series = Series(values=values[None], seen=seen[None], times=torch.zeros(1, dtype=torch.float64))
        self._law.check(series)
        y = torch.where(seen, self._law.encoded(values), 0.0)
        expected = self._law.mean(self._next[:, 0]).mean(0)
        # Of a mixture over the members; what was not seen surprises nobody.
        each = torch.where(seen, self._law.log_prob(self._next[:, 0], y) - self._law.log_volume, 0.0)
        surprise = float(math.log(self._members) - each.sum(1).logsumexp(0))
        self.regression.add(y[None, None], seen[None, None])
        self.regression.improve()
        inside, ahead = self.regression.members(self._members, self._steps)
        self._next = ahead[0]
        evidence = float(self.regression.evidence(min(self._members, _DRAWS))[0])
        members = self._law.mean(ahead[0])
        understood = self._law.mean(inside[0, :, -1]).mean(0)
        return Told(expected, surprise, understood, evidence, members.mean(0), members)

    def _in_order(self, frame: Any) -> Any:
        """Values of a dict or a row of a table, by the names of the fit."""
        if not (isinstance(frame, Mapping) or hasattr(frame, "iloc")):
            return frame
        if hasattr(frame, "columns"):
            frame = frame.iloc[0] if len(frame) == 1 else {}
        here = {str(name): float(value) for name, value in frame.items()}
        names = tuple(here) if len(here) == 1 or not self._columns else self._columns
        if missing := [name for name in names if name not in here]:
            raise invalid(f"a frame must have {', '.join(names)}", f"no {missing[0]!r}")
        return [here[name] for name in names]
