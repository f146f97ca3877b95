"""A Gaussian law with its sampler, density, score and square root; the base of one-sided paths."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event


class Gaussian:
    """``N(mean, L L^T)`` over states of shape ``event_shape``, or over any shape when none is given.

    ``L`` is a number, a diagonal of the event's shape, or a lower Cholesky factor ``(D, D)`` of the flattened event.

    Args:
        event_shape: Shape of one sample; ``None`` takes the shape of whatever it is compared with.
        mean: Number or tensor of the event's shape, in data units.
        scale: Standard deviation: number or tensor of the event's shape, positive.
        covariance: ``(D, D)`` positive definite, instead of ``scale``.

    Raises:
        InvalidInputError: If ``scale`` is not positive, or ``covariance`` is not positive definite, or shapes disagree.
    """

    is_gaussian = True

    def __init__(
        self,
        event_shape: Sequence[int] | None = None,
        *,
        mean: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        covariance: Tensor | None = None,
    ) -> None:
        self._mean, self._scale = torch.as_tensor(mean), torch.as_tensor(scale)
        if not bool((torch.isfinite(self._scale) & (self._scale > 0)).all()):
            raise invalid("Gaussian", "scale must be finite and > 0", scale)
        self._factor = None if covariance is None else _cholesky(covariance)
        self._shape = self._find_shape(event_shape)
        self._centred = not bool(self._mean.any())
        self._white = self._factor is None and bool((self._scale == 1).all())

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        if self._shape is None:
            raise invalid(
                "Gaussian", "event_shape is needed to sample", "None", "Pass Gaussian(event_shape=...)."
            )
        return self._shape

    @property
    def is_standard(self) -> bool:
        """Whether this is N(0, Id)."""
        return self._centred and self._white

    @property
    def is_centred(self) -> bool:
        """Whether the mean is zero."""
        return self._centred

    @cached_property
    def std(self) -> float | None:
        """The standard deviation that all entries share, in data units; None where they differ or are correlated."""
        return float(self._scale) if self._factor is None and self._scale.ndim == 0 else None

    @cached_property
    def least_std(self) -> float:
        """The smallest standard deviation in any direction, in data units."""
        if self._factor is None:
            return float(self._scale.min())
        return float(torch.linalg.svdvals(self._factor)[-1])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, *event_shape)`` in the law's own precision."""
        dtype = torch.promote_types(self._mean.dtype, self._scale.dtype)
        dtype = dtype if self._factor is None else torch.promote_types(dtype, self._factor.dtype)
        dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
        return self.color(torch.randn(n, *self.event_shape, generator=generator, dtype=dtype))

    def mean_like(self, x: Tensor) -> Tensor:
        """The mean in the type and on the device of ``x``; broadcasts against ``(B, *D)``."""
        return self._mean.to(x)

    def color(self, z: Tensor) -> Tensor:
        """``mean + L z``: standard normal rows to rows of this law; ``(B, *D)`` -> ``(B, *D)``."""
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
        """``L z``."""
        if self._white:
            return z
        return z * self._scale.to(z) if self._factor is None else self._apply(self._factor.to(z), z)

    def root_transpose(self, y: Tensor) -> Tensor:
        """``L^T y``."""
        if self._white:
            return y
        return y * self._scale.to(y) if self._factor is None else self._apply(self._factor.to(y).T, y)

    def inverse_root_transpose(self, z: Tensor) -> Tensor:
        """``L^-T z``: turns a denoiser into a score."""
        if self._white:
            return z
        if self._factor is None:
            return z / self._scale.to(z)
        return self._solve(self._factor.T, z, upper=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, *D)`` -> ``(B,)``."""
        z = self.whiten(x)
        size = x[0].numel()
        if self._factor is None:
            log_det = self._scale.to(x).log().expand(x.shape[1:]).sum()
        else:
            log_det = self._factor.to(x).diagonal().log().sum()
        return -0.5 * sum_event(z.square()) - log_det - 0.5 * size * math.log(2 * math.pi)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, in 1/data; ``(B, *D)`` -> ``(B, *D)``."""
        return -self.inverse_root_transpose(self.whiten(x))

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal law."""
        covariance = None if self._factor is None else (self._factor @ self._factor.T).tolist()
        shape = None if self._shape is None else list(self._shape)
        settings = {"mean": self._mean.tolist(), "scale": self._scale.tolist(), "covariance": covariance}
        return {"kind": "gaussian", "event_shape": shape, **settings}

    def _find_shape(self, event_shape: Sequence[int] | None) -> tuple[int, ...] | None:
        given = [tuple(t.shape) for t in (self._mean, self._scale) if t.ndim > 0]
        shape = tuple(event_shape) if event_shape is not None else (given[0] if given else None)
        if shape is None and self._factor is not None:
            shape = (self._factor.shape[0],)
        for other in given:
            if other != shape:
                raise invalid("Gaussian", f"mean and scale must have the event shape {shape}", other)
        if self._factor is not None and shape is not None and math.prod(shape) != self._factor.shape[0]:
            raise invalid(
                "Gaussian",
                f"covariance must be ({math.prod(shape)}, {math.prod(shape)})",
                tuple(self._factor.shape),
            )
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
        return f"Gaussian(event_shape={self._shape}, standard={self.is_standard})"


def _cholesky(covariance: Tensor) -> Tensor:
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise invalid("Gaussian", "covariance must be a square matrix", tuple(covariance.shape))
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(covariance)
    if int(info) != 0:
        lowest = float(torch.linalg.eigvalsh(covariance)[0])
        raise invalid("Gaussian", "covariance must be positive definite", f"smallest eigenvalue {lowest:.3g}")
    return factor
