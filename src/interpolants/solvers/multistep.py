"""Multistep solvers for states that are integrals of a predicted quantity: weights of its last values in a step.

The exact flow of a path is ``x(s1) = keep x(s0) + int m(s) dmu(s)``, with a measure known in closed form and a quantity
m that a network predicts, once per step. A solver says what the values of m at the last nodes weigh in the integral. It
knows numbers only: nodes in the variable s in which m is smooth, and a quadrature of the measure over the step.

Letters: ``nodes`` places of the known values of m in s, the newest first; ``h`` length of the step in s; ``r`` lengths
of earlier steps in units of h.
"""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


class Measure(NamedTuple):
    """A step of the measure: it leads from ``start`` to ``stop``; ``weights`` at ``points`` integrate polynomials."""

    start: float
    stop: float
    points: Numbers
    weights: Numbers

    def moment(self, k: int) -> float:
        """``int ((s - start) / h)^k dmu``."""
        return float(self.weights @ ((self.points - self.start) / (self.stop - self.start)) ** k)


@dataclass(frozen=True)
class Multistep(ABC):
    """Base of the multistep solvers.

    Attributes:
        values: Values of m that a step uses at most; fewer in the first steps, where there are no more.
        corrects: A step is taken again once m is known at its end, with that value; no further evaluation.
        order: Measured order of convergence, with the start that the solver itself makes.
    """

    name: ClassVar[str]
    values: ClassVar[int]
    order: ClassVar[float]
    corrects: ClassVar[bool] = False
    kind: ClassVar[str] = "multistep"
    nfe_per_step: ClassVar[int] = 1

    def predict(self, nodes: Numbers, step: Measure) -> Numbers:
        """Weights of the values at ``nodes``, at most ``values`` of them: those of the polynomial through them."""
        return polynomial(nodes, step)

    def correct(self, nodes: Numbers, step: Measure) -> Numbers:
        """Weights of the value at the end of the step, then of those at ``nodes``."""
        return polynomial(np.concatenate([[step.stop], nodes]), step)


def polynomial(nodes: Numbers, step: Measure) -> Numbers:
    """Integrals of Lagrange's polynomials, each 1 at its node and 0 at the others."""
    found = np.empty(len(nodes))
    for j, node in enumerate(nodes):
        others = np.delete(nodes, j)
        found[j] = step.weights @ np.prod((step.points[:, None] - others) / (node - others), axis=1)
    return found


@dataclass(frozen=True)
class ExponentialAB2(Multistep):
    """Exponential Adams-Bashforth integrator of order 2: the line through the last two values of m.

    Source: Zhang & Chen (2023), arXiv:2204.13902 (tAB-DEIS), there in t and for diffusions.
    """

    name: ClassVar[str] = "exponential_ab2"
    values: ClassVar[int] = 2
    order: ClassVar[float] = 2.0


@dataclass(frozen=True)
class ExponentialAB3(Multistep):
    """Exponential Adams-Bashforth integrator through the last three values of m; its first step is of order 1.

    Source: Zhang & Chen (2023), arXiv:2204.13902 (tAB-DEIS), there in t and for diffusions.
    """

    name: ClassVar[str] = "exponential_ab3"
    values: ClassVar[int] = 3
    order: ClassVar[float] = 2.9


@dataclass(frozen=True)
class DPMSolver2M(Multistep):
    """DPM-Solver++(2M): ``(1 + 1/(2r)) m_0 - m_1/(2r)`` in place of m, r the last step in units of this one.

    Source: Lu et al. (2022), arXiv:2211.01095, algorithm 2.
    """

    name: ClassVar[str] = "dpmpp_2m"
    values: ClassVar[int] = 2
    order: ClassVar[float] = 2.0

    def predict(self, nodes: Numbers, step: Measure) -> Numbers:
        """The published weights: the line at the middle of the step."""
        if len(nodes) == 1:
            return polynomial(nodes, step)
        slope = (step.stop - step.start) / (2 * (nodes[0] - nodes[1]))
        return step.moment(0) * np.array([1 + slope, -slope])


@dataclass(frozen=True)
class DPMSolver3M(Multistep):
    """DPM-Solver++(3M), as published in code: the parabola through three values, with half its quadratic term.

    The second divided difference stands where half the second derivative belongs, times half the second moment: the
    method is of order 2, whatever starts it. The whole term makes it ``exponential_ab3``.

    Source: Lu et al. (2022), arXiv:2211.01095; the multistep form of order 3 is that of the authors' code.
    """

    name: ClassVar[str] = "dpmpp_3m"
    values: ClassVar[int] = 3
    order: ClassVar[float] = 2.2

    def predict(self, nodes: Numbers, step: Measure) -> Numbers:
        """The published weights; the first two steps are those of ``dpmpp_2m``."""
        if len(nodes) < 3:
            return DPMSolver2M().predict(nodes, step)
        h = step.stop - step.start
        r0, r1 = (nodes[0] - nodes[1]) / h, (nodes[1] - nodes[2]) / h
        first, second = np.array([1, -1, 0]) / r0, np.array([0, 1, -1]) / r1
        bend = (first - second) / (r0 + r1)
        constant = step.moment(0) * np.array([1.0, 0.0, 0.0])
        found: Numbers = constant + step.moment(1) * (first + r0 * bend) + step.moment(2) / 2 * bend
        return found


@dataclass(frozen=True)
class UniPC2(DPMSolver2M):
    """UniPC of order 2: the predictor of DPM-Solver++(2M), then a corrector through two values and the one at the end.

    Source: Zhao et al. (2023), arXiv:2302.04867, algorithm 5; B(h) cancels where the corrector's system is solved.
    """

    name: ClassVar[str] = "unipc2"
    order: ClassVar[float] = 2.9
    corrects: ClassVar[bool] = True


@dataclass(frozen=True)
class UniPC3(Multistep):
    """UniPC of order 3: the parabola through three values, then a corrector through these and the one at the end.

    Source: Zhao et al. (2023), arXiv:2302.04867, algorithm 5; B(h) cancels where the systems are solved.
    """

    name: ClassVar[str] = "unipc3"
    values: ClassVar[int] = 3
    order: ClassVar[float] = 3.75
    corrects: ClassVar[bool] = True
