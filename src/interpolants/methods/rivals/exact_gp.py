"""Exact Gaussian process regression with a product of Matern kernels, one for each coordinate."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, OneOf
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.kernels.matern import SMOOTHNESS, Matern

LARGEST = 5000
# First lengthscale as a share of a coordinate's range, first correlation of two words, first noise.
_FIRST_SHARE, _FIRST_CORRELATION, _FIRST_NOISE = 0.3, 0.5, 0.1
# Variances stay above this share of that of the values.
_LEAST = 1e-8


class ExactGP(Method):
    """``y = f(x) + noise``, f a Gaussian process with covariance ``variance prod_k k(|x_k - x'_k| / lengthscale_k)``.

    Several columns of values share the kernel and are independent otherwise. Columns of words have one correlation
    between any two different words instead. Lengthscales, correlations, variance and noise maximise the marginal
    likelihood. Time grows with the cube of the number of entries, memory with its square: the limit that approximations
    are there to pass.

    Raises:
        InvalidInputError: If a setting does not fit, or there are more than 5,000 entries (with the memory they take).

    Source: Rasmussen & Williams (2006), ch. 2 and 5.
    """

    noun: ClassVar[str] = "Gaussian process"

    smoothness: Annotated[float, OneOf(lambda: SMOOTHNESS)] = 1.5
    """Smoothness of the Matern kernels."""
    steps: Count = 60
    """Most steps of L-BFGS for the hyperparameters."""

    def roles(self) -> tuple[Role, ...]:
        """Points and their values."""
        return Role(name="points", exact=True, words=True), Role(name="values", exact=True)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Hyperparameters, then one Cholesky factor."""
        x, values = data["points"], data["values"]
        _check(x, values)
        centre, scale = values.mean(0), values.std(0)
        scale = torch.where(scale > 0, scale, 1.0)
        y = (values - centre) / scale
        words = torch.tensor(
            [isinstance(form, tuple) for form in self.given["points"].forms or ("",) * x.shape[1]]
        )

        def search(source: Generator) -> dict[str, Tensor]:
            return _maximised(x, y, words, Matern(self.smoothness), self.steps)

        found = run.once("hyperparameters", search)
        factor = _factor(x, words, Matern(self.smoothness), found).contiguous()
        alpha = torch.cholesky_solve(y, factor).contiguous()
        return {
            "x": x,
            "words": words,
            "factor": factor,
            "alpha": alpha,
            "centre": centre,
            "scale": scale,
            **found,
        }

    @property
    def noise_std(self) -> Tensor:
        """Standard deviation of the noise of each column, in its units, ``(C,)``."""
        state = self.fitted_state("noise_std")
        found: Tensor = state["scale"] * state["log_noise"].exp().sqrt()
        return found

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(self, x: Tensor, *, noise: bool = True, joint: bool = False) -> Predictive:
        """Gaussian of the value at each point.

        Args:
            x: Points, ``(B, K)``.
            noise: Of a measurement, with its noise; else of the function itself.
            joint: One distribution of all points together, with its covariance, instead of one for each.
        """
        state, kernel = self.state, Matern(self.smoothness)
        across = _covariance(x, state["x"], state["words"], kernel, state)
        mean = across @ state["alpha"]
        seen = torch.linalg.solve_triangular(state["factor"], across.T, upper=False)
        variance = (state["log_variance"].exp() - seen.square().sum(0)).clamp_min(_LEAST**2)
        variance = variance + state["log_noise"].exp() if noise else variance
        loc, std = state["centre"] + state["scale"] * mean, state["scale"] * variance.sqrt()[:, None]
        together = None
        if joint:
            prior = _covariance(x, x, state["words"], kernel, state)
            together = JointRows.of((prior - seen.T @ seen)[None], variance[None])
        return Predictive(loc=loc[None], scale=std[None], joint=together)


def _check(x: Tensor, values: Tensor) -> None:
    if x.ndim != 2 or values.ndim != 2 or len(x) < 2:
        shapes = f"points {tuple(x.shape)}, values {tuple(values.shape)}"
        raise invalid("ExactGP.fit", "points must have shape (N, K), values (N,) or (N, C), N >= 2", shapes)
    if len(x) > LARGEST:
        got = f"{len(x)}, whose matrices take {4 * 8 * len(x) ** 2 / 2**30:.1f} GiB"
        raise invalid("ExactGP.fit", f"x must have at most {LARGEST} rows", got, "Use a subset of the rows.")


def _covariance(x: Tensor, y: Tensor, words: Tensor, kernel: Matern, found: Mapping[str, Tensor]) -> Tensor:
    """Covariance of the function at ``x (A, K)`` and ``y (B, K)``, ``(A, B)``."""
    total = found["log_variance"].exp().expand(len(x), len(y))
    for k, word in enumerate(words.tolist()):
        lag = x[:, k, None] - y[:, k]
        shape = found["log_shape"][k]
        factor = (
            torch.where(lag == 0, 1.0, torch.sigmoid(shape)) if word else kernel.covariance(lag / shape.exp())
        )
        total = total * factor
    return total


def _factor(x: Tensor, words: Tensor, kernel: Matern, found: Mapping[str, Tensor]) -> Tensor:
    """Cholesky factor of the covariance of noisy values."""
    noise = found["log_noise"].exp() + _LEAST * (1 + found["log_variance"].exp())
    factor: Tensor = torch.linalg.cholesky(
        _covariance(x, x, words, kernel, found) + noise * torch.eye(len(x), dtype=x.dtype)
    )
    return factor


def evidence(x: Tensor, y: Tensor, words: Tensor, kernel: Matern, found: Mapping[str, Tensor]) -> Tensor:
    """Log marginal likelihood of values ``y (N, C)``, in nats."""
    factor = _factor(x, words, kernel, found)
    white = torch.linalg.solve_triangular(factor, y, upper=False)
    scaling = factor.diagonal().log().sum() + 0.5 * len(y) * math.log(2 * math.pi)
    log: Tensor = -0.5 * white.square().sum() - y.shape[1] * scaling
    return log


def _maximised(x: Tensor, y: Tensor, words: Tensor, kernel: Matern, steps: int) -> dict[str, Tensor]:
    """Hyperparameters of the greatest marginal likelihood, from one start, by L-BFGS."""
    span = (x.amax(0) - x.amin(0)).clamp_min(1e-300)
    logit = math.log(_FIRST_CORRELATION / (1 - _FIRST_CORRELATION))
    start = torch.where(words, logit, torch.where(span > 1e-300, _FIRST_SHARE * span, 1.0).log())
    found = {
        "log_shape": start.clone(),
        "log_variance": torch.zeros((), dtype=torch.float64),
        "log_noise": torch.tensor(2 * math.log(_FIRST_NOISE), dtype=torch.float64),
    }
    for value in found.values():
        value.requires_grad_(True)
    search = torch.optim.LBFGS([*found.values()], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = -evidence(x, y, words, kernel, found) / y.numel()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return {name: value.detach() for name, value in found.items()}
