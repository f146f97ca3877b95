"""Updates between the steps of a sampler: constraints and corrector steps."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from interpolants.dynamics.correctors import Langevin
from interpolants.fields.protocol import Fields
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

OnStep = Callable[[int, Tensor, Tensor], Tensor | None]


class Constraint(Protocol):
    """Something known of every sample that is put back after each step, such as ``guidance.Replacement``."""

    def rows(self, x: Tensor) -> Condition:
        """Known values of the samples ``x (B, *D)``, one row each, as a condition that is batched with them.

        Raises:
            InvalidInputError: If it does not fit the samples.
        """
        ...

    def impose(self, x: Tensor, t: Tensor, known: Condition, path: Path, z: Tensor | None) -> Tensor:
        """The states at time ``t`` with what is ``known`` put back, noised by ``z`` as the path has it.

        Without ``z`` they are results: the noise is left out.
        """
        ...


class AfterStep:
    """The corrector and the constraint of one job, for the times of its grid.

    The corrector works at every time but the first, or with ``before`` at every time but the last; never where there is
    no noise, and never on a result (``quiet_end``). The constraint follows the predictor and every corrector step.

    Args:
        fields: Fields with a score, for the corrector.
        grid: Times in the order of travel, ``(n + 1,)``.
        corrector: Or None.
        constraint: Or None.
        quiet_end: Whether the last state of the grid is a result without noise.

    Raises:
        InvalidInputError: If the path does not fit the corrector.
    """

    def __init__(
        self,
        fields: Fields,
        grid: Any,
        corrector: Langevin | None,
        constraint: Constraint | None,
        *,
        quiet_end: bool,
    ) -> None:
        self.fields, self.corrector, self.constraint = fields, corrector, constraint
        self.quiet_end = quiet_end
        self.last = len(grid) - 1
        self.times = torch.as_tensor(grid, dtype=torch.float64)
        # Corrected nodes with their rho and standard deviation.
        self.levels = {} if corrector is None else self._find_levels(corrector)

    def _find_levels(self, corrector: Langevin) -> dict[int, tuple[float, float]]:
        path = self.fields.path
        if not isinstance(path, SpatiallyLinearPath) or not path.is_one_sided:
            remedy = "On a two-sided path use a noise level eps instead."
            raise invalid("sample", "a corrector needs a one-sided path", type(path).__name__, remedy)
        if path.basis is not None:
            remedy = "Use a noise level eps instead."
            rule = "a corrector needs one schedule for all directions"
            raise invalid("sample", rule, type(path).__name__, remedy)
        if self.times[0] > self.times[-1]:
            raise invalid("sample", "a corrector needs a run from t = 0 to 1", "reverse=True")
        nodes = range(self.last) if corrector.before else range(1, self.last + 1 - self.quiet_end)
        scale = None if path.base is None else path.base.shared_scale
        std = path.noise_scale(self.times) * (1.0 if scale is None else scale)
        signal = path.beta(self.times)
        decay = (signal[:-1] / signal[1:]).tolist()
        levels = {n: (decay[min(n, self.last - 1)], float(std[n])) for n in nodes}
        return {n: (rho, sigma) for n, (rho, sigma) in levels.items() if sigma > 0}

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.corrector is None and self.constraint is None

    @property
    def nfe(self) -> int:
        """Evaluations of the score per sample."""
        return 0 if self.corrector is None else self.corrector.steps * len(self.levels)

    def over(
        self, fields: Fields, x: Tensor, cond: Condition, known: Condition, first: int, seed: int
    ) -> "AfterStepOver":
        """The same for one chunk of samples, of which the first has index ``first``, with the fields of its run."""
        return AfterStepOver(self, fields, x, cond, known, first, seed)


class AfterStepOver:
    """Updates of :class:`AfterStep` for one chunk, with the noise of its samples."""

    def __init__(
        self,
        plan: AfterStep,
        fields: Fields,
        x: Tensor,
        cond: Condition,
        known: Condition,
        first: int,
        seed: int,
    ) -> None:
        self.plan, self.fields, self.cond, self.known = plan, fields, cond, known
        self._correcting = self._constraining = None
        if plan.corrector is not None:
            self._correcting = BlockNoise.like(x, seed, "corrector", first=first)
        if plan.constraint is not None:
            self._constraining = BlockNoise.like(x, seed, "constraint", first=first)
        self._like = x

    @cached_property
    def _clock(self) -> list[Tensor]:
        return clock(self.plan.times.numpy(), self._like)

    def start(self, x: Tensor) -> Tensor:
        """The states from which the predictor starts."""
        return x if self.plan.is_idle else self._correct(0, self._impose(self._clock[0], x))

    def hook(self) -> OnStep | None:
        """For a solver's ``on_step``; None if there is nothing to do."""
        if self.plan.is_idle:
            return None

        def after(n: int, t: Tensor, x: Tensor) -> Tensor:
            quiet = self.plan.quiet_end and n == self.plan.last
            return self._correct(n, self._impose(t, x, quiet=quiet))

        return after

    def result(self, t: Tensor, x: Tensor) -> Tensor:
        """A result at time ``t`` that no step of the grid led to."""
        return self._impose(t, x, quiet=True)

    def _correct(self, n: int, x: Tensor) -> Tensor:
        if n not in self.plan.levels:
            return x
        corrector, noise = self.plan.corrector, self._correcting
        assert corrector is not None
        assert noise is not None
        rho, std = self.plan.levels[n]
        for _ in range(corrector.steps):
            score = self.fields.evaluate(x, self._clock[n], ("score",), self.cond)["score"]
            x = self._impose(self._clock[n], corrector.step(x, score, noise.normal(), rho=rho, std=std))
        return x

    def _impose(self, t: Tensor, x: Tensor, *, quiet: bool = False) -> Tensor:
        constraint, noise = self.plan.constraint, self._constraining
        if constraint is None or noise is None:
            return x
        assert self.plan.fields.path is not None
        z = None if quiet else noise.normal()
        return constraint.impose(x, t, self.known, self.plan.fields.path, z)
