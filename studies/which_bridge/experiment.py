"""Every path and sampler at equal numbers of evaluations, with exact fields.

Fields are exact, so what is left is the error of few steps, at 4, 8, 16 and 32 evaluations. "generate": the path's own
base to a mixture; "translate": a mixture to a mixture; "points": the base to a finite set, where bases need not be
Gaussian. Paths, envelopes and solvers come from the cards: what is added to the library joins by itself.
"""

import inspect
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.noise import ReverseNoise
from interpolants.dynamics.sample import sample
from interpolants.dynamics.transitions import TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InterpolantsError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.methods.light_sb import LightDrifts
from interpolants.methods.schrodinger_drifts import DriftFields
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.bases import MatrixBasis
from interpolants.paths.custom import SpatiallyLinear
from interpolants.paths.edm import EDM
from interpolants.paths.kinetic import KineticOptimal
from interpolants.paths.linear import Linear, OneSidedLinear
from interpolants.paths.mirror import Diffusive
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.shortest import ShortestPath
from interpolants.problems.empirical_bridge import EmpiricalBridge
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.light_schrodinger import MixtureSchrodingerBridge
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.solvers.registry import available
from studies.common import Outcome
from studies.which_bridge.problems import keyed, mixtures

Settings = Mapping[str, Any]
EVALUATIONS = (4, 8, 16, 32)
TASKS = ("generate", "translate", "points")
# The Schroedinger bridge between the ends of "translate" is no path with independent ends, but it has exact fields.
SCHRODINGER = "schrodinger bridge"
NOTHING, FLOOR = "x0 as it is", "two true sets"
ADAPTIVE = ("dopri5", "tsit5")
EPS = 0.5
DRAWS = 8  # true sets whose scatter about the floor is the error of a number in the table
_TRUE, _OTHER, _START, _RUN = range(4)
# Cards of paths and bridges that are not measured, and why.
WORDS = {
    "general": "any formula of the ends: it has no closed form, and its numbers are those of the formula",
    "mirror": "leads from a law to itself, so there is no arrival to measure",
    "spectral": "schedules per direction are the user's; shortest_path is the one that follows from data",
    "tabulated": "a table of any schedule, with the numbers of that schedule",
    "light_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "interpolant_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "entropic_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "flow_map": "its exact jumps are the flow's own ends: no error is left to measure",
    "rectification": "its exact flow has the ends of the flow before: no error is left to measure",
    "multimarginal": "for more than two laws; between two it is linear with gamma = 0",
    "latent_generator": "one pass of a decoder: no path, and no evaluations to count",
    "prior_restoration": "one sample for each measurement: what arrives has no law of its own to compare",
    "restoration": "needs pairs of damaged and clean states",
    "token_bridge": "tokens have no energy distance, and their evaluations are counted by jumps",
}

# Paths of "points": those with another base, and three to compare them with.
POINTS = ("edm", "edm, df 8", "one_sided_linear", "vp")
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"dims": [2], "n": 200, "points": 20, "paths": ["linear", "one_sided_linear", "edm, df 8"]},
    "laptop": {"dims": [2], "n": 300, "points": 50, "paths": []},
    "full": {"dims": [2, 16, 128], "n": 10_000, "points": 1000, "paths": []},
}


@cache
def paths() -> dict[str, Callable[[GaussianMixture], SpatiallyLinearPath]]:
    """Spatially linear paths to a law, by name: whatever a card makes without settings, and some that need them."""
    cards = {kind: [c for c in load_cards() if c.kind == kind] for kind in ("path", "envelope")}
    found: dict[str, Any] = {card.id: _plain(card.load_entry()) for card in cards["path"]}
    for card in cards["envelope"]:
        envelope = _plain(card.load_entry())
        if envelope is not None and card.id != "brownian":
            found[f"linear, {card.id}"] = Linear(envelope=envelope)
    found["diffusive"] = Diffusive(scale=0.5)
    found["edm, df 8"] = EDM(df=8)
    found["spatially_linear"] = SpatiallyLinear(
        lambda t: torch.cos(math.pi / 2 * t) ** 2, lambda t: t**2, lambda t: torch.sqrt(t * (1 - t))
    )
    fixed = {name: path for name, path in found.items() if isinstance(path, SpatiallyLinearPath)}
    makers: dict[str, Any] = {name: partial(_same, path) for name, path in fixed.items()}
    makers |= {"shortest_path": _shortest, "kinetic_optimal": _kinetic}
    return dict(sorted(makers.items()))


def _same(path: SpatiallyLinearPath, rho1: GaussianMixture) -> SpatiallyLinearPath:
    return path


def _shortest(rho1: GaussianMixture) -> SpatiallyLinearPath:
    """The path whose powers along the axes are those of the law."""
    powers = rho1.covariance.diagonal() + rho1.mean.square()
    return ShortestPath(MatrixBasis(torch.eye(rho1.dim, dtype=torch.float64)), powers.double())


def _kinetic(rho1: GaussianMixture) -> SpatiallyLinearPath:
    """The path of least kinetic energy to the law, by its exact denoiser."""
    path, g = OneSidedLinear(), keyed(0, _OTHER)
    denoiser = GaussianMixtureBridge(path.base, rho1).fields(path).denoised
    return KineticOptimal.fit(rho1.sample(250, generator=g), denoiser=denoiser, path=path)


def _plain(entry: Any) -> Any:
    """A member made without settings; None if it needs some."""
    free = all(p.default is not p.empty for p in inspect.signature(entry).parameters.values())
    return entry() if free else None


def cases(settings: Settings) -> Sequence[str]:
    """Every path where it applies, and what frames the numbers."""
    wanted = settings["paths"] or list(paths())
    example = mixtures(0, 2).rho1
    found = []
    for task in TASKS:
        for dim in settings["dims"] if task != "points" else settings["dims"][:1]:
            names = [name for name in wanted if _applies(name, paths()[name](example), task)]
            names += [SCHRODINGER] if task == "translate" else []
            found += [f"{task}, {dim}-D / {name}" for name in (*names, NOTHING, FLOOR)]
    return found


def _applies(name: str, path: SpatiallyLinearPath, task: str) -> bool:
    if task == "translate":  # a mirror path leads from a law to itself: there is nothing to arrive at
        return not path.is_static and not path.is_one_sided
    return path.is_one_sided and (name in POINTS if task == "points" else isinstance(path.base, Gaussian))


def measure(case: str, seed: int, settings: Settings) -> Outcome:
    """Energy distance to true samples, for every sampler and number of evaluations."""
    place, name = case.split(" / ")
    task, dim = place.split(", ")
    return Outcome(_values(task, name, mixtures(seed, int(dim[:-2])), seed, settings))


def _values(
    task: str, name: str, exact: MixtureSchrodingerBridge, seed: int, settings: Settings
) -> dict[str, float]:
    n = settings["n"]
    rho0, rho1 = exact.rho0.to(dtype=torch.float32), exact.rho1.to(dtype=torch.float32)
    true = rho1.sample(n, generator=keyed(seed, _TRUE))
    points = EmpiricalBridge(true[: settings["points"]])
    law: Any = points if task == "points" else rho1
    if task == "points":
        true = points.sample(n, generator=keyed(seed, _TRUE)).float()
    if name == FLOOR:
        return floor_of(law.sample, n, true, seed)
    start = rho0.sample(n, generator=keyed(seed, _START))
    if name == NOTHING:
        x = start if task == "translate" else torch.randn(n, rho1.dim, generator=keyed(seed, _START))
        return {"distance": energy_distance(x, true).value}
    if name == SCHRODINGER:
        fields: Fields = DriftFields(LightDrifts(exact.plan, exact.reverse_plan), exact.eps)
        return distances(fields, start, true, seed, eps=exact.eps)
    path = paths()[name](exact.rho1)
    if path.base is None:
        return distances(GaussianMixtureBridge(rho0, rho1).fields(path), start, true, seed)
    start = path.base.color(path.base.noise((n, rho1.dim), generator=keyed(seed, _START)))
    fields = points.fields(path) if task == "points" else GaussianMixtureBridge(path.base, rho1).fields(path)
    return distances(fields, start, true, seed)


def floor_of(law: Callable[..., Tensor], n: int, true: Tensor, seed: int) -> dict[str, float]:
    """Distance between true sets, and the scatter of one such number."""
    other = keyed(seed, _OTHER)
    values = [energy_distance(law(n, generator=other).float(), true).value for _ in range(DRAWS)]
    return {"distance": statistics.mean(values), "error": statistics.stdev(values)}


def samplers(fields: Fields, eps: float = EPS) -> dict[str, dict[str, Any]]:
    """Samplers that may suit the fields, as arguments of ``sample``, by name; ODE first."""
    found: dict[str, dict[str, Any]] = {
        name: {"method": name} for name in available("ode") if name not in ADAPTIVE
    }
    found |= {name: {"method": name} for name in TRANSITIONS}
    if fields.has_score:
        for name in available("sde"):
            found[name] = {"method": name, "eps": eps}
            if isinstance(fields.path, SpatiallyLinearPath) and fields.path.is_one_sided:
                found[f"{name}, g^2/2"] = {"method": name, "eps": ReverseNoise()}
    return found


def distances(
    fields: Fields, start: Tensor, true: Tensor, seed: int, *, eps: float = EPS
) -> dict[str, float]:
    """``{"ode heun@8": distance}``; a sampler that the path refuses is left out, one that diverges is at infinity."""
    values: dict[str, float] = {}
    whole = {"invariant": False, "chunk": len(start), "seed": _RUN + seed, "on_failure": "keep"}
    for name, how in samplers(fields, eps).items():
        try:
            probe = sample(fields, start[:16], n_steps=2, **{**whole, **how, "chunk": 16})
        except InvalidInputError:
            continue
        kind, each = ("ode" if probe.seed is None else "sde"), math.ceil(int(probe.nfe) / 2)
        for budget in EVALUATIONS:
            if budget // each < 1:
                continue
            try:
                x = sample(fields, start, n_steps=budget // each, **whole, **how).x
            except InterpolantsError:
                continue
            good = bool(torch.isfinite(x).all())
            values[f"{kind} {name}@{budget}"] = energy_distance(x, true).value if good else math.inf
    return values
