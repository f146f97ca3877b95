"""What every solver of the Schroedinger bridge problem returns, and what the solvers share.

Among all processes from rho0 to rho1, the Schroedinger bridge is the one closest to Brownian motion
``sqrt(2 eps) W`` in relative entropy: a diffusion ``dX = u dt + sqrt(2 eps) dW`` of least kinetic energy
``K = 1/2 int E|u|^2 dt``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Generator, Tensor

from interpolants.couplings.light_plan import check_eps
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import as_time
from interpolants.foundations.errors import invalid
from interpolants.methods.flow_settings import check_samples
from interpolants.methods.schrodinger_drifts import LARGEST_AFFINE, AffineAndNet, DriftFields, drift_targets
from interpolants.nets.build import choose_net
from interpolants.training.logging import Row
from interpolants.training.settings import TrainSettings


@dataclass(frozen=True)
class CoupledEnds:
    """Start points and where the bridge took them, each ``(n, *D)``."""

    x0: Tensor
    x1: Tensor


@dataclass(frozen=True)
class SchrodingerResult:
    """A solved bridge, whatever solved it.

    Attributes:
        fields: Velocity, score and the rest, for :func:`interpolants.dynamics.sample.sample`.
        eps: Diffusivity of the reference, data units squared.
        kinetic_energy: ``1/2 int E|u_F|^2 dt``, in data units squared, at the end of training.
        residual: ``E[u_F . (u_F - target)] / E|u_F|^2``: zero when the drift is the mean of its target, so that
            distance from zero measures what training left. The max-min value is ``K (2 residual - 1)``.
        history: Numbers tracked during training: step, kinetic_energy, residual, spread of ``x_t`` at three times.
    """

    fields: DriftFields
    eps: float
    kinetic_energy: float
    residual: float
    history: Sequence[Row] = ()

    def drift(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Drift of the forward SDE ``dX = u dt + sqrt(2 eps) dW``; ``(B, *D)``, data units per time."""
        return self.fields.drifts(x, as_time(t, x))[:, 0]

    def backward_drift(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Drift of the SDE run down in time, ``X(t-h) = X - u h + sqrt(2 eps h) xi``."""
        return self.fields.drifts(x, as_time(t, x))[:, 1]

    def transport(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, eps: Any = None, **options: Any
    ) -> Tensor:
        """Where the bridge takes ``x (B, *D)``: samples of rho1, of rho0 when ``reverse``.

        Args:
            x: States at t = 0, or at t = 1 when ``reverse``.
            reverse: Run from t = 1 down to 0.
            seed: Seed of the noise.
            eps: The bridge's own when None. Another level keeps the laws of ``x_t``, not the coupling; 0 is the flow.
            **options: Passed to :func:`interpolants.dynamics.sample.sample`, which refuses what it does not know.
        """
        level = self.eps if eps is None else eps
        return sample(self.fields, x, eps=level, reverse=reverse, seed=seed, **options).x

    def sample_coupling(self, x0: Tensor, *, seed: int = 0, **options: Any) -> CoupledEnds:
        """Pairs of the bridge's coupling: the given start points and a draw of where each arrives."""
        return CoupledEnds(x0, self.transport(x0, seed=seed, **options))

    def sample_marginals(
        self, x0: Tensor, times: Sequence[float], *, seed: int = 0, n_steps: int = 100
    ) -> Tensor:
        """States of the forward SDE at the given times: ``(len(times), B, *D)``.

        Args:
            x0: Start points ``(B, *D)``.
            times: Times in [0, 1]; the nearest time of a uniform grid of ``n_steps`` steps is taken.
            seed: Seed of the noise.
            n_steps: Steps of the SDE.
        """
        if not all(0 <= time <= 1 for time in times):
            raise invalid("sample_marginals", "times must lie in [0, 1]", list(times))
        done = sample(
            self.fields,
            x0,
            eps=self.eps,
            seed=seed,
            n_steps=n_steps,
            time_grid="uniform",
            return_path=True,
        )
        assert done.path is not None
        return done.path[[round(time * n_steps) for time in times]]


class SchrodingerSolver(ABC):
    """Refusals and the result, for all solvers. A solver says how to `_solve`."""

    result: SchrodingerResult | None = None

    def __init__(self, *, eps: float, seed: int) -> None:
        self._name = type(self).__name__
        self.eps, self.seed = check_eps(self._name, eps), seed

    def fit(self, x0: Tensor, x1: Tensor, *, progress: bool = False) -> Self:
        """Solve the bridge between two sample sets.

        Args:
            x0: Samples of rho0, ``(N0, *D)``, finite, floating point.
            x1: Samples of rho1, ``(N1, *D)``.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If shapes or types do not fit, or a value is not finite.
            DivergedError: If the training leaves the finite numbers.
        """
        check_ends(self._name, x0, x1)
        self.result = self._solve(x0, x1, progress)
        return self

    @abstractmethod
    def _solve(self, x0: Tensor, x1: Tensor, progress: bool) -> SchrodingerResult: ...

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0, **options: Any) -> Tensor:
        """Where the bridge takes ``x``; see :meth:`SchrodingerResult.transport`."""
        return self._solved().transport(x, reverse=reverse, seed=seed, **options)

    def summary(self) -> dict[str, float]:
        """Numbers worth printing after `fit`."""
        done = self._solved()
        return {"eps": done.eps, "kinetic_energy": done.kinetic_energy, "residual": done.residual}

    def _solved(self) -> SchrodingerResult:
        if self.result is None:
            raise invalid(self._name, "the bridge must be solved first", "no result", "Call fit(x0, x1).")
        return self.result


class NetworkSolver(SchrodingerSolver):
    """A solver that learns both drifts by one network."""

    def __init__(
        self,
        *,
        eps: float,
        net: Any,
        affine: bool,
        seed: int,
        train: Mapping[str, Any] | TrainSettings | None,
        defaults: Mapping[str, Any],
    ) -> None:
        super().__init__(eps=eps, seed=seed)
        self.net, self.affine = net, affine
        given = (
            train.model_dump(exclude_unset=True) if isinstance(train, TrainSettings) else dict(train or {})
        )
        self.train = TrainSettings(**{**defaults, "seed": seed, **given})

    def _drift_net(self, x: Tensor) -> AffineAndNet:
        shape = tuple(x.shape[1:])
        net = choose_net(self.net, shape, 2, None, self.seed, who=self._name)
        size = math.prod(shape)
        return AffineAndNet(net, size, affine=self.affine and size <= LARGEST_AFFINE).to(x.dtype)


def check_ends(who: str, x0: Tensor, x1: Tensor) -> None:
    """Refuse sample sets between which there is no bridge."""
    for name, x in (("x0", x0), ("x1", x1)):
        check_samples(who, name, x, least=2)
    if x0.shape[1:] != x1.shape[1:] or x0.dtype != x1.dtype:
        rule = f"x1 must have events {tuple(x0.shape[1:])} of {x0.dtype} like x0"
        raise invalid(who, rule, f"{tuple(x1.shape[1:])} of {x1.dtype}")


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
