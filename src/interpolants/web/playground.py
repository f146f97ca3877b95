"""One question of the playground, checked and answered: particles and density along a bridge with exact fields."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import generator
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.encoder_decoder import EncoderDecoder
from interpolants.paths.envelopes import (
    BrownianEnvelope,
    Envelope,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    ZeroEnvelope,
)
from interpolants.paths.linear import Linear
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.trigonometric import Trigonometric
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.web import laws

FRAMES, GRID, REACH = 49, 72, 4.6
# Particle steps times pairs of modes times stages: about ten seconds on one core.
BUDGET = 250_000_000
_COMPARED = 1500

Number = Annotated[float, Field(allow_inf_nan=False, ge=-10, le=10)]
Point = Annotated[list[Number], Field(min_length=2, max_length=2)]
Law = Literal[laws.NAMES] | Annotated[list[Point], Field(min_length=3, max_length=500)]  # type: ignore[valid-type]

ENVELOPES: dict[str, Callable[[float], Envelope]] = {
    "brownian": lambda scale: BrownianEnvelope(scale=scale),
    "quadratic": lambda scale: QuadraticEnvelope(scale=scale),
    "sine squared": lambda scale: SineSquaredEnvelope(scale=scale),
    "sigmoid": lambda scale: SigmoidEnvelope(scale=scale),
    "none": lambda scale: ZeroEnvelope(),
}
PATHS: dict[str, Callable[[Envelope], SpatiallyLinearPath]] = {
    "linear": lambda envelope: Linear(envelope=envelope),
    "trigonometric": lambda envelope: Trigonometric(envelope=envelope),
    "encoder-decoder": lambda envelope: EncoderDecoder(),
}
SHAPES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "constant": torch.ones_like,
    "in the middle": lambda t: 4 * t * (1 - t),
    "early": lambda t: 2 * (1 - t),
    "late": lambda t: 2 * t,
}
METHODS = ("euler", "midpoint", "heun", "rk4")


class Question(BaseModel):
    """What to show; unknown keys are refused.

    Attributes:
        rho0: Name of a law, or points that were drawn.
        rho1: The same for t = 1.
        path: Name of a path.
        envelope: Name of a latent envelope.
        scale: Its scale.
        eps: Noise level; 0 is the ODE.
        eps_shape: How the level runs over time; its mean is about ``eps``.
        method: Solver of the ODE; the SDE takes Euler-Maruyama for ``euler`` and stochastic Heun otherwise.
        n: Particles.
        n_steps: Steps.
        reverse: From t = 1 to t = 0.
        start: All particles start here instead of in the law.
        seed: Seed of starts and noise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    rho0: Law = "gaussian"
    rho1: Law = "eight blobs"
    path: Literal["linear", "trigonometric", "encoder-decoder"] = "linear"
    envelope: Literal["brownian", "quadratic", "sine squared", "sigmoid", "none"] = "brownian"
    scale: Annotated[float, Field(ge=0.05, le=10, allow_inf_nan=False)] = 1.0
    eps: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    eps_shape: Literal["constant", "in the middle", "early", "late"] = "constant"
    method: Literal["euler", "midpoint", "heun", "rk4"] = "heun"
    n: Annotated[int, Field(ge=1, le=10_000)] = 2000
    n_steps: Annotated[int, Field(ge=1, le=400)] = 50
    reverse: bool = False
    start: Point | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, data: Any) -> Any:
        """JavaScript writes 1.0 as 1: whole numbers are welcome where a real one is asked for."""
        if not isinstance(data, dict):
            return data
        real = ("scale", "eps")
        return {k: float(v) if k in real and type(v) is int else v for k, v in data.items()}


@dataclass(frozen=True)
class Answer:
    """What the page draws.

    Attributes:
        times: ``(F,)`` times of the frames, in the order of travel.
        particles: ``(F, N, 2)`` float32.
        density: ``(F, G, G)`` square root of the exact density over its peak in that frame, as bytes; rows go up in y.
        nfe: Evaluations of the fields per particle.
        eps_used: ``(F,)`` noise level after the cap near the ends.
        distance: Energy distance of the arrived particles to the true law, and its standard error; None from one start.
        floor: The same for two true samples.
    """

    times: NDArray[np.float32]
    particles: NDArray[np.float32]
    density: NDArray[np.uint8]
    nfe: int
    eps_used: NDArray[np.float32]
    distance: tuple[float, float] | None
    floor: tuple[float, float] | None


class CancelledError(Exception):
    """Nobody waits for the answer any more."""


def simulate(question: Question, *, is_wanted: Callable[[], bool] = lambda: True) -> Answer:
    """Carry particles along the bridge, with the exact density beside them.

    Args:
        question: What to show.
        is_wanted: Asked now and then; False stops the work.

    Raises:
        InvalidInputError: If the work is more than the budget, or there is noise without a score.
        DivergedError: If particles left the finite numbers.
        CancelledError: If nobody waits.
    """
    law0, law1 = _law(question.rho0), _law(question.rho1)
    _check_cost(question, law0, law1)
    path = PATHS[question.path](ENVELOPES[question.envelope](question.scale))
    if question.eps > 0 and not path.has_latent:
        rule = "eps > 0 needs latent noise on the path"
        raise invalid("playground", rule, "envelope none", "Take another envelope, or eps = 0.")
    fields = GaussianMixtureBridge(law0, law1).fields(path)
    begin, goal = (law1, law0) if question.reverse else (law0, law1)
    if question.start is None:
        x = begin.sample(question.n, generator=generator(question.seed, 1))
    else:
        x = torch.tensor([question.start], dtype=torch.float32).expand(question.n, 2).contiguous()

    def still_wanted(done: int) -> None:
        if not is_wanted():
            raise CancelledError

    shape, level = SHAPES[question.eps_shape], question.eps
    found = sample(
        fields,
        x,
        eps=(lambda t: level * shape(t)) if level else 0.0,
        reverse=question.reverse,
        method=question.method if not level else ("euler" if question.method == "euler" else "heun"),
        n_steps=question.n_steps,
        seed=question.seed,
        return_path=True,
        chunk=512,
        invariant=False,
        progress=still_wanted,
    )
    assert found.path is not None
    assert isinstance(found.nfe, int)
    kept = np.unique(np.linspace(0, len(found.path) - 1, FRAMES).round().astype(int))
    times = found.times[kept]
    density = []
    for t in times.tolist():
        still_wanted(0)
        density.append(_picture(fields.marginal(float(t))))
    used = torch.zeros(len(kept)) if found.eps is None else found.eps[kept]
    arrived = found.x[:_COMPARED]
    judged = question.start is None and len(arrived) >= 50
    return Answer(
        times=times.float().numpy(),
        particles=found.path[kept].float().numpy(),
        density=np.stack(density),
        nfe=found.nfe,
        eps_used=used.float().numpy(),
        distance=_distance(arrived, goal, question.seed, 2) if judged else None,
        floor=_distance(
            goal.sample(len(arrived), generator=generator(question.seed, 3)), goal, question.seed, 4
        )
        if judged
        else None,
    )


def _law(law: str | list[list[float]]) -> GaussianMixture:
    return laws.named(law) if isinstance(law, str) else laws.drawn(law)


def _check_cost(question: Question, law0: GaussianMixture, law1: GaussianMixture) -> None:
    stages = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}[question.method]
    cost = question.n * question.n_steps * stages * law0.n_modes * law1.n_modes
    if cost > BUDGET:
        rule = f"particles x steps x stages x pairs of modes must be at most {BUDGET:,}"
        raise invalid("playground", rule, f"{cost:,}", "Take fewer particles or steps.")


def _picture(law: GaussianMixture) -> NDArray[np.uint8]:
    axis = torch.linspace(-REACH, REACH, GRID)
    points = torch.cartesian_prod(axis, axis).flip(1)  # x runs fastest
    log_density = law.log_prob(points.to(law.means)).double()
    root = torch.exp(0.5 * (log_density - log_density.max()))
    return (255 * root).round().to(torch.uint8).reshape(GRID, GRID).numpy()


def _distance(x: torch.Tensor, law: GaussianMixture, seed: int, stream: int) -> tuple[float, float]:
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(
            "playground: particles left the finite numbers. Take more steps or a smaller eps."
        )
    found = energy_distance(x, law.sample(len(x), generator=generator(seed, stream)))
    error = found.error if math.isfinite(found.error) else 0.0
    return found.value, error
