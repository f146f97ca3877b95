"""Closures of a kinetic theory of active fluids, learnt from its runs.

Letters: R runs, T frames, B cases, n points of a side, K steps of an unroll.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import one_of
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.sciml.closures.order_closures import FACTORS, Factor, OrderFactor, closed
from interpolants.sciml.closures.pde.active_fluid import (
    PARAMETERS,
    ActiveFluid,
    complex_moments,
    real_moments,
)
from interpolants.sciml.closures.pde.fourier_box import FourierBox
from interpolants.sciml.closures.pde.orientation_tensors import check_moments
from interpolants.training.pairs import finished

verb("identify", "x")
# Frames per batch of snapshots, how much the concentration of a run may drift, and how far a parameter may be moved.
_SNAPSHOTS, _DRIFT, _RANGE = 16, 1e-6, 10.0
# Order |z_1|^2 / c^2 below which errors of snapshots count absolutely.
_WEAK = 0.02
FIELDS = Role(
    name="fields",
    exact=True,
    about="Runs (R, T, C, n, n): c, then real and imaginary parts of z_1 and, where known, z_2.",
)
RUNS = replace(FIELDS, name="x", like="fields")  # of as many frames and channels as one likes
PARAMETER_ROLE = Role(
    name="parameters",
    exact=True,
    columns=PARAMETERS,
    about="alpha, beta, zeta, and diffusion in space and in angle, of each run.",
)


class MomentClosure(Trained):
    """A fluid of rods in two moments, c and z_1, whose ``z_2 = F(|z_1|^2 / c^2) z_1^2 / c`` is learnt.

    One function F closes the theory for all parameters. It turns and mirrors with the frame of reference, and never
    leaves what densities can have. ``by="trajectories"`` integrates the fluid with F from frames of kinetic runs and
    compares the frames that follow, through the flow; it needs no z_2. ``by="snapshots"`` compares z_2.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if fields are not moments of a density.
        DivergedError: If a run with the closure leaves the moments of densities.

    Source: Maddu, Weady & Shelley (2024), arXiv:2308.06675; that one scalar function is left in two dimensions is
    derived here.
    """

    only_cpu: ClassVar[str] = "its fields are in float64"
    noun: ClassVar[str] = "closure"
    learns_rows: ClassVar[bool] = False  # a run holds thousands of places to learn from

    closure: Literal["learnt", "bingham", "quadratic", "isotropic"] = "learnt"
    """A known F is one of which nothing is learnt."""
    by: Literal["trajectories", "snapshots"] = "trajectories"
    """How it is learnt."""
    length: Positive = 10.0
    """Side of the periodic square."""
    interval: Positive = 0.4
    """Time between frames."""
    unroll: Count = 4
    """K, frames ahead in training."""
    dt: Positive = 0.1
    """Longest step of time."""
    width: Count = 16
    """Neurons of two hidden layers of F."""
    steps = 150
    batch_size = 4
    lr = 1e-2
    ema = None

    def roles(self) -> tuple[Role, ...]:
        """Runs and their parameters."""
        return FIELDS, PARAMETER_ROLE

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The network of F; nothing for a known one."""
        fields, parameters = data["fields"], data["parameters"]
        ActiveFluid(parameters, self._box(fields))
        _check_runs(fields)
        if self.closure != "learnt":
            return {"factor": None}
        seed = int(torch.randint(2**31, (), generator=generator(self.seed, "closure network")))
        factor = OrderFactor(self.width, seed)
        if self.by == "snapshots":
            if fields.shape[2] < 5:
                rule = "fields must contain z_2 to learn from snapshots, that is at least five channels"
                raise invalid(rule, fields.shape[2], "Or take by='trajectories'.")
            batches: Any = _Snapshots(fields)
            loss: Any = _snapshot_loss
        else:
            if fields.shape[1] <= self.unroll:
                rule = f"runs must have more than unroll = {self.unroll} frames"
                raise invalid(rule, fields.shape[1])
            batches = _Unrolls(fields[:, :, :3], parameters, self.unroll, self.batch_size)
            loss = self._unroll_loss
        result = run.train("closure", factor, loss, batches, self.training())
        return {"factor": finished(factor, result, prefix="")}

    def _unroll_loss(
        self, factor: OrderFactor, batch: dict[str, Any], source: Generator
    ) -> dict[str, Tensor]:
        """Mean square error of z_1 over that of no change at all, by case."""
        frames: Tensor = batch["frames"]
        found = self._frames(batch["parameters"], frames[:, 0], frames.shape[1] - 1, factor)
        gap = (found[:, 1:, 1:3] - frames[:, 1:, 1:3]).square().mean((1, 2, 3, 4))
        return {"order": gap / batch["scale"]}

    def _frames(self, parameters: Tensor, start: Tensor, frames: int, factor: Factor) -> Tensor:
        """Moments c and z_1 in the frames after a start ``(B, 3, n, n)``, and there: ``(B, frames + 1, 3, n, n)``."""
        every = math.ceil(self.interval / self.dt - 1e-9)
        return ActiveFluid(parameters, FourierBox(start.shape[-1], self.length)).run(
            start,
            end=self.interval * frames,
            steps=every * frames,
            every=every,
            closure=lambda c, z: closed(factor, c, z),
        )

    # --- answers

    @property
    def factor(self) -> Factor:
        """F of ``s = |z_1|^2 / c^2``, tensors of any shape."""
        state = self.fitted_state("factor")
        found: Factor = FACTORS[self.closure] if state["factor"] is None else state["factor"]
        return found

    @capability(reads={"x": RUNS}, like="x")
    def predict(self, x: Tensor) -> Tensor:
        """z_2 in all frames of runs.

        Args:
            x: Runs ``(R, T, >= 3, n, n)``.

        Returns:
            Real and imaginary part of z_2, ``(R, T, 2, n, n)``.
        """
        self._box(x)
        check_moments(who(), x[:, :, :3])
        c, z = complex_moments(x[:, :, :3].flatten(0, 1))
        with torch.no_grad():
            found = real_moments(closed(self.factor, c, z)[:, None])
        return found.reshape(*x.shape[:2], 2, *x.shape[3:])

    @capability(reads={"context": replace(FIELDS, name="context", like="fields")}, like="context")
    def forecast(self, context: Tensor, parameters: Tensor, *, frames: Count = 50) -> Tensor:
        """The frames after the last one of each run.

        Args:
            context: Runs ``(B, T, >= 3, n, n)``, of which the last frame is used.
            parameters: Their parameters ``(B, 5)``.
            frames: How many, one every ``interval``.

        Returns:
            ``(B, frames, 3, n, n)``: c and both parts of z_1.

        Raises:
            DivergedError: If a run leaves the moments of densities.
        """
        self._box(context)
        check_moments(who(), context[:, -1, :3])
        with torch.no_grad():
            found = [
                self._frames(one, start[:, -1, :3], frames, self.factor)[:, 1:]
                for one, start in zip(torch.split(parameters, 1), torch.split(context, 1), strict=True)
            ]
        return torch.cat(found)

    @capability(reads={"x": RUNS}, like="parameters")
    def identify(
        self, x: Tensor, parameters: Tensor, *, unknown: Sequence[str] = ("alpha", "zeta"), frames: Count = 1
    ) -> Tensor:
        """Parameters of each run by least squares: from every frame, the fluid must reach those that follow.

        Args:
            x: Runs ``(B, T, >= 3, n, n)``.
            parameters: First guesses ``(B, 5)``; those that are not asked for are taken to be known.
            unknown: Which are asked for; each is sought within ten times its guess, with its sign.
            frames: Frames ahead.

        Returns:
            ``(B, 5)``.
        """
        for name in unknown:
            one_of(who(), "unknown", name, PARAMETERS)
        self._box(x)
        _check_runs(x)
        if x.shape[1] <= frames:
            raise invalid(f"runs must have more than {frames} frames", x.shape[1])
        columns = [PARAMETERS.index(name) for name in dict.fromkeys(unknown)]
        if bool((parameters[:, columns] == 0).any()):
            raise invalid("first guesses of unknown parameters must not be 0", list(unknown))
        found = [
            self._identified(run[:, :3], guess, columns, frames)
            for run, guess in zip(x, parameters, strict=True)
        ]
        return torch.stack(found)

    def _identified(self, run: Tensor, guess: Tensor, columns: list[int], frames: int) -> Tensor:
        """Least squares over the logarithm of what a guess is multiplied by."""
        windows = run.unfold(0, frames + 1, frames).movedim(-1, 1)
        scale = float((windows[:, 1:, 1:3] - windows[:, :1, 1:3]).square().mean().sqrt())

        def values(moves: NDArray[np.float64]) -> Tensor:
            moved = guess.clone()
            moved[columns] = guess[columns] * torch.as_tensor(moves, dtype=torch.float64).exp()
            return moved

        def misfit(moves: NDArray[np.float64]) -> NDArray[np.float64]:
            with torch.no_grad():
                reached = self._frames(
                    values(moves).expand(len(windows), -1), windows[:, 0], frames, self.factor
                )
            gap: NDArray[np.float64] = ((reached - windows)[:, 1:, 1:3] / scale).flatten().numpy()
            return gap

        least_squares = require("scipy.optimize", who()).least_squares
        start, most = np.zeros(len(columns)), math.log(_RANGE)
        return values(least_squares(misfit, start, jac="3-point", bounds=(-most, most), diff_step=1e-4).x)

    def _box(self, fields: Tensor) -> FourierBox:
        """The grid of runs; refuse what is none."""
        if fields.ndim != 5 or fields.shape[-1] != fields.shape[-2] or fields.shape[-1] % 2:
            raise invalid("fields must be (R, T, C, n, n) with an even n", tuple(fields.shape))
        if fields.shape[2] < 3 or fields.shape[2] % 2 == 0:
            rule = "fields must have 3 or 5 channels: c, both parts of z_1, and both of z_2"
            raise invalid(rule, fields.shape[2], "See pde.orientation_tensors for tensors D and S.")
        return FourierBox(fields.shape[-1], self.length)


def _check_runs(fields: Tensor) -> None:
    check_moments(who(), fields)
    mass = fields[:, :, 0].mean((2, 3))
    if fields.shape[1] > 1 and float((mass / mass[:, :1] - 1).abs().max()) > _DRIFT:
        run = int((mass / mass[:, :1] - 1).abs().amax(1).argmax())
        told = f"{float(mass[run].min()):.6g} to {float(mass[run].max()):.6g} in run {run}"
        raise invalid("the mean of c must not change in time", told, "Frames of one run go along axis 1.")


class _Unrolls:
    """The batch of a step: frames of some runs, from some of their times on."""

    def __init__(self, fields: Tensor, parameters: Tensor, unroll: int, size: int) -> None:
        self.fields, self.parameters, self.unroll, self.size = fields, parameters, unroll, size
        moved = fields[:, unroll:, 1:3] - fields[:, :-unroll, 1:3]
        self.scale = float(moved.square().mean().clamp_min(1e-300))

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        many, times = max(1, self.size // world), self.fields.shape[1] - self.unroll
        runs = torch.randint(len(self.fields), (many,), generator=generator)
        first = torch.randint(times, (many,), generator=generator)
        after = first[:, None] + torch.arange(self.unroll + 1)
        frames = self.fields[runs[:, None], after]
        return {"frames": frames, "parameters": self.parameters[runs], "scale": self.scale}


class _Snapshots:
    """The batch of a step: some frames of some runs."""

    def __init__(self, fields: Tensor) -> None:
        self.frames = fields[:, :, :5].flatten(0, 1)

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        pick = torch.randint(len(self.frames), (max(1, _SNAPSHOTS // world),), generator=generator)
        return {"frames": self.frames[pick]}


def _snapshot_loss(factor: OrderFactor, batch: dict[str, Any], source: Generator) -> dict[str, Tensor]:
    c, z = complex_moments(batch["frames"])
    # Nearly relative errors: else weak order, whose z_2 is small, would hardly be seen.
    size = z[:, 0].abs().square() / c.square()
    gap = real_moments((closed(factor, c, z[:, :1]) - z[:, 1])[:, None]) / (c * (size + _WEAK))[:, None]
    return {"second_moment": gap.square().mean((1, 2, 3))}
