"""Mutual information of two sets of columns, by one conditional bridge on x whose condition y is dropped half the time.

Notation: ``x_t = beta x + alpha z`` a noisy x, ``lambda = log(beta^2 / alpha^2)``; ``u = E[z | x_t]`` and
``c = E[z | x_t, y]`` the noise that the bridge predicts without and with y. For exact fields

``I(x; y) = 1/2 int E|u - c|^2 d lambda = 1/2 int (E|z - u|^2 - E|z - c|^2) d lambda``.

For learnt ones the two differ by the errors of the network: the squared difference is positive for independent pairs
too, and does not notice wrong pairs; the difference of errors does, and is low where the conditional side overfits.
Their mean is ``1/2 int E (u - c).(u - z) d lambda``: how well the change that y makes predicts the residual of the
prediction without y. Errors of c that are independent of the residual cancel in it. All use held-out pairs.

MI does not change under invertible maps of single columns, so each column goes through its normal quantiles first.

Source: Franzese et al. (2024), arXiv:2310.09031, for MI by scores; Guo, Shamai & Verdu (2005), IEEE Trans. Inf. Theory
51, 1261, for MI by errors of estimation; Kraskov et al. (2004), arXiv:cond-mat/0305641, algorithm 1, for neighbours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interpolants.data.arrays import as_tensor
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.ops import expand_like
from interpolants.foundations.randomness import generator
from interpolants.methods.bridge.bridge import Bridge

_WHO = "mutual_information"
_FEWEST, _TEST = 100, 0.2
# Log signal over noise; number of states; neighbours of KSG; most equal values of a column, and least distinct ones.
_SPAN, _STATES, _NEIGHBOURS, _MOST_EQUAL, _DISTINCT = (-7.0, 7.0), 60_000, 5, 0.1, 10
# Share of the integral in the last tenth of the levels, and share of the estimate, or number of nats,
# by which the forms may differ.
_TAIL, _GAP, _SMALL = 0.05, 0.25, 0.05
_DRAWN = {"kind": "noise", "mean": 0.0, "std": 1.5}


@dataclass(frozen=True)
class MutualInformation:
    """Estimates of ``I(x; y)``, each in ``unit``, from held-out pairs.

    Attributes:
        value: Mean of the two forms.
        error: Its standard error over pairs; the error of the network is not in it, see ``squared - difference``.
        squared: Mean squared difference of the two predictions; never negative.
        squared_error: Its standard error.
        difference: Difference of the two errors of prediction; low where the network overfits.
        difference_error: Its standard error.
        shuffled: ``value`` for shuffled pairs, by the same network; about 0.
        shuffled_squared: ``squared`` for shuffled pairs: what this form alone would report for wrong pairs.
        shuffled_difference: ``difference`` for shuffled pairs.
        gaussian: From the correlations of the normal quantiles; right for a Gaussian copula only.
        ksg: From distances to neighbours; far too low in many dimensions.
        unit: ``"nats"`` or ``"bits"``.
        n: Number of held-out pairs.
        warnings: What speaks against the estimate, one sentence each.
    """

    value: float
    error: float
    squared: float
    squared_error: float
    difference: float
    difference_error: float
    shuffled: float
    shuffled_squared: float
    shuffled_difference: float
    gaussian: float
    ksg: float
    unit: str
    n: int
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"I(x; y) = {self.value:.4g} ± {self.error:.2g} {self.unit}, n = {self.n}",
            f"squared difference {self.squared:.4g} ± {self.squared_error:.2g}, difference of errors "
            f"{self.difference:.4g} ± {self.difference_error:.2g}",
            f"shuffled pairs {self.shuffled_squared:.4g} and {self.shuffled_difference:.4g}",
            f"Gaussian {self.gaussian:.4g}, KSG {self.ksg:.4g}",
        ]
        return "\n".join([*lines, *self.warnings])


def mutual_information(
    x: Any,
    y: Any,
    *,
    steps: int = 4000,
    quantiles: bool = True,
    unit: Literal["nats", "bits"] = "nats",
    seed: int = 0,
) -> MutualInformation:
    """Estimate the mutual information of two sets of columns, with a Gaussian and a nearest-neighbour estimate.

    ::

        print(itp.mutual_information(frame[["height", "weight"]], frame[["age"]]))

    Args:
        x: Table or array ``(N, *D)`` of continuous columns, N >= 100 independent rows.
        y: Table or array ``(N, *E)`` of continuous columns; row i belongs to row i of ``x``.
        steps: Maximum number of steps of the fit.
        quantiles: Replace each column by its normal quantiles first. Without, heavy tails make the estimate too low.
        unit: ``"nats"`` or ``"bits"``.
        seed: Seed of the split, the fit and the noise.

    Raises:
        InvalidInputError: If the numbers of rows differ or are below 100, a value is not finite, or a column is
            constant or discrete.
        MissingExtraError: If SciPy is not installed.
    """
    whole(_WHO, "steps", steps, at_least=1)
    one_of(_WHO, "unit", unit, ("nats", "bits"))
    columns = [_columns(name, value) for name, value in (("x", x), ("y", y))]
    if len(columns[0]) != len(columns[1]):
        remedy = "Row i of y must belong to row i of x."
        raise invalid(_WHO, "x and y must have equally many rows", tuple(map(len, columns)), remedy)
    scores = [normal_scores(c) for c in columns]
    a, b = scores if quantiles else columns
    order = torch.randperm(len(a), generator=generator(seed, "split of pairs"))
    test, train = order[: round(_TEST * len(a))], order[round(_TEST * len(a)) :]
    bridge = Bridge(
        "one_sided_linear",
        heads=("denoised",),
        net={"kind": "mlp", "width": 128, "depth": 2},
        times=_DRAWN,
        drop_condition=0.5,
        steps=steps,
        seed=seed,
    ).fit(x1=a[train].float(), cond=b[train].float())
    fields, path = bridge.fields, bridge.fitted_path
    rows = bridge.rows_like_fit(_WHO, {"x1": a[test].float(), "cond": b[test].float()})
    assert rows.cond is not None
    paired, mixed = (
        information_forms(path, noise_of(fields), noise_of(fields, cond), rows.x1, seed)
        for cond in (rows.cond, rows.cond.roll(1, 0))
    )
    scale = 1.0 if unit == "nats" else 1 / math.log(2)
    means = [(scale * mean, scale * error) for mean, error in paired.means]
    shuffled = [scale * mean for mean, _ in mixed.means]
    return MutualInformation(
        value=means[0][0],
        error=means[0][1],
        squared=means[1][0],
        squared_error=means[1][1],
        difference=means[2][0],
        difference_error=means[2][1],
        shuffled=shuffled[0],
        shuffled_squared=shuffled[1],
        shuffled_difference=shuffled[2],
        gaussian=scale * gaussian_information(scores[0], scores[1]),
        ksg=scale * ksg_information(scores[0], scores[1]),
        unit=unit,
        n=len(test),
        warnings=tuple(_warnings(means, paired.tail)),
    )


def _columns(name: str, value: Any) -> Tensor:
    """Columns ``(N, C)`` float64 of a table or an array."""
    tensor, _ = as_tensor(value, _WHO, name)
    x = tensor.double().reshape(len(tensor), -1)
    if len(x) < _FEWEST:
        raise invalid(_WHO, f"{name} must have at least {_FEWEST} rows", len(x))
    for k, column in enumerate(x.T):
        _, counts = column.unique(return_counts=True)
        if len(counts) < _DISTINCT or int(counts.max()) > _MOST_EQUAL * len(x):
            rule = f"columns of {name} must be continuous"
            value = f"column {k} with {len(counts)} distinct values, one of them {int(counts.max())} times"
            raise invalid(_WHO, rule, value, "Drop it, or split the rows by its values.")
    return x


def normal_scores(x: Tensor) -> Tensor:
    """Standard normal quantile of the rank of each value in its column, ``(N, C)``; equal values share a mean rank."""
    ranks = []
    for column in x.T:
        _, index, counts = column.unique(return_inverse=True, return_counts=True)
        last = counts.cumsum(0).double()
        ranks.append((last - (counts - 1) / 2)[index])
    scores: Tensor = torch.special.ndtri((torch.stack(ranks, 1) - 0.5) / len(x))
    return scores


def gaussian_information(x: Tensor, y: Tensor) -> float:
    """Mutual information of a Gaussian with the correlations of ``x (N, C)`` and ``y (N, E)``, nats."""
    pooled = torch.corrcoef(torch.cat([x, y], 1).T).reshape(x.shape[1] + y.shape[1], -1)
    k = x.shape[1]
    parts = [torch.logdet(part) for part in (pooled[:k, :k], pooled[k:, k:], pooled)]
    return float(parts[0] + parts[1] - parts[2]) / 2


def ksg_information(x: Tensor, y: Tensor, neighbours: int = _NEIGHBOURS) -> float:
    """Mutual information from distances to neighbours, nats: algorithm 1 of Kraskov et al. (2004).

    Args:
        x: Columns ``(N, C)`` of about equal scale.
        y: Columns ``(N, E)``.
        neighbours: Number of neighbours k < N.
    """
    tree = require("scipy.spatial", by=_WHO).cKDTree
    parts = [x.numpy(), y.numpy(), torch.cat([x, y], 1).numpy()]
    radius = tree(parts[2]).query(parts[2], k=neighbours + 1, p=math.inf)[0][:, -1]
    total = torch.zeros(len(x), dtype=torch.float64)
    for part in parts[:2]:
        # Strictly inside the radius; the count includes the point itself.
        inside = tree(part).query_ball_point(part, radius * (1 - 1e-12), p=math.inf, return_length=True)
        total += torch.digamma(torch.as_tensor(inside, dtype=torch.float64))
    constant = torch.digamma(torch.tensor([float(neighbours), float(len(x))], dtype=torch.float64)).sum()
    return float(constant - total.mean())


@dataclass(frozen=True)
class InformationForms:
    """Estimates of one integral over log signal-to-noise ratios, in nats.

    Attributes:
        values: Mean of the forms, squared difference, and difference of errors, ``(3, M)``, one per row.
        tail: Fraction of the squared form that comes from the last tenth of the levels.
    """

    values: Tensor
    tail: float

    @property
    def means(self) -> list[tuple[float, float]]:
        """Mean and standard error over the rows of each form."""
        return [(float(v.mean()), float(v.std()) / math.sqrt(len(v))) for v in self.values]


Predict = Callable[[Tensor, Tensor], Tensor]


def information_forms(path: Any, worse: Predict, better: Predict, x: Tensor, seed: int) -> InformationForms:
    """``1/2 int E|u - c|^2 d lambda`` of two predictions u, c of the noise, in its three forms; c the better one.

    Args:
        path: One-sided path with a Gaussian base.
        worse: u, ``(x_t (B, *D), t (B,)) -> (B, *D)``: without the condition, or by a model of another distribution.
        better: c.
        x: Rows ``(M, *D)`` in the network's units. Levels are stratified for each.
        seed: Seed of levels and noise.
    """
    low, high = _SPAN
    repeats = max(10, -(-_STATES // len(x)))
    source = generator(seed, "levels and noise of rows")
    values = torch.zeros(3, len(x), dtype=torch.float64)
    last = 0.0
    with torch.no_grad():
        for k in range(repeats):
            at = (k + torch.rand(len(x), generator=source)) / repeats
            t = path.time_at_log_snr(low + (high - low) * at.double()).float()
            z = torch.randn(x.shape, generator=source)
            state = expand_like(path.alpha(t), x) * path.base.color(z) + expand_like(path.beta(t), x) * x
            u, c = worse(state, t), better(state, t)
            forms = (u - z, u - c, u + c - 2 * z)
            part = (high - low) / repeats / 2 * torch.stack([_sum((u - c) * form) for form in forms])
            values += part
            if k >= 0.9 * repeats:
                last += float(part[1].mean())
    return InformationForms(values, last / max(float(values[1].mean()), 1e-12))


def noise_of(fields: Fields, cond: Tensor | None = None) -> Predict:
    """Prediction of the noise by fields, given a condition of each row or none."""
    return lambda x, t: fields.evaluate(x, t, ("noise",), cond)["noise"]


def _sum(x: Tensor) -> Tensor:
    return x.double().flatten(1).sum(1)


def _warnings(means: list[tuple[float, float]], tail: float) -> list[str]:
    (value, _), (squared, squared_error), (difference, difference_error) = means
    messages = []
    width, error = squared - difference, math.hypot(squared_error, difference_error)
    if width > max(_GAP * abs(value), _SMALL, 3 * error):
        messages.append(
            f"The two forms differ by {width:.3g}: the network overfits, or x and y are not paired row by row. Use "
            "more rows."
        )
    if tail > _TAIL and value > 3 * means[0][1]:
        messages.append(
            f"{tail:.0%} of the estimate come from the last tenth of the levels, with little noise: the dependence is "
            "so strong that the estimate is too low."
        )
    return messages
