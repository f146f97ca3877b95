"""What all solvers of the Schroedinger bridge problem share: roles, answers, and the numbers that judge a solution.

Among all processes from rho0 to rho1, the Schroedinger bridge is the one closest to Brownian motion
``sqrt(2 eps) W`` in relative entropy: a diffusion ``dX = u dt + sqrt(2 eps) dW`` of least kinetic energy
``K = 1/2 int E|u|^2 dt``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Generator, Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import as_time
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.trained import Trained
from interpolants.generative.schrodinger.couplings.light_plan import check_eps
from interpolants.generative.schrodinger.drifts import (
    LARGEST_AFFINE,
    AffineAndNet,
    DriftFields,
    drift_targets,
)
from interpolants.methods.parts.columns import warn_about_columns, warn_about_ratios
from interpolants.methods.parts.learning import in_one_precision
from interpolants.methods.parts.start_points import StartPoints
from interpolants.nets.build import choose_net

STEPS = 100


@dataclass(frozen=True)
class CoupledEnds:
    """Start points and where the bridge took them, each ``(n, *D)``."""

    x0: Tensor
    x1: Tensor


class SchrodingerBridge(Method):
    """A solved Schroedinger bridge, whatever solves it; abstract: a member writes ``learn`` and ``fields``.

    Its state holds ``kinetic_energy``, ``residual`` and ``starts`` beside what the fields are made of.
    """

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "result": "The bridge itself has its drift, fields, transport and numbers.",
        "summary": "Use kinetic_energy and residual.",
        "train": "Pass the settings of the training directly, e.g. steps=500, lr=2e-3.",
    }

    eps: Annotated[float, Check(check_eps, "number > 0")] = 0.5
    """Diffusivity of the reference, data units squared."""

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends."""
        x0 = Role(name="x0", axis="x0", like="x1", about="samples at t = 0")
        return x0, Role(name="x1", axis="x1", about="samples at t = 1")

    def fit(self, x0: Any = None, x1: Any = None, **options: Any) -> Self:
        """Solve the bridge between two sample sets.

        Args:
            x0: Samples of rho0, ``(N0, *D)``.
            x1: Samples of rho1, ``(N1, *D)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.

        Raises:
            InvalidInputError: If the samples do not fit each other, or are fewer than two.
            DivergedError: If the training becomes NaN or infinite.
        """
        return super().fit(x0=x0, x1=x1, **options)

    def ends(self, data: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Both sample sets in one precision; for ``learn``."""
        who = f"{type(self).__name__}.fit"
        data = in_one_precision(who, data)
        for name in ("x0", "x1"):
            if len(data[name]) < 2:
                raise invalid(who, f"{name} must have at least two rows", len(data[name]))
            warn_about_ratios(who, name, data[name])
            warn_about_columns(who, name, data[name], self.columns("x1"), density=False)
        return data["x0"], data["x1"]

    def solved(self, x0: Tensor, numbers: tuple[float, float], **parts: Any) -> dict[str, Any]:
        """The state: what the fields are made of, the numbers that judge it, and start points."""
        starts = StartPoints.of(None, x0, seed=self.seed, shape=tuple(x0.shape[1:]))
        return {**parts, "kinetic_energy": numbers[0], "residual": numbers[1], "starts": starts}

    # --- what is asked of a solved bridge

    @property
    def fields(self) -> DriftFields:
        """Velocity, score and the rest, in data units."""
        raise NotImplementedError

    @property
    def frame(self) -> Standard:
        """The units of :attr:`fields`: those of the data."""
        return Standard()

    @property
    def kinetic_energy(self) -> float:
        """``1/2 int E|u_F|^2 dt``, in data units squared, at the end of the fit."""
        return float(self.fitted_state("kinetic_energy")["kinetic_energy"])

    @property
    def residual(self) -> float:
        """``E[u_F . (u_F - target)] / E|u_F|^2`` at the end of the fit.

        Zero when the drift is the mean of its target, so that distance from zero measures what training left. The
        max-min value is ``K (2 residual - 1)``.
        """
        return float(self.fitted_state("residual")["residual"])

    def drift(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Drift of the forward SDE ``dX = u dt + sqrt(2 eps) dW``; ``(B, *D)``, data units per time."""
        return self.fields.drifts(x, as_time(t, x))[:, 0]

    def backward_drift(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Drift of the SDE run down in time, ``X(t-h) = X - u h + sqrt(2 eps h) xi``."""
        return self.fields.drifts(x, as_time(t, x))[:, 1]

    @capability(like="x1")
    def sample(
        self,
        n: Count,
        *,
        eps: Any = None,
        n_steps: int | None = None,
        method: str | None = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Any:
        """Draw samples of rho1: stored rows of x0, carried over.

        Args:
            n: Number of samples.
            eps: As in :meth:`transport`.
            n_steps: As in :meth:`transport`.
            method: As in :meth:`transport`.
            seed: Seed of the starts and of the noise.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
        """
        start = self.state["starts"].draw(n, seed, first_index)
        solver = {"eps": eps, "n_steps": n_steps, "method": method}
        return self.carry(start, seed=seed, first=first_index, **solver)

    @capability(reads={"x": "x1"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        reverse: bool = False,
        seed: int = 0,
        eps: Any = None,
        n_steps: int | None = None,
        method: str | None = None,
    ) -> Tensor:
        """Where the bridge takes ``x (B, *D)``: samples of rho1, of rho0 when ``reverse``.

        Args:
            x: States at t = 0, or at t = 1 when ``reverse``.
            reverse: Run from t = 1 down to 0.
            seed: Seed of the noise.
            eps: The bridge's own when None. Another level keeps the distributions of ``x_t``, not the coupling; 0 is
                the flow.
            n_steps: Steps of the solver, 100 when None.
            method: The solver; see :func:`interpolants.dynamics.sample.sample`.
        """
        return self.carry(x, reverse=reverse, seed=seed, eps=eps, n_steps=n_steps, method=method)

    def carry(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, first: int = 0, **solver: Any
    ) -> Tensor:
        """:meth:`transport` of tensors, for the rows ``first .. first + B - 1`` of a larger job.

        ``solver`` are its ``eps``, ``n_steps`` and ``method``; None is as if not given.
        """
        asked = {name: value for name, value in solver.items() if value is not None}
        options: dict[str, Any] = {"eps": self.eps, "n_steps": STEPS, **asked}
        start = x.to(self.given["x1"].torch_dtype)
        return sample(self.fields, start, reverse=reverse, seed=seed, first_index=first, **options).x

    def sample_coupling(self, x0: Tensor, *, seed: int = 0, n_steps: int | None = None) -> CoupledEnds:
        """Pairs of the bridge's coupling: the given start points and a draw of where each arrives."""
        return CoupledEnds(x0, self.carry(x0, seed=seed, n_steps=n_steps))

    def sample_marginals(
        self, x0: Tensor, times: Sequence[float], *, seed: int = 0, n_steps: int | None = None
    ) -> Tensor:
        """States of the forward SDE at the given times: ``(len(times), B, *D)``.

        Args:
            x0: Start points ``(B, *D)``.
            times: Times in [0, 1]; the nearest time of a uniform grid of ``n_steps`` steps is taken.
            seed: Seed of the noise.
            n_steps: Steps of the SDE, 100 when None.
        """
        check_times(times)
        steps = STEPS if n_steps is None else n_steps
        done = sample(
            self.fields,
            x0,
            eps=self.eps,
            seed=seed,
            n_steps=steps,
            time_grid="uniform",
            return_path=True,
        )
        path = done.path
        assert path is not None
        return path[[round(time * steps) for time in times]]


class LearntBridge(Trained, SchrodingerBridge):
    """A bridge whose two drifts are one network with two heads; abstract."""

    former: ClassVar[Mapping[str, str]] = {**Trained.former, **SchrodingerBridge.former}

    net: Any = "auto"
    """Network of the drifts, as in :func:`interpolants.nets.build.choose_net` (two heads are asked for)."""
    affine: bool = True
    """Give the drifts a trainable affine part, up to 64 entries of the state."""

    def new_drifts(self, x: Tensor) -> AffineAndNet:
        """The network of the drifts for states like ``x (N, *D)``."""
        shape = tuple(x.shape[1:])
        net = choose_net(self.net, shape, 2, None, self.seed, who=type(self).__name__)
        size = math.prod(shape)
        return AffineAndNet(net, size, affine=self.affine and size <= LARGEST_AFFINE).to(x.dtype)


def check_times(times: Sequence[float]) -> None:
    """Refuse times outside of [0, 1]."""
    if not all(0 <= time <= 1 for time in times):
        raise invalid("sample_marginals", "times must lie in [0, 1]", list(times))


def probe_count(event: Sequence[int]) -> int:
    """How many states to measure on: many small ones, few large ones."""
    return max(256, min(20_000, 65_536 // math.prod(event)))


def energy_and_residual(
    fields: DriftFields, i: Tensor, i_dot: Tensor, t: Tensor, generator: Generator
) -> tuple[float, float]:
    """Kinetic energy and normal-equation residual of the forward drift along ``x_t = I + gamma z``, in data units."""
    eps = fields.eps
    z = torch.randn(i.shape, dtype=i.dtype, generator=generator).to(i.device)
    gamma = fields.path.envelope.gamma(t).reshape(-1, *(1,) * (i.ndim - 1)).to(i)
    square, off = i.new_zeros(()), i.new_zeros(())
    with torch.no_grad():
        for sign in (1.0, -1.0):
            u = fields.drifts(i + sign * gamma * z, t)[:, 0].flatten(1)
            target = drift_targets(i_dot, sign * z, t, eps)[0].flatten(1)
            square += u.square().sum(1).mean() / 2
            off += (u * (u - target)).sum(1).mean() / 2
    return float(square) / 2, float(off / square.clamp_min(torch.finfo(i.dtype).tiny))
