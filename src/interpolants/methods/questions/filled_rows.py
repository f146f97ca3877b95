"""Quality of filled-in rows: a part of each test row is hidden, filled in, and compared with what stood there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import conditions, options_for, unknown_option
from interpolants.methods.questions.distances import as_rows, real_rows, spread_of
from interpolants.metrics.energy_distance import energy_distance

# Of the mean variance of the visible entries, added to each in the Gaussian fit.
_RIDGE = 1e-2


@dataclass(frozen=True, kw_only=True)
class FilledRows(Question):
    """Errors of the last entries of test rows, along the last axis, given the first ones."""

    needs: ClassVar[str] = "complete"
    numbers: ClassVar[Mapping[str, About]] = {
        "error": About(
            "Error of hidden entries",
            unit="deviations",
            note="Root mean square of one answer by row; exact draws have 1.41 times that of the mean.",
        ),
        "error_over_gaussian": About(
            "Error over that of a Gaussian's mean",
            note="Root mean squares over all rows; the mean of the hidden entries given the others by a Gaussian fit.",
        ),
        "distance": About("Energy distance of filled-in rows to real ones", unit="deviations"),
    }

    role: str = "x1"
    """Role of the rows."""
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Proportion of the last axis that is hidden."""
    n: Annotated[int, Ge(2)] = 200
    """Maximum number of rows."""
    seed: int = 1
    """Seed of the answers."""
    options: Mapping[str, Any] | None = None
    """Options of the method's ``complete``, such as ``using``."""

    def cannot(self, method: Method) -> str:
        """Options that the method does not have."""
        return unknown_option(method, "complete", self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by row, and the distance of the rows."""
        real, train = real_rows(task, self.role)[: self.n], real_rows(task, self.role, "train")
        hidden = self._hidden(real)
        options = options_for(method, "complete", {"seed": self.seed, **(self.options or {})})
        told = conditions(method, "complete", task, len(real))
        told.pop("known", None)  # all that is not hidden is known for sure
        answer: Any = method
        made = as_rows(answer.complete(torch.where(hidden, torch.nan, real), **told, **options)).double()
        scale = spread_of(train)
        own, mean = (
            ((rows - real) / scale)[:, hidden].square().mean(1)
            for rows in (made, _gaussian_mean(train, real, hidden))
        )
        values: dict[str, Number] = {
            "error": own.sqrt(),
            "error_over_gaussian": float((own.mean() / mean.mean()).sqrt()),
            "distance": energy_distance(made / scale, real.double() / scale),
        }
        return Measured(values, {"filled": made[:8], "real": real[:8]})

    def _hidden(self, rows: Tensor) -> Tensor:
        """Marks of the hidden entries of a row, ``(*D)`` bool."""
        width = rows.shape[-1]
        count = round(self.share * width)
        if not 0 < count < width:
            rule = "some entries along the last axis must be hidden, and some not"
            raise invalid("filled_rows", rule, f"{count} of {width}", "Use another share.")
        return (torch.arange(width) >= width - count).expand(rows.shape[1:])


def _gaussian_mean(train: Tensor, rows: Tensor, hidden: Tensor) -> Tensor:
    """Rows whose hidden entries are their mean given the others, under a Gaussian fitted to training rows."""
    known = train.double()[:, ~hidden]
    wanted, mean = train.double()[:, hidden], known.mean(0)
    centred = known - mean
    covariance = centred.T @ centred / len(train)
    ridge = _RIDGE * covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(mean), dtype=torch.float64)
    cross = centred.T @ (wanted - wanted.mean(0)) / len(train)
    filled = rows.double().clone()
    filled[:, hidden] = wanted.mean(0) + (rows.double()[:, ~hidden] - mean) @ torch.linalg.solve(
        covariance + ridge, cross
    )
    return filled
