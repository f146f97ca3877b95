"""Playground: one validated question, answered by particles and densities of a bridge with exact fields."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from interpolants.dynamics.sample import Samples, sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import DivergedError, invalid, nearest
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build, plain_members
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge, MixtureFields
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.registry import available, get_solver
from interpolants.web import plane_distributions
from interpolants.web.work import Work

FRAMES, GRID, REACH = 49, 72, 4.6
# Particle steps times pairs of modes times stages: about ten seconds on one core.
BUDGET = 250_000_000
_COMPARED = 1500

Number = Annotated[float, Field(allow_inf_nan=False, ge=-10, le=10)]
Point = Annotated[list[Number], Field(min_length=2, max_length=2)]
Law = Literal[plane_distributions.NAMES] | Annotated[list[Point], Field(min_length=3, max_length=500)]  # type: ignore[valid-type]

SHAPES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "constant": torch.ones_like,
    "in the middle": lambda t: 4 * t * (1 - t),
    "early": lambda t: 2 * (1 - t),
    "late": lambda t: 2 * t,
}


def paths() -> dict[str, type[SpatiallyLinearPath]]:
    """Paths that a question may name: two-sided, spatially linear, made without settings but for an envelope."""
    return {name: entry for name, entry in plain_members("path").items() if _joins_two_laws(entry)}


def envelopes() -> dict[str, Any]:
    """Latent envelopes that a question may name: made without settings but for a scale."""
    return plain_members("envelope")


def stages(kind: str | None = None) -> dict[str, int]:
    """Solvers that a question may name, of both kinds or one, with their evaluations a step: with steps of one size."""
    solvers = {name: get_solver(name) for name in available(kind)}
    return {
        name: solver.nfe_per_step
        for name, solver in solvers.items()
        if not isinstance(solver, AdaptiveHeun) and not getattr(solver, "adaptive", False)
    }


def _joins_two_laws(entry: Any) -> bool:
    path = entry()
    two_sided = isinstance(path, SpatiallyLinearPath) and not (path.is_one_sided or path.is_static)
    return two_sided and path.basis is None


def _known(what: str, known: Callable[[], Iterable[str]]) -> AfterValidator:
    """A check of a name against the members that there are when a question is asked."""

    def check(name: str) -> str:
        if name not in known():
            rule = f"name must be that of {what} ({nearest(name, known()).rstrip('.')})"
            raise PydanticCustomError("unknown_name", rule)
        return name

    return AfterValidator(check)


PathName = Annotated[str, _known("a path", paths)]
EnvelopeName = Annotated[str, _known("an envelope", envelopes)]
ShapeName = Annotated[str, _known("a shape", lambda: SHAPES)]
SolverName = Annotated[str, _known("a solver", stages)]


def _as_real(value: Any) -> Any:
    """A whole number as a real one, if it is small enough to be one; anything else as it is."""
    return float(value) if type(value) is int and abs(value) < 2**53 else value


# JavaScript writes 1.0 as 1: whole numbers are welcome where a real one is asked for.
Real = Annotated[float, BeforeValidator(_as_real)]


class Question(BaseModel):
    """Question to the playground; unknown keys are refused.

    Attributes:
        rho0: Name of a law, or points that were drawn.
        rho1: The same for t = 1.
        path: Name of a path.
        envelope: Name of a latent envelope.
        scale: Its scale.
        eps: Noise level; 0 is the ODE.
        eps_shape: How the level runs over time; its mean is about ``eps``.
        method: Solver; one of the other kind, ODE or SDE, gives way to the usual one.
        n: Particles.
        n_steps: Steps.
        reverse: From t = 1 to t = 0.
        start: All particles start here instead of in the law.
        seed: Seed of starts and noise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    rho0: Law = "gaussian"
    rho1: Law = "eight blobs"
    path: PathName = "linear"
    envelope: EnvelopeName = "brownian"
    scale: Annotated[Real, Field(ge=0.05, le=10, allow_inf_nan=False)] = 1.0
    eps: Annotated[Real, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    eps_shape: ShapeName = "constant"
    method: SolverName = "midpoint"
    n: Annotated[int, Field(ge=1, le=10_000)] = 2000
    n_steps: Annotated[int, Field(ge=1, le=400)] = 50
    reverse: bool = False
    start: Point | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


@dataclass(frozen=True)
class Picture:
    """Answer of the playground, as drawn by the page.

    Attributes:
        times: ``(F,)`` times of the frames, in the order of travel.
        particles: ``(F, N, 2)`` float32.
        density: ``(F, G, G)`` square root of the exact density over its peak in that frame, as bytes; rows go up in y.
        nfe: Evaluations of the fields per particle.
        solver: Name of the solver that ran.
        eps_used: ``(F,)`` noise level after the cap near the ends.
        flow: ``(F, 2)`` what the ODE does from the one start, where there is one and noise.
        distance: Energy distance of the arrived particles to the true law, and its standard error; None from one start.
        floor: The same for two true samples.
    """

    times: NDArray[np.float32]
    particles: NDArray[np.float32]
    density: NDArray[np.uint8]
    nfe: int
    solver: str
    eps_used: NDArray[np.float32]
    flow: NDArray[np.float32] | None
    distance: tuple[float, float] | None
    floor: tuple[float, float] | None


@dataclass(frozen=True)
class Scene:
    """A question whose cost was checked: the bridge that it asks about.

    Attributes:
        fields: The exact fields.
        begin: The law that particles leave.
        goal: The law that they should arrive in.
    """

    fields: MixtureFields
    begin: GaussianMixture
    goal: GaussianMixture


def scene(question: Question, *, runs: int = 1) -> Scene:
    """Set the scene, or refuse a question before any work is done.

    Args:
        question: What to show.
        runs: How often it will be run.

    Raises:
        InvalidInputError: If the work is more than the budget, or there is noise without a score.
    """
    law0, law1 = _law(question.rho0), _law(question.rho1)
    _check_cost(question, law0, law1, runs)
    path = _path(question)
    if question.eps > 0 and not path.has_latent:
        rule = "eps > 0 needs latent noise on the path"
        raise invalid("playground", rule, "envelope zero", "Use another envelope, or eps = 0.")
    begin, goal = (law1, law0) if question.reverse else (law0, law1)
    return Scene(GaussianMixtureBridge(law0, law1).fields(path), begin, goal)


def simulate(question: Question, work: Work | None = None) -> Picture:
    """Carry particles along the bridge, with the exact density beside them.

    Args:
        question: What to show.
        work: Told how far it is; stops it.

    Raises:
        InvalidInputError: If the work is more than the budget, or there is noise without a score.
        DivergedError: If particles became NaN or infinite.
        CancelledError: If nobody waits.
    """
    set_up, work = scene(question), work or Work()
    fields, begin, goal = set_up.fields, set_up.begin, set_up.goal
    x = _starts(question, begin)
    found = travel(question, fields, x, lambda done: work.step(0.85 * done / len(x), "moving particles"))
    assert found.path is not None
    assert isinstance(found.nfe, int)
    kept = np.unique(np.linspace(0, len(found.path) - 1, FRAMES).round().astype(int))
    times = found.times[kept]
    density: list[NDArray[np.uint8]] = []
    for t in times.tolist():
        work.step(0.85 + 0.1 * len(density) / len(times), "drawing densities")
        density.append(_picture(fields.marginal(float(t))))
    used = torch.zeros(len(kept)) if found.eps is None else found.eps[kept]
    flow = None
    if question.start is not None and question.eps > 0:
        still = travel(question.model_copy(update={"eps": 0.0, "n": 1}), fields, x[:1])
        assert still.path is not None
        flow = still.path[kept, 0].float().numpy()
    work.step(0.96, "comparing laws")
    arrived = found.x[:_COMPARED]
    judged = question.start is None and len(arrived) >= 50
    truth = goal.sample(len(arrived), generator=generator(question.seed, "scene truth"))
    return Picture(
        times=times.float().numpy(),
        particles=found.path[kept].float().numpy(),
        density=np.stack(density),
        nfe=found.nfe,
        solver=found.method,
        eps_used=used.float().numpy(),
        flow=flow,
        distance=distance(arrived, goal, question.seed, "scene distance") if judged else None,
        floor=distance(truth, goal, question.seed, "scene floor") if judged else None,
    )


def travel(
    question: Question, fields: Fields, x: torch.Tensor, progress: Callable[[int], None] | None = None
) -> Samples:
    """Move points with the solver and the noise of a question."""
    shape, level = SHAPES[question.eps_shape], question.eps
    return sample(
        fields,
        x,
        eps=(lambda t: level * shape(t)) if level else 0.0,
        reverse=question.reverse,
        method=question.method if question.method in stages("sde" if level else "ode") else None,
        n_steps=question.n_steps,
        seed=question.seed,
        return_path=True,
        chunk=512,
        invariant=False,
        progress=progress,
    )


def _path(question: Question) -> SpatiallyLinearPath:
    """The path of a question, with its envelope where it takes one, of its scale where that has one."""
    path, envelope = paths()[question.path], envelopes()[question.envelope]
    if "envelope" not in inspect.signature(path).parameters:
        return path()
    scaled = "scale" in inspect.signature(envelope).parameters
    built: SpatiallyLinearPath = build(
        "path", question.path, envelope=envelope(scale=question.scale) if scaled else envelope()
    )
    return built


def _starts(question: Question, law: GaussianMixture) -> torch.Tensor:
    if question.start is None:
        return law.sample(question.n, generator=generator(question.seed, "scene start"))
    return torch.tensor([question.start], dtype=torch.float32).expand(question.n, 2).contiguous()


def _law(law: str | list[list[float]]) -> GaussianMixture:
    return plane_distributions.named(law) if isinstance(law, str) else plane_distributions.drawn(law)


def _check_cost(question: Question, law0: GaussianMixture, law1: GaussianMixture, runs: int) -> None:
    cost = runs * question.n * question.n_steps * stages()[question.method] * law0.n_modes * law1.n_modes
    if cost > BUDGET:
        rule = f"particles x steps x stages x pairs of modes must be at most {BUDGET:,}"
        raise invalid("playground", rule, f"{cost:,}", "Use fewer particles or steps.")


def _picture(law: GaussianMixture) -> NDArray[np.uint8]:
    axis = torch.linspace(-REACH, REACH, GRID)
    points = torch.cartesian_prod(axis, axis).flip(1)  # x runs fastest
    log_density = law.log_prob(points.to(law.means)).double()
    root = torch.exp(0.5 * (log_density - log_density.max()))
    return (255 * root).round().to(torch.uint8).reshape(GRID, GRID).numpy()


def distance(x: torch.Tensor, law: GaussianMixture, seed: int, stream: str) -> tuple[float, float]:
    """Energy distance of points to as many draws of a law, and its standard error."""
    if not bool(torch.isfinite(x).all()):
        raise DivergedError("playground: particles became NaN or infinite. Use more steps or a smaller eps.")
    found = energy_distance(x, law.sample(len(x), generator=generator(seed, stream)))
    error = found.error if math.isfinite(found.error) else 0.0
    return found.value, error
