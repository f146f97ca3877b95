"""A network for one task, whose weights have a prior: what an adaptation to a new task is."""

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Each, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.bayes.linear_evidence import linear_posterior, linear_prediction
from interpolants.sciml.bayes.local_solutions import Descent, Linearised, descend
from interpolants.sciml.bayes.nets.weight_vectors import ActivationName, WeightVectors

_FIRST_NOISE = 0.1  # variance of the noise in standardised units, before anything is known
_LEFT = 0.5  # share of the variance of y above which descent without a prior is told not to have arrived


class TaskPosterior(Method):
    """``y = f(x; theta) + e`` for one task with ``theta ~ N(m0, S)``; usually made by `HierarchicalGaussian.adapt`.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if y has more than one column.

    Source: Kim & Hospedales (2024), arXiv:2306.09702; ours: the posterior of the linearised network.
    """

    noun: ClassVar[str] = "task's posterior"

    prior: Any = None
    """Mean and log variances of the weights, log variance of the noise, and units, as `HierarchicalGaussian` learns
    them. If None, weights have variance 1 about random features whose last layer is zero, which are a constant; and the
    noise has 0.3 of the values' spread."""
    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (40, 40)
    """Widths of the hidden layers; none for linear regression."""
    activation: ActivationName = "tanh"
    """As for the MLP."""
    local: Literal["gauss_newton", "sgd", "sgld", "point", "ridge"] = "gauss_newton"
    """As for `HierarchicalGaussian`; or without a prior ``"point"``: the weights after some steps of descent, and
    ``"ridge"``: linear regression by its own evidence."""
    inner_steps: Whole = 5
    """Steps of descent for all but the first."""
    inner_lr: Positive = 0.1
    """Their size."""
    draws: Count = 20
    """Networks that are averaged for ``"sgd"`` and ``"sgld"``."""

    def check_settings(self) -> None:
        """Refuse too few steps for the local solution."""
        check_inner_steps(self)

    def roles(self) -> tuple[Role, ...]:
        """Rows of the task."""
        return XY

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The local solution."""
        x, y = data["x"], data["y"]
        check_columns(x, y)
        if self.local == "ridge":
            return linear_posterior(x, y)
        prior = standard_prior(self, x, y) if self.prior is None else dict(self.prior)
        net, x, y = net_of(self, x.shape[1]), in_units(x, prior, "x"), in_units(y, prior, "y")[:, 0]
        if self.local == "gauss_newton":
            line = Linearised.of(net, prior, x[None])
            factor = torch.linalg.cholesky(line.covariance(prior["log_noise"].exp()))
            alpha = torch.cholesky_solve((y - line.value)[..., None], factor)
            return {"prior": prior, "x": x, "factor": factor[0].contiguous(), "alpha": alpha[0].contiguous()}
        if self.local == "point":
            start = prior["mean"].expand(1, -1)
            weights = descend(net, start, x[None], y[None], self.inner_steps, self.inner_lr)
            self._check_arrived(net(weights, x), y)
            return {"prior": prior, "weights": weights}
        descent, source = descent_of(self), generator(self.seed, "task posterior")
        mean, variance = descent.posterior(net, prior, x[None], y[None], source)
        noise = torch.randn(self.draws, net.count, dtype=torch.float64, generator=source)
        self._check_arrived(net(mean.detach(), x), y)
        return {"prior": prior, "weights": mean.detach() + variance.detach().sqrt() * noise}

    def _check_arrived(self, found: Tensor, y: Tensor) -> None:
        """Say so where steps that suit a prior were all that a network without one had."""
        left = float((found[0, :, 0] - y).square().sum() / y.square().sum().clamp_min(1e-300))
        if self.prior is None and left > _LEFT and float(y.square().sum()) > 0:
            told = (
                f"{self.inner_steps} steps of descent without a prior leave {left:.0%} of the variance of y"
            )
            remedy = "Use more inner_steps, a larger inner_lr, or local='gauss_newton'."
            tell(FitWarning, f"{who()}: {told}. {remedy}")

    @capability(like="y", blocks=True)
    def predict(self, x: Tensor, *, noise: bool = True, joint: bool = False) -> Predictive:
        """Distribution of y at each row, a mixture of Gaussians.

        Args:
            x: ``(B, D)``.
            noise: Of a measurement, with its noise; else of the function.
            joint: One distribution of all rows together instead of one for each.
        """
        if self.local == "ridge":
            return linear_prediction(self.state, x, joint=joint)
        prior, net = self.state["prior"], net_of(self, x.shape[1])
        x = in_units(x, prior, "x")
        added = prior["log_noise"].exp() if noise else torch.zeros((), dtype=torch.float64)
        together = (
            JointRows() if joint else None
        )  # given its weights, the values of a network are independent
        if self.local == "gauss_newton":
            mean, covariance = self._linearised(net, x, joint=joint)
            variance = covariance.diagonal(dim1=1, dim2=2)[..., None] if joint else covariance
            variance = (variance + added).clamp_min(1e-24)
            together = JointRows.of(covariance, variance[..., 0]) if joint else None
            std = variance.sqrt()
        else:
            mean = net(self.state["weights"], x)
            std = (torch.zeros_like(mean) + added).clamp_min(1e-24).sqrt()
        loc = prior["y_centre"] + prior["y_scale"] * mean
        return Predictive(loc=loc, scale=prior["y_scale"] * std, joint=together)

    def _linearised(self, net: WeightVectors, x: Tensor, *, joint: bool) -> tuple[Tensor, Tensor]:
        """Mean and variance, ``(1, B, 1)``, conditioned on the rows of the task; jointly covariance, ``(1, B, B)``."""
        new = Linearised.of(net, self.state["prior"], x[None])
        known = Linearised.of(net, self.state["prior"], self.state["x"][None])
        across = new.slope[0] @ known.slope[0].T
        seen = torch.linalg.solve_triangular(self.state["factor"], across.T, upper=False)
        variance = (new.slope[0].square().sum(1) - seen.square().sum(0)).clamp_min(0)
        mean = new.value[..., None] + across @ self.state["alpha"]
        if not joint:
            return mean, variance[None, :, None]
        covariance = new.slope[0] @ new.slope[0].T - seen.T @ seen
        return mean, covariance.diagonal_scatter(variance)[None]


GROUPS = Role(name="groups", kind="labels", about="Which task a row belongs to.")
XY = (
    Role(name="x", exact=True, about="Inputs, one row each."),
    Role(name="y", exact=True, about="Values, one column."),
)


def check_inner_steps(method: Any) -> None:
    """Refuse fewer steps than a local solution takes."""
    least = {"sgld": 2, "point": 0, "ridge": 0}.get(method.local, 1)
    remedy = "The spread of one state is zero: take local='sgd'." if least == 2 else ""
    whole(who(), "inner_steps", method.inner_steps, at_least=least, remedy=remedy)


def check_columns(x: Tensor, y: Tensor) -> None:
    """Refuse what is no table of inputs with one column of values."""
    if x.ndim != 2 or y.ndim != 2 or y.shape[1] != 1:
        shapes = f"x {tuple(x.shape)}, y {tuple(y.shape)}"
        raise invalid("x must have shape (N, D), y (N,) or (N, 1)", shapes)


def net_of(method: Any, inputs: int) -> WeightVectors:
    """The network of a method."""
    return WeightVectors(inputs=inputs, outputs=1, hidden=tuple(method.hidden), activation=method.activation)


def descent_of(method: Any) -> Descent:
    """Local solutions by descent, with the settings of a method."""
    noisy = method.local == "sgld"
    return Descent(method.inner_steps, method.inner_lr, noise=noisy)


def units_of(x: Tensor, name: str) -> dict[str, Tensor]:
    """Centre and scale of columns; 1 for those that do not vary."""
    scale = x.std(0) if len(x) > 1 else torch.zeros_like(x[0])
    return {f"{name}_centre": x.mean(0), f"{name}_scale": torch.where(scale > 0, scale, 1.0)}


def in_units(x: Tensor, prior: dict[str, Tensor], name: str) -> Tensor:
    """Rows in the standard units of a prior."""
    return (x - prior[f"{name}_centre"]) / prior[f"{name}_scale"]


def standard_prior(method: Any, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Weights with variance 1 about a network of random features whose last layer is zero, in the units of these rows.

    About zero alone a network with hidden layers has no slope but that of its last bias: it would stay a constant.
    """
    net, source = net_of(method, x.shape[1]), generator(method.seed, "standard prior")
    mean = torch.randn(net.count, dtype=torch.float64, generator=source)
    mean[-sum(net.sizes[-2:]) :] = 0
    noise = torch.tensor(math.log(_FIRST_NOISE), dtype=torch.float64)
    first = {"mean": mean, "log_s": torch.zeros_like(mean), "log_noise": noise}
    return {**first, **units_of(x, "x"), **units_of(y, "y")}
