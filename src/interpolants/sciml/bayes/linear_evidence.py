"""Bayesian linear regression whose penalty and noise maximise the evidence."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

# Grid of the ratio of noise to prior variance, in standardised columns.
_RATIOS = torch.logspace(-8, 8, 97, dtype=torch.float64)
# Singular values of a smaller share of the largest are rounding; at a smaller ratio there is next to no noise.
_RANK, _SURE = 1e-10, 1e-5


class LinearEvidence(Method):
    """``y = m_y + (x - m_x) w + e``, ``w ~ N(0, a)``, ``e ~ N(0, b)``: ridge regression with error bars.

    Columns are standardised; a and b maximise the evidence, on a grid of their ratio, where b is known in closed form.
    From D + 1 rows or fewer of D columns, b may come out as 0, whatever the noise: a warning says so.

    Source: Bishop (2006), Pattern Recognition and Machine Learning, section 3.5; here by a singular value
        decomposition.
    """

    noun: ClassVar[str] = "linear regression"

    def roles(self) -> tuple[Role, ...]:
        """Points and their values."""
        return Role(name="points", exact=True, words=True), Role(name="values", exact=True)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Posterior of the coefficients in the basis of the right singular vectors."""
        return linear_posterior(data["points"], data["values"])

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(self, x: Tensor, *, joint: bool = False) -> Predictive:
        """Gaussian of the value at each point.

        Args:
            x: ``(B, D)``.
            joint: One distribution of all points together, with its covariance, instead of one for each.
        """
        return linear_prediction(self.state, x, joint=joint)


def linear_posterior(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The posterior of the coefficients for rows ``x (N, D)`` and values ``y (N, C)``, in the basis of the data.

    Warns:
        FitWarning: If the rows lie on a plane because they are few, and the evidence is greatest without noise.

    Raises:
        InvalidInputError: If shapes do not fit, or there is one row alone.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) < 2:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise invalid("x must have shape (N, D), y (N,) or (N, C), N >= 2", shapes)
    mean_x, mean_y, scale = x.mean(0), y.mean(0), x.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    u, s, v = torch.linalg.svd((x - mean_x) / scale, full_matrices=False)
    seen = u.T @ (y - mean_y)
    rest = ((y - mean_y).square().sum(0) - seen.square().sum(0)).clamp_min(0)
    found = [_best(s, seen[:, c], rest[c], len(x)) for c in range(y.shape[1])]
    noise, ratio = torch.stack([one[0] for one in found]), torch.stack([one[1] for one in found])
    spanned = int((s > _RANK * s.max()).sum()) >= len(x) - 1
    if spanned and bool((ratio < _SURE).any()):
        told = f"{who()}: {len(x)} rows of {x.shape[1]} columns lie on a plane whatever the noise"
        tell(
            FitWarning,
            f"{told}, and the evidence is greatest without any: error bars are nearly 0. Use more rows.",
        )
    shrunk = s.square()[:, None] + ratio
    return {
        "mean_x": mean_x,
        "mean_y": mean_y,
        "scale": scale,
        "basis": v.contiguous(),
        "mean": s[:, None] * seen / shrunk,
        "variance": noise / shrunk,
        "unseen": noise / ratio,
        "noise": noise,
        "rows": torch.tensor(float(len(x)), dtype=torch.float64),
    }


def _best(s: Tensor, seen: Tensor, rest: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Noise and its ratio to the prior variance, where the evidence is greatest; the mean costs one row."""
    shrunk = _RATIOS[:, None] / (s.square() + _RATIOS[:, None])
    tiny = torch.finfo(torch.float64).tiny
    noise = ((rest + (shrunk * seen.square()).sum(1)) / (n - 1)).clamp_min(tiny)
    evidence = 0.5 * shrunk.log().sum(1) - 0.5 * (n - 1) * noise.log()
    best = int(evidence.argmax())
    return noise[best], _RATIOS[best]


def linear_prediction(state: dict[str, Tensor], x: Tensor, *, joint: bool = False) -> Predictive:
    """Gaussians ``(B, C)``: spread of coefficients that rows told of, of those that they did not, and of the noise."""
    z = (x - state["mean_x"]) / state["scale"]
    along = z @ state["basis"].T
    mean = state["mean_y"] + along @ state["mean"]
    beside = (z.square().sum(1) - along.square().sum(1)).clamp_min(0)
    variance = along.square() @ state["variance"] + beside[:, None] * state["unseen"]
    variance = (variance + state["noise"] * (1 + 1 / state["rows"])).clamp_min(1e-300)
    together = None
    if joint:  # coefficients and the centre are shared by all rows, noise is not
        rest = z - along @ state["basis"]
        covariance = torch.einsum("nr,rc,mr->cnm", along, state["variance"], along)
        covariance = covariance + state["unseen"][:, None, None] * (rest @ rest.T)
        covariance = covariance + (state["noise"] / state["rows"])[:, None, None]
        together = JointRows.of(covariance, variance.T)
    return Predictive(loc=mean[None], scale=variance.sqrt()[None], joint=together)
