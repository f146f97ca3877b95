"""Samples beyond the modes of a known mixture, before and after a filter by their own trajectories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.diagnostics.trajectory_filter import TrajectoryFilter, kept_by_mode
from interpolants.dynamics.sample import Samples
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import unknown_option
from interpolants.methods.questions.distances import as_rows
from interpolants.metrics.beyond_modes import beyond_modes
from interpolants.problems.gaussian_mixture import GaussianMixture


@dataclass(frozen=True, kw_only=True)
class BeyondModes(Question):
    """Rate of samples further than ``reach`` deviations from every mode, and what a trajectory filter makes of it.

    The threshold is calibrated on the good samples of a trial, and judged on fresh samples. The data must be those of a
    Gaussian mixture with one variance for all modes and directions.

    Attributes:
        role: Role that the samples should look like.
        n: Number of samples.
        keep: Proportion of good samples that the filter should keep.
        window: Earliest and latest time of the filter.
        reach: In deviations.
        seed: Seed of the samples; the trial has the next one.
        options: Further arguments of the method's ``sample``, such as ``method`` and ``n_steps``.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "wrong": About(
            "Samples beyond every mode", note="Before the filter.", floor_of="the exact distribution"
        ),
        "wrong_after": About("Samples beyond every mode, filtered", note="Of those that the filter keeps."),
        "kept": About("Good samples kept", "higher"),
        "kept_of_worst_mode": About("Good samples kept of the worst mode", "higher"),
    }

    role: str = "x1"
    n: int = 3000
    keep: float = 0.96
    window: Sequence[float] = (0.9, 1.0)
    reach: float = 6.0
    seed: int = 1
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        whole("beyond_modes", "n", self.n, at_least=10), number("beyond_modes", "reach", self.reach, above=0)
        number("beyond_modes", "keep", self.keep, above=0, at_most=1)
        assert self._filter is not None

    @property
    def _filter(self) -> TrajectoryFilter:
        first, last = self.window
        return TrajectoryFilter(threshold=0.0, window=(first, last))

    def cannot(self, method: Method) -> str:
        """A method without trajectories, or other options."""
        return unknown_option(method, "sample", {"modifiers": (), "details": True, **(self.options or {})})

    def measure(self, method: Method, task: Task) -> Measured:
        """Rates, and what the filter keeps."""
        modes, deviation = self._modes(task)
        trial, done = (self._drawn(method, seed) for seed in (self.seed + 1, self.seed))
        good = ~beyond_modes(as_rows(trial.x), modes, deviation, reach=self.reach)
        wrong = beyond_modes(as_rows(done.x), modes, deviation, reach=self.reach)
        values: dict[str, Number] = {"wrong": wrong.double()}
        if not bool(good.any()):
            why = "None of the samples of the trial lies near a mode: there is nothing to calibrate a filter on."
            return Measured(values, findings=[Finding(why)])
        window = self._filter.window
        kept = TrajectoryFilter.calibrated(trial, keep=self.keep, good=good, window=window).accepts(done)
        if bool(kept.any()):
            values["wrong_after"] = float(wrong[kept].double().mean())
        if not bool(wrong.all()):
            values["kept"] = float(kept[~wrong].double().mean())
            share = kept_by_mode(as_rows(done.x), kept, modes, good=~wrong)
            values["kept_of_worst_mode"] = float(share[share.isfinite()].min())
        return Measured(values)

    def floors(self, task: Task) -> Mapping[str, float]:
        """The rate of the exact distribution."""
        modes, deviation = self._modes(task)
        exact = task.truths[self.role].sample(
            self.n, generator=generator(self.seed, "samples of the exact distribution")
        )
        return {"wrong": float(beyond_modes(exact, modes, deviation, reach=self.reach).double().mean())}

    def _drawn(self, method: Method, seed: int) -> Samples:
        answer: Any = method
        options = {**(self.options or {}), "seed": seed, "details": True, "modifiers": self._filter.observer}
        done: Samples = answer.sample(self.n, **options)
        return done

    def _modes(self, task: Task) -> tuple[Tensor, float]:
        law = task.truths.get(self.role)
        if isinstance(law, GaussianMixture):
            variance = law.variances[0, 0]
            if torch.allclose(law.covariances, variance * torch.eye(law.dim, dtype=law.dtype)):
                return law.means, float(variance.sqrt())
        rule = f"the exact distribution of {self.role!r} must be a Gaussian mixture with one variance"
        raise invalid("beyond_modes", rule, type(law).__name__)
