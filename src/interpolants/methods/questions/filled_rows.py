"""Quality of filled-in rows: a part of each test row is hidden, filled in, and compared with what stood there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import conditions, options_for, unknown_option
from interpolants.methods.questions.distances import as_rows, like_rows, real_rows, spread_of
from interpolants.metrics.crps import crps_of_cases
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.quantile_loss import within

# Fraction of the mean variance of the visible entries that is added to each in the Gaussian fit.
_RIDGE = 1e-2
# Minimum number of draws for the CRPS and for the coverage, and probability of its interval.
_SCORED, _COVERED, _LEVEL = 2, 4, 0.8


@dataclass(frozen=True, kw_only=True)
class FilledRows(Question):
    """Errors of hidden entries of test rows given the other entries, and scores of several draws."""

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
        "crps": About(
            "CRPS of hidden entries",
            unit="deviations",
            note="Continuous ranked probability score, fair, mean over the hidden entries of a row. Needs 2 draws.",
        ),
        "coverage": About(
            "Coverage",
            "neither",
            note="Proportion of the hidden entries in the central 80 % interval of the draws. Needs 4 draws.",
        ),
    }

    role: str = "x1"
    """Role of the rows."""
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Proportion of the last axis that is hidden, or of all entries of a row with ``pattern="random"``."""
    pattern: Literal["end", "random"] = "end"
    """Hidden entries: the last ones along the last axis, or others at random in each row."""
    draws: Count = 1
    """Number of answers per row."""
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
        told = conditions(method, "complete", task, len(real))
        told.pop("known", None)  # all that is not hidden is known for sure
        incomplete = like_rows(task, self.role, torch.where(hidden, torch.nan, real))
        draws = torch.stack([self._filled(method, incomplete, told, k) for k in range(self.draws)], 1)
        scale, made = spread_of(train), draws[:, 0]
        own, mean = (
            torch.where(hidden, (rows - real) / scale, 0.0).flatten(1).square().sum(1)
            / hidden.flatten(1).sum(1)
            for rows in (made, _gaussian_mean(train, real, hidden))
        )
        values: dict[str, Number] = {
            "error": own.sqrt(),
            "error_over_gaussian": float((own.mean() / mean.mean()).sqrt()),
            "distance": energy_distance(made / scale, real.double() / scale),
        }
        members, truth = (_only((x / scale).double(), hidden) for x in (draws, real[:, None]))
        if self.draws >= _SCORED:
            values["crps"] = crps_of_cases(members, truth[:, 0], fair=True)
        if self.draws >= _COVERED:
            values["coverage"] = within(members, truth[:, 0], _LEVEL).double().mean(1)
        return Measured(values, {"filled": made[:8], "real": real[:8]})

    def _filled(self, method: Method, incomplete: Any, condition: Mapping[str, Any], draw: int) -> Tensor:
        answer: Any = method
        options = options_for(method, "complete", {"seed": self.seed + draw, **(self.options or {})})
        return as_rows(answer.complete(incomplete, **condition, **options)).double()

    def _hidden(self, rows: Tensor) -> Tensor:
        """Return the mask of hidden entries, ``(N, *D)`` bool; each row has as many."""
        at_random = self.pattern == "random"
        width = rows[0].numel() if at_random else rows.shape[-1]
        count = round(self.share * width)
        if not 0 < count < width:
            rule = "some entries along the last axis must be hidden, and some not"
            raise invalid("filled_rows", rule, f"{count} of {width}", "Use another share.")
        if not at_random:
            return (torch.arange(width) >= width - count).expand(rows.shape)
        ranks = (
            torch.rand(len(rows), width, generator=generator(self.seed, "hidden entries"))
            .argsort(1)
            .argsort(1)
        )
        return (ranks < count).reshape(rows.shape)


def _only(x: Tensor, hidden: Tensor) -> Tensor:
    """Hidden entries ``(N, M, n)`` of draws ``(N, M, *D)``."""
    return torch.stack([row[:, mask] for row, mask in zip(x, hidden, strict=True)])


def _gaussian_mean(train: Tensor, rows: Tensor, hidden: Tensor) -> Tensor:
    """Rows whose hidden entries are their mean given the others, under a Gaussian fitted to training rows."""
    x, filled = train.double().flatten(1), rows.double().flatten(1).clone()
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    patterns, index_of = torch.unique(hidden.flatten(1), dim=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        known = covariance[~pattern][:, ~pattern]
        ridge = _RIDGE * known.diagonal().mean().clamp_min(1e-12) * torch.eye(len(known), dtype=torch.float64)
        gain = torch.linalg.solve(known + ridge, covariance[~pattern][:, pattern])
        index = (index_of == k).nonzero()[:, 0]
        guess = mean[pattern] + (filled[index][:, ~pattern] - mean[~pattern]) @ gain
        filled[index[:, None], pattern.nonzero()[:, 0]] = guess
    return filled.reshape(rows.shape)
