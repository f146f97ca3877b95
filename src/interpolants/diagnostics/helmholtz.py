"""Helmholtz split of a learnt score: its projection on gradient fields, and the remainder.

Letters: s a learnt score, S the true one, rho the distribution of ``x_t``. Any s splits into ``s = grad phi + r`` with
``div(rho r) = 0`` and ``E[grad phi . r] = 0``. Densities and samples see ``grad phi`` alone: they are exact just where
it is S, whatever r. Jacobians see both. ``E|s - S|^2 = E|grad phi - S|^2 + E|r|^2``.

The projection is a regression, ``min E|s - grad phi|^2`` over draws of ``x_t``. It is made on the noise, which is
the score times minus the noise and finite at both ends; on a base that is not isotropic, with the covariance as the
metric: that is the split that the flow of the path sees, ``div(rho C r) = 0``.

Source: Horvat & Pfister (2024), arXiv:2402.03845; for paths with any base derived anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.fields.continuity import Trace
from interpolants.fields.learned import LearnedFields
from interpolants.fields.log_density import as_potential
from interpolants.fields.protocol import Fields
from interpolants.foundations.derivatives import divergence, jacobian
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import sum_event
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition
from interpolants.nets.potential import Potential
from interpolants.objectives.times import StratifiedTimes
from interpolants.paths.path import Path
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import PairBatches, finished
from interpolants.training.settings import TrainSettings

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


def gauge_residual(
    fields: Fields,
    reference: Fields,
    x: Tensor,
    t: Tensor | float,
    *,
    quantity: str = "score",
    trace: Trace | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """``div r + r . S`` for ``r = f - F``, ``(B,)``: zero just where f differs from the truth F by a gauge.

    Args:
        fields: What is judged.
        reference: The true fields, or a projection taken for them.
        x: States ``(B, *D)``.
        t: Time, 0-d.
        quantity: ``"score"`` or ``"velocity"``.
        trace: How the divergence is taken.
        generator: Source of the probes.
    """
    time, how = torch.as_tensor(t, dtype=x.dtype, device=x.device), trace or Trace()

    def apart(y: Tensor) -> Tensor:
        mine, theirs = (f.evaluate(y, time, (quantity,))[quantity] for f in (fields, reference))
        return mine - theirs

    with torch.no_grad():
        r, spread = divergence(apart, x, probes=how.count(x), generator=generator, mode="reverse")
        return spread + sum_event(r * reference.evaluate(x, time, ("score",))["score"])


def asymmetry(fields: Fields, x: Tensor, t: Tensor | float, *, quantity: str = "score") -> float:
    """``|J - J^T| / |J|`` of a field's Jacobian over some states, root mean square: 0 for a gradient, at most 2.

    Args:
        fields: What is judged.
        x: States ``(B, *D)``.
        t: Time, 0-d.
        quantity: Which field.
    """
    time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    with torch.no_grad():
        _, j = jacobian(lambda y: fields.evaluate(y, time, (quantity,))[quantity], x)
    return float((j - j.mT).square().sum().sqrt() / j.square().sum().sqrt())


class ConservativeDenoiser(TakesOneTime, nn.Module):
    """``E[z | x_t] = L^T grad psi`` with a potential psi; L the root of the base's covariance, Id on two-sided paths.

    Args:
        path: The interpolant.
        net: The potential psi.
    """

    def __init__(self, path: Path, net: Potential) -> None:
        super().__init__()
        self.base = path.base if isinstance(path.base, Gaussian) else None
        self.net = net

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The mean noise, ``(B, *D)``."""
        slope: Tensor = self.net(x, t, cond)
        return slope if self.base is None else self.base.root_transpose(slope)


@dataclass(frozen=True)
class Projection:
    """The conservative part of a score.

    Attributes:
        fields: Fields whose score is the projection; samplers and densities take them.
        net: The mean noise behind them.
        result: How the regression went.
    """

    fields: LearnedFields
    net: ConservativeDenoiser
    result: FitResult


def conservative_projection(
    fields: Fields,
    x0: Tensor | None,
    x1: Tensor | None,
    *,
    net: Any = "auto",
    settings: TrainSettings | None = None,
    progress: bool = False,
) -> Projection:
    """Project a score on gradients, by regression over draws of ``x_t``.

    Args:
        fields: Fields with a score and a path.
        x0: Samples of rho0 ``(N0, *D)``; None where the path draws them.
        x1: Samples of rho1 ``(N1, *D)``.
        net: The network inside the potential, or a potential.
        settings: Settings of the training loop.
        progress: Show a progress bar.

    Raises:
        InvalidInputError: If there are no samples, no path or no score, or the network returns a vector.
    """
    who = "conservative_projection"
    if x1 is None:
        remedy = "The projection is taken in the mean over x_t; without its distribution there is none."
        raise invalid(who, "samples of rho1 are needed", "None", remedy)
    path = _path(fields, who)
    settings = settings or TrainSettings(steps=2000, lr=2e-3, schedule="cosine", warmup=50)
    module = ConservativeDenoiser(path, as_potential(net, tuple(x1.shape[1:]), None, settings.seed))
    batches = PairBatches(x0, x1, settings.batch_size, Independent(), StratifiedTimes(margin=1e-3), who=who)

    def loss(model: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        draw = path.sample(x0=batch["x0"], x1=batch["x1"], t=batch["t"], generator=generator)
        with torch.no_grad():
            target = fields.evaluate(draw.x_t, draw.t, ("noise",))["noise"]
        return {"projection": sum_event((model(draw.x_t, draw.t) - target).square())}

    result = fit(module, loss, batches, settings, progress=progress)
    done = finished(module, result, prefix="")
    assert isinstance(done, ConservativeDenoiser)
    return Projection(LearnedFields(path, noise=done), done, result)


@dataclass(frozen=True)
class Split:
    """Helmholtz split of a learnt score; means over ``x_t`` and the given times, of the noise (score times its std).

    Attributes:
        gauge: ``E|r|^2 / E|s|^2``, the share of what no density and no sample sees.
        overlap: ``E[grad phi . r] / E|s|^2``; zero for the exact projection.
        overlap_error: Its standard error.
        asymmetry: ``|J - J^T| / |J|`` of the score.
        conservative_error: ``E|grad phi - S|^2 / E|S|^2``, if a reference is given.
        error: ``E|s - S|^2 / E|S|^2``, if a reference is given.
    """

    gauge: float
    overlap: float
    overlap_error: float
    asymmetry: float
    conservative_error: float | None = None
    error: float | None = None


def helmholtz(
    fields: Fields,
    projection: Fields,
    x0: Tensor | None,
    x1: Tensor,
    *,
    reference: Fields | None = None,
    times: Sequence[float] = TIMES,
    generator: Generator | None = None,
) -> Split:
    """Report how a score splits into its conservative part and a gauge.

    Args:
        fields: What is judged.
        projection: Its conservative part: ``conservative_projection(...).fields``, or exact fields in tests.
        x0: Start points ``(N, *D)``, paired with ``x1`` by row; None where the path draws them.
        x1: End points ``(N, *D)``.
        reference: The true fields, where they are known.
        times: Where in time to look.
        generator: Source of the latent noise.
    """
    path = _path(fields, "helmholtz")
    rows, skews = [], []
    for t in times:
        x = path.sample(x0=x0, x1=x1, t=t, generator=generator).x_t
        time = torch.as_tensor(t, dtype=x.dtype)
        with torch.no_grad():
            s, g = (f.evaluate(x, time, ("noise",))["noise"].double() for f in (fields, projection))
            true = s if reference is None else reference.evaluate(x, time, ("noise",))["noise"].double()
        parts = (s * s, (s - g) * (s - g), g * (s - g), true * true, (g - true) ** 2, (s - true) ** 2)
        rows.append(torch.stack([sum_event(part) for part in parts]))
        skews.append(asymmetry(fields, x[:256], t))
    sizes = torch.cat(rows, 1)
    total, gauge, overlap, truth, conservative, error = sizes.mean(1).tolist()
    spread = float(sizes[2].std()) / math.sqrt(sizes.shape[1])
    known = reference is not None
    return Split(
        gauge / total,
        overlap / total,
        spread / total,
        sum(skews) / len(skews),
        conservative / truth if known else None,
        error / truth if known else None,
    )


def _path(fields: Fields, who: str) -> Path:
    if fields.path is None or not fields.has_score:
        raise invalid(who, "the fields must have a path and a score", type(fields).__name__)
    return fields.path
