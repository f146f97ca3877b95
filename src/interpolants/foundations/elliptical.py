"""Elliptical distributions: ``x = mean + L z`` where the density of z depends on its norm only."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checks import floating
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like, sum_event


class Elliptical(BaseDistribution):
    """``x = mean + L z`` over states of shape ``event_shape``, or over any shape when none is given.

    ``L`` is a number, a diagonal of the event's shape, or a lower Cholesky factor ``(D, D)`` of the flattened event. A
    member says what it is for ``|z|^2`` and the number of entries: its log density and its pull towards the centre,
    ``grad log q(z) = -pull z``.

    Args:
        event_shape: Shape of one sample; ``None`` takes the shape of whatever it is compared with.
        mean: Centre: number or tensor of the event's shape, in data units.
        scale: Number or tensor of the event's shape, positive, in data units.
        matrix: ``L L^T``, ``(D, D)`` positive definite, instead of ``scale``.
        matrix_name: What the member calls ``matrix``.

    Raises:
        InvalidInputError: If ``scale`` is not positive, or ``matrix`` is not positive definite, or shapes disagree.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        event_shape: Sequence[int] | None,
        *,
        mean: Tensor | float,
        scale: Tensor | float,
        matrix: Tensor | None,
        matrix_name: str,
    ) -> None:
        self._who, self._matrix_name = type(self).__name__, matrix_name
        self._mean, self._scale = torch.as_tensor(mean), torch.as_tensor(scale)
        if not bool((torch.isfinite(self._scale) & (self._scale > 0)).all()):
            raise invalid(self._who, "scale must be finite and > 0", scale)
        # The matrix is stored as passed: recomputed from its factor it would differ in the last digit.
        self._matrix = None if matrix is None else matrix.detach().clone()
        self._factor = None if matrix is None else _cholesky(self._who, matrix_name, matrix)
        self._shape = self._find_shape(event_shape)
        self._centred = not bool(self._mean.any())
        self._white = self._factor is None and bool((self._scale == 1).all())

    # --- what a member adds

    @abstractmethod
    def log_radial(self, squared: Tensor, size: int) -> Tensor:
        """Log density of z in nats from ``|z|^2`` (any shape), for z of ``size`` entries."""

    @abstractmethod
    def pull(self, squared: Tensor, size: int) -> Tensor:
        """``-grad log q(z)`` over z, from ``|z|^2``."""

    # --- the distribution

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        if self._shape is None:
            remedy = f"Pass {self._who}(event_shape=...)."
            raise invalid(self._who, "event_shape is needed to sample", "None", remedy)
        return self._shape

    @property
    def is_standard(self) -> bool:
        """Whether the mean is zero and L the identity."""
        return self._centred and self._white

    @property
    def is_centred(self) -> bool:
        """Whether the mean is zero."""
        return self._centred

    @cached_property
    def shared_scale(self) -> float | None:
        """The scale that all entries share, in data units; None where they differ or are correlated."""
        return float(self._scale) if self._factor is None and self._scale.ndim == 0 else None

    @cached_property
    def least_scale(self) -> float:
        """The smallest scale in any direction, in data units."""
        if self._factor is None:
            return float(self._scale.min())
        return float(torch.linalg.svdvals(self._factor)[-1])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, *event_shape)`` in the distribution's own precision."""
        dtype = torch.promote_types(self._mean.dtype, self._scale.dtype)
        dtype = dtype if self._matrix is None else torch.promote_types(dtype, self._matrix.dtype)
        dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
        return self.color(self.noise((n, *self.event_shape), generator=generator, dtype=dtype))

    def mean_like(self, x: Tensor) -> Tensor:
        """The mean in the type and on the device of ``x``; broadcasts against ``(B, *D)``."""
        return self._mean.to(x)

    def color(self, z: Tensor) -> Tensor:
        """``mean + L z``: rows of noise to rows of this distribution; ``(B, *D)`` -> ``(B, *D)``."""
        return self.root(z) if self._centred else self.mean_like(z) + self.root(z)

    def whiten(self, x: Tensor) -> Tensor:
        """``L^-1 (x - mean)``, the inverse of :meth:`color`."""
        centred = x if self._centred else x - self.mean_like(x)
        if self._white:  # the common base, in the samplers' inner loop
            return centred
        if self._factor is None:
            return centred / self._scale.to(x)
        return self._solve(self._factor, centred, upper=False)

    def root(self, z: Tensor) -> Tensor:
        """Multiply by the Cholesky factor of the covariance, ``L z``."""
        if self._white:
            return z
        return z * self._scale.to(z) if self._factor is None else self._apply(self._factor.to(z), z)

    def root_transpose(self, y: Tensor) -> Tensor:
        """Multiply by the transposed Cholesky factor of the covariance, ``L^T y``."""
        if self._white:
            return y
        return y * self._scale.to(y) if self._factor is None else self._apply(self._factor.to(y).T, y)

    def inverse_root_transpose(self, z: Tensor) -> Tensor:
        """``L^-T z``: turns a gradient over z into one over x."""
        if self._white:
            return z
        if self._factor is None:
            return z / self._scale.to(z)
        return self._solve(self._factor.T, z, upper=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, *D)`` -> ``(B,)``.

        Raises:
            InvalidInputError: If the distribution has an event shape and ``x`` has another.
        """
        self._check_event(x)
        z = self.whiten(x)
        return self.log_radial(sum_event(z.square()), x[0].numel()) - self.log_det(x)

    def log_det(self, x: Tensor) -> Tensor:
        """``log |det L|`` over the events of ``x (B, *D)``, 0-d in the type of ``x``."""
        if self._factor is None:
            return self._scale.to(x).log().expand(x.shape[1:]).sum()
        return self._factor.to(x).diagonal().log().sum()

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, in 1/data; ``(B, *D)`` -> ``(B, *D)``."""
        self._check_event(x)
        return self.score_at(self.whiten(x))

    def score_at(self, z: Tensor) -> Tensor:
        """``-L^-T (pull z)``, the score at ``color(z)``."""
        # Squares of half precision overflow early.
        wide = z if z.dtype in (torch.float32, torch.float64) else z.float()
        pull = self.pull(sum_event(wide.square()), z[0].numel()).to(z.dtype)
        return -self.inverse_root_transpose(expand_like(pull, z) * z)

    def steepness(self, size: int) -> float:
        """The pull at the centre over the smallest eigenvalue of ``L L^T``."""
        return float(self.pull(torch.zeros((), dtype=torch.float64), size)) / self.least_scale**2

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal distribution."""
        matrix = None if self._matrix is None else self._matrix.tolist()
        shape = None if self._shape is None else list(self._shape)
        settings = {"mean": self._mean.tolist(), "scale": self._scale.tolist(), self._matrix_name: matrix}
        return {"kind": self.kind, "event_shape": shape, **settings}

    def _check_event(self, x: Tensor) -> None:
        floating(self._who, "x", x)
        if self._shape is not None and tuple(x.shape[1:]) != self._shape:
            remedy = (
                "The distribution was created for different states; omit event_shape to accept any shape."
            )
            raise invalid(
                self._who, f"states must have the event shape {self._shape}", tuple(x.shape[1:]), remedy
            )

    def _find_shape(self, event_shape: Sequence[int] | None) -> tuple[int, ...] | None:
        given = [tuple(t.shape) for t in (self._mean, self._scale) if t.ndim > 0]
        shape = tuple(event_shape) if event_shape is not None else (given[0] if given else None)
        if shape is None and self._factor is not None:
            shape = (self._factor.shape[0],)
        for other in given:
            if other != shape:
                raise invalid(self._who, f"mean and scale must have the event shape {shape}", other)
        if self._factor is not None and shape is not None and math.prod(shape) != self._factor.shape[0]:
            size = math.prod(shape)
            rule = f"{self._matrix_name} must be ({size}, {size})"
            raise invalid(self._who, rule, tuple(self._factor.shape))
        return shape

    @staticmethod
    def _apply(matrix: Tensor, z: Tensor) -> Tensor:
        return (z.reshape(z.shape[0], -1) @ matrix.T).reshape(z.shape)

    @staticmethod
    def _solve(matrix: Tensor, x: Tensor, *, upper: bool) -> Tensor:
        # Triangular solves exist in single and double precision only.
        flat = x.reshape(x.shape[0], -1)
        flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
        solved: Tensor = torch.linalg.solve_triangular(matrix.to(flat), flat.T, upper=upper)
        return solved.T.reshape(x.shape).to(x.dtype)

    def __repr__(self) -> str:
        return f"{self._who}(event_shape={self._shape}, standard={self.is_standard})"


def _cholesky(who: str, name: str, matrix: Tensor) -> Tensor:
    """The lower factor in float64, whatever the type of the matrix, so that a file gives the same one."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise invalid(who, f"{name} must be a square matrix", tuple(matrix.shape))
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrix.double())
    if int(info) != 0:
        lowest = float(torch.linalg.eigvalsh(matrix.double())[0])
        raise invalid(who, f"{name} must be positive definite", f"smallest eigenvalue {lowest:.3g}")
    return factor
