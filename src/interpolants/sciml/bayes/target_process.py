"""The Gaussian process that a functional prior looks like, and exact regression with it as a rival."""

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Each, OneOrEach, Positive, Remedy
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

LARGEST = 5000
# Noise variances among which the evidence chooses, in standardised units, and what keeps a factor positive.
_NOISES = torch.logspace(-4, 0.5, 55, dtype=torch.float64)
_JITTER = 1e-6
# One for all columns, or one for each.
Lengthscale = Annotated[
    Literal["auto"] | OneOrEach[Annotated[Positive, Each("every lengthscale")]],
    Remedy("Or take 'auto', or one for each column."),
]


def squared_exponential(x: Tensor, y: Tensor, lengthscale: float | Tensor, amplitude: float) -> Tensor:
    """``amplitude^2 exp(-|x - y|^2 / (2 lengthscale^2))``: ``(n, D), (m, D) -> (n, m)``.

    With one lengthscale for each column, ``(D,)``, columns are divided by theirs first.
    """
    if isinstance(lengthscale, Tensor):
        x, y, lengthscale = x / lengthscale, y / lengthscale, 1.0
    squared = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    found: Tensor = amplitude**2 * torch.exp(-0.5 * squared / lengthscale**2)
    return found


def lengthscale_of(value: Any, columns: int) -> float | Tensor:
    """The lengthscale of a setting for so many columns: a number, or one for each, ``(D,)``.

    Raises:
        InvalidInputError: If there is another number of them than of columns.
    """
    if isinstance(value, tuple):
        if len(value) != columns:
            raise invalid(f"lengthscale must have one entry per column, {columns}", len(value))
        return torch.tensor(value, dtype=torch.float64)
    return default_lengthscale(columns) if value == "auto" else float(value)


def default_lengthscale(columns: int) -> float:
    """``sqrt(2 D)``: the typical distance of two rows of D standardised columns."""
    return math.sqrt(2 * columns)


def draw_functions(covariance: Tensor, count: int, generator: Generator) -> Tensor:
    """Values of some functions at the places of a covariance ``(M, M)``, ``(count, M)``."""
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    factor = torch.linalg.cholesky(covariance + _JITTER * covariance.diagonal().mean() * eye)
    white = torch.randn(count, len(covariance), dtype=covariance.dtype, generator=generator)
    found: Tensor = white @ factor.T
    return found


class TargetProcess(Method):
    """Regression by a Gaussian process whose kernel is fixed; its noise alone maximises the evidence.

    Columns are standardised. It is the target of `FunctionalPrior` with the same settings, and what that approximates.

    Raises:
        InvalidInputError: If a setting is out of range, or there are more than 5,000 rows.
    """

    noun: ClassVar[str] = "Gaussian process"

    lengthscale: Lengthscale = "auto"
    """In standard deviations of the columns; ``"auto"`` for ``sqrt(2 D)``."""
    amplitude: Positive = 1.0
    """Standard deviation of the function, in those of the values."""

    def roles(self) -> tuple[Role, ...]:
        """Points and their values."""
        return Role(name="points", exact=True), Role(name="values", exact=True)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The noise of each column, and the weights of the rows."""
        x, y = data["points"], data["values"]
        if x.ndim != 2 or y.ndim != 2 or not 2 <= len(x) <= LARGEST:
            shapes = f"points {tuple(x.shape)}, values {tuple(y.shape)}"
            raise invalid(f"points must be (N, D), values (N, C), N in [2, {LARGEST}]", shapes)
        units = {"x_centre": x.mean(0), "x_scale": _scale(x), "y_centre": y.mean(0), "y_scale": _scale(y)}
        x, y = (x - units["x_centre"]) / units["x_scale"], (y - units["y_centre"]) / units["y_scale"]
        values, vectors = torch.linalg.eigh(self._kernel(x, x))
        values = values.clamp_min(0)  # below it by rounding
        along = vectors.T @ y
        total = values[:, None, None] + _NOISES
        losses = (along[..., None].square() / total + total.log()).sum(0)
        noise = _NOISES[losses.argmin(1)]
        # Beside the rounding of a large amplitude the noise is lost, and with it the weights.
        lost = len(values) * torch.finfo(values.dtype).eps * float(values[-1])
        share = lost / (0.1 * float(noise.min()))
        if share > 1:
            largest = self.amplitude / math.sqrt(share)
            remedy = f"Use an amplitude below {largest:.1e}, in standard deviations of the values."
            raise invalid(
                "amplitude must be small enough for float64 to resolve the noise", self.amplitude, remedy
            )
        alpha = vectors @ (along / (values[:, None] + noise))
        return {
            **units,
            "x": x,
            "noise": noise,
            "alpha": alpha,
            "values": values,
            "vectors": vectors.contiguous(),
        }

    def _kernel(self, x: Tensor, y: Tensor) -> Tensor:
        lengthscale = lengthscale_of(self.lengthscale, x.shape[1])
        return squared_exponential(x, y, lengthscale, self.amplitude)

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(self, x: Tensor, *, joint: bool = False) -> Predictive:
        """Gaussian of the value at each point, with its noise.

        Args:
            x: ``(B, D)``.
            joint: One distribution of all points together, with its covariance, instead of one for each.
        """
        state = self.state
        x = (x - state["x_centre"]) / state["x_scale"]
        across = self._kernel(x, state["x"])
        mean = across @ state["alpha"]
        total = state["values"][:, None] + state["noise"]
        seen = (across @ state["vectors"]).square() @ (1 / total)
        variance = (self.amplitude**2 - seen).clamp_min(0) + state["noise"]
        loc = state["y_centre"] + state["y_scale"] * mean
        together = None
        if joint:
            along = across @ state["vectors"]
            told = torch.einsum("nr,rc,mr->cnm", along, 1 / total, along)
            together = JointRows.of(self._kernel(x, x) - told, variance.T)
        return Predictive(loc=loc[None], scale=(state["y_scale"] * variance.sqrt())[None], joint=together)


def _scale(x: Tensor) -> Tensor:
    scale = x.std(0)
    return torch.where(scale > 0, scale, 1.0)
