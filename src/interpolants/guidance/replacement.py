"""Replacement: in-painting, colourisation and other linear measurements, restored after every step.

Letters: ``y = H x1`` what is known, ``H^+`` its pseudo-inverse; ``x = beta x1 + alpha x0`` the state at t.
"""

from typing import Any

from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.operators.measurement import Measurement, Operator, as_operator, check_measurement
from interpolants.paths.path import Path, SpatiallyLinearPath

# Relative tolerance of H H^+ y against the measurement y.
_FIT = 1e-2


class Replacement:
    """``x <- x + H^+ (y_t - H x)`` with ``y_t = beta y + alpha H x0`` drawn afresh: a constraint for ``sample``.

    ::

        sample(fields, x, method="ancestral", constraint=Replacement(Mask(known), y), finish="denoise")

    What is measured of the state then has the distribution of the path given y, at every time; what is not measured
    moves by the unconditional fields. No training on the task is needed. It is an approximation: the fields see one
    noisy draw of what is known, not all that y says, so that long-range structure can fail to fit; correctors and more
    steps help. Results, and the last state of ``finish="mean"``, get y without noise and are otherwise the fields' own
    mean.

    Args:
        operator: H, linear with a pseudo-inverse: ``operators.Mask`` for in-painting, ``Rotated.grey`` for
            colourisation, ``Rotated(Mask(m), Q)`` for ``m * (Q x)``, ``Downsample`` for super-resolution.
        y: Measurements, ``(B, *M)``, or ``(1, *M)`` for all samples.

    Raises:
        InvalidInputError: If the operator is not linear or has no pseudo-inverse.

    Source: Song et al. (2021), arXiv:2011.13456, appendix I; for any linear measurement, ours.
    """

    def __init__(self, operator: Operator | Tensor, y: Tensor) -> None:
        self.operator = as_operator("Replacement", operator)
        if not (self.operator.is_linear and self.operator.has_pinv):
            remedy = "E.g. operators.Mask(known); for others see the guidance by gradients."
            if isinstance(self.operator, Measurement):
                remedy = "If the function is linear, pass operators.Measurement(function, inverse=..., is_linear=True)."
            name = type(self.operator).__name__
            raise invalid("Replacement", "the operator must be linear with a pseudo-inverse", name, remedy)
        self.y = y

    def rows(self, x: Tensor) -> Condition:
        """The measurements, one row per sample.

        Raises:
            InvalidInputError: If they do not fit the samples, or no state fits them.
        """
        check_measurement("Replacement", self.operator, x, self.y)
        if len(self.y) not in (1, len(x)):
            raise invalid("Replacement", f"y must have one row per sample, {len(x)}, or one", len(self.y))
        again = self.operator(self.operator.pinv(self.y))
        gap = float((again - self.y).abs().max())
        if gap > _FIT * max(1.0, float(self.y.abs().max())):
            remedy = "Pass what the operator measured, H x."
            raise invalid("Replacement", "some state must fit y, H(H+ y) = y", f"a gap of {gap:.3g}", remedy)
        return self.y.to(x).expand(len(x), *self.y.shape[1:])

    def impose(self, x: Tensor, t: Tensor, known: Condition, path: Path, z: Tensor | None) -> Tensor:
        """The states with what is known put back; see ``dynamics.Constraint``."""
        base = _gaussian_base(path)
        assert isinstance(path, SpatiallyLinearPath)
        wanted: Any = path.beta(t).to(x) * known
        if z is not None:
            wanted = wanted + path.alpha(t).to(x) * self.operator(base.color(z))
        return x + self.operator.pinv(wanted - self.operator(x))


def _gaussian_base(path: Path) -> Gaussian:
    if (
        not isinstance(path, SpatiallyLinearPath)
        or not isinstance(path.base, Gaussian)
        or path.basis is not None
    ):
        rule = "the path must start from a Gaussian base by one schedule for all directions"
        raise invalid("Replacement", rule, repr(path), "E.g. paths.VP() or OneSidedLinear().")
    return path.base
