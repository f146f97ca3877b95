"""Samples beyond the modes of a known mixture, before and after a filter by their own trajectories."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.diagnostics.trajectory_filter import TrajectoryFilter, kept_by_mode
from interpolants.dynamics.sample import Samples
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive, Real
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
    """Role that the samples should look like."""
    n: Annotated[int, Ge(10)] = 3000
    """Number of samples."""
    keep: Annotated[float, Interval(gt=0, le=1)] = 0.96
    """Proportion of good samples that the filter should keep."""
    window: tuple[Real, Real] = (0.9, 1.0)
    """Earliest and latest time of the filter."""
    reach: Positive = 6.0
    """In deviations."""
    seed: int = 1
    """Seed of the samples; the trial has the next one."""
    options: Mapping[str, Any] | None = None
    """Further arguments of the method's ``sample``, such as ``method`` and ``n_steps``."""

    def check_settings(self) -> None:
        """Refuse a window that no filter has."""
        assert self._filter is not None

    @property
    def _filter(self) -> TrajectoryFilter:
        return TrajectoryFilter(threshold=0.0, window=self.window)

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
