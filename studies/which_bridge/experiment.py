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
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.noise import ReverseNoise
from interpolants.dynamics.sample import sample
from interpolants.dynamics.transitions import TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InterpolantsError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.schrodinger.drifts import DriftFields
from interpolants.generative.schrodinger.light_sb import LightDrifts
from interpolants.generative.schrodinger.problems.light_schrodinger import MixtureSchrodingerBridge
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
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.solvers.registry import available
from studies.common import Study
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
    "mirror": "leads from a distribution to itself, so there is no arrival to measure",
    "spectral": "schedules per direction are the user's; shortest_path is the one that follows from data",
    "tabulated": "a table of any schedule, with the numbers of that schedule",
    "light_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "interpolant_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "entropic_sb": "solves for the Schroedinger bridge, whose exact fields are in the table",
    "flow_map": "its exact jumps are the flow's own ends: no error is left to measure",
    "rectification": "its exact flow has the ends of the flow before: no error is left to measure",
    "multimarginal": "for more than two distributions; between two it is linear with gamma = 0",
    "latent_generator": "one pass of a decoder: no path, and no evaluations to count",
    "prior_restoration": "one sample for each measurement: what arrives has no distribution of its own to compare",
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
    """Spatially linear paths to a distribution, by name: all that a card makes without settings, and some with."""
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
    """The path whose powers along the axes are those of the distribution."""
    powers = rho1.covariance.diagonal() + rho1.mean.square()
    return ShortestPath(MatrixBasis(torch.eye(rho1.dim, dtype=torch.float64)), powers.double())


def _kinetic(rho1: GaussianMixture) -> SpatiallyLinearPath:
    """The path of least kinetic energy to the distribution, by its exact denoiser."""
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
    if (
        task == "translate"
    ):  # a mirror path leads from a distribution to itself: there is nothing to arrive at
        return not path.is_static and not path.is_one_sided
    return path.is_one_sided and (name in POINTS if task == "points" else isinstance(path.base, Gaussian))


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Energy distance to true samples, for every sampler and number of evaluations."""
    place, name = case.split(" / ")
    task, dim = place.split(", ")
    return measured(_values(task, name, mixtures(seed, int(dim[:-2])), seed, settings))


def _values(
    task: str, name: str, exact: MixtureSchrodingerBridge, seed: int, settings: Settings
) -> dict[str, float]:
    n = settings["n"]
    rho0, rho1 = exact.rho0.to(dtype=torch.float32), exact.rho1.to(dtype=torch.float32)
    true = rho1.sample(n, generator=keyed(seed, _TRUE))
    points = EmpiricalBridge(true[: settings["points"]])
    distribution: Any = points if task == "points" else rho1
    if task == "points":
        true = points.sample(n, generator=keyed(seed, _TRUE)).float()
    if name == FLOOR:
        return floor_of(distribution.sample, n, true, seed)
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


def floor_of(distribution: Callable[..., Tensor], n: int, true: Tensor, seed: int) -> dict[str, float]:
    """Distance between true sets, and the scatter of one such number."""
    other = keyed(seed, _OTHER)
    values = [energy_distance(distribution(n, generator=other).float(), true).value for _ in range(DRAWS)]
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


# --- table and figures ---------------------------------------------------------------------------------------


UNIT = 1000  # energy distances are shown in thousandths
LEAST = 1e-3  # shades of the figure begin here, or at the floor if that is higher


def table(results: Results) -> str:
    """For each problem the best ODE and SDE sampler of every path; then every sampler."""
    parts = [f"Energy distances times {UNIT}, means over {len(results.seeds)} seeds.\n"]
    for place in places(results):
        floor = results.mean(f"{place} / {FLOOR}", "distance")
        error = results.mean(f"{place} / {FLOOR}", "error")
        still = results.mean(f"{place} / {NOTHING}", "distance")
        parts.append(f"\n### {place}\n")
        text = f"x0 as it is: {show(still)}; two true sets: {show(floor)}, standard error of one seed {show(error)}"
        parts.append(f"{text}. Up to {show(limit(results, place))} it says *floor*.\n")
        rows = [[name, *(_best(results, f"{place} / {name}", kind, n) for kind in ("ode", "sde") for n in EVALUATIONS)]
                for name in names(results, place)]  # fmt: skip
        head = ["path", *(f"{kind.upper()} {n}" for kind in ("ode", "sde") for n in EVALUATIONS)]
        parts.append(markdown(head, rows))
    parts.append("\n### Samplers: median over the paths that take them\n")
    parts.append(_samplers(results))
    parts.append("\nNot measured:\n")
    parts.append("\n".join(f"* {name}: {why}." for name, why in sorted(WORDS.items())))
    return "\n".join(parts) + "\n"


def places(results: Results) -> list[str]:
    """Problems that were measured, in order."""
    dims = results.settings["dims"]
    return [
        f"{task}, {dim}-D" for task in TASKS for dim in dims if results.names(f"{task}, {dim}-D / {FLOOR}")
    ]


def names(results: Results, place: str) -> list[str]:
    """Paths that were measured on a problem."""
    mine = [case.split(" / ")[1] for case in results.cases if case.startswith(f"{place} / ")]
    return [name for name in mine if name not in (NOTHING, FLOOR)]


def best(results: Results, case: str, kind: str, n: int) -> tuple[float, str]:
    """The smallest mean distance of a kind of sampler at n evaluations, and whose it is.

    Of several at the floor the first one in the list of samplers counts: the order among them is chance.
    """
    keys = [key for key in results.names(case) if key.startswith(f"{kind} ") and key.endswith(f"@{n}")]
    found = [(results.mean(case, key), key[4:].split("@")[0]) for key in keys]
    level = limit(results, case.split(" / ")[0])
    at_floor = [pair for pair in found if pair[0] <= level]
    return at_floor[0] if at_floor else min(found, default=(float("nan"), ""))


def limit(results: Results, place: str) -> float:
    """The floor, and two standard errors of a mean over seeds above it: below it, nothing is told apart."""
    floor = f"{place} / {FLOOR}"
    errors = results.values(floor, "error")
    return results.mean(floor, "distance") + 2 * sum(errors) / len(errors) ** 1.5


def _best(results: Results, case: str, kind: str, n: int) -> str:
    value, who = best(results, case, kind, n)
    if not who:
        return "–"
    return f"floor: {who}" if value <= limit(results, case.split(" / ")[0]) else f"{show(value)}: {who}"


def _samplers(results: Results) -> str:
    columns = [(place, n) for place in places(results) for n in EVALUATIONS]
    keys = {key.split("@")[0] for case in results.cases for key in results.names(case) if "@" in key}
    rows = []
    for key in sorted(keys):
        cells = []
        for place, n in columns:
            values = [
                results.mean(f"{place} / {name}", f"{key}@{n}")
                for name in names(results, place)
                if results.values(f"{place} / {name}", f"{key}@{n}")
            ]
            cells.append(show(median(values)) if values else "–")
        rows.append([key, *cells])
    return markdown(["sampler", *(f"{place}: {n}" for place, n in columns)], rows)


def figures(results: Results) -> list[Figure]:
    """One table in colours for each problem."""
    panels = {place: _grid(results, place) for place in places(results)}
    return [shades("which_bridge", panels, x="evaluations: ODE (left), SDE (right)")]


class Grid(NamedTuple):
    """Numbers by row and column; what is at most ``low`` is level with two true sets."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    low: float


def _grid(results: Results, place: str) -> Grid:
    rows = names(results, place)
    columns = [(kind, n) for kind in ("ode", "sde") for n in EVALUATIONS]
    values = [[best(results, f"{place} / {name}", *column)[0] for column in columns] for name in rows]
    return Grid(rows, [str(n) for _, n in columns], values, max(limit(results, place), LEAST))


def shades(name: str, grids: Mapping[str, Grid], *, x: str) -> Figure:
    """One panel below the other; white is level with two true sets, and each shade is a factor."""
    panels = []
    for title, grid in grids.items():
        low = UNIT * grid.low
        arrays = {"values": UNIT * np.array(grid.values, dtype=np.float64)}
        series = Series(mark="table", arrays=arrays, low=low, high=1000 * low)
        across = Axis(
            label=x, ticks=tuple(k + 0.5 for k in range(len(grid.columns))), names=tuple(grid.columns)
        )
        down = Axis(ticks=tuple(k + 0.5 for k in range(len(grid.rows))), names=tuple(grid.rows))
        panels.append(Panel(series=(series,), title=title, x=across, y=down, height=len(grid.rows) + 2.4))
    height = 22 * sum(panel.height for panel in panels)
    return Figure(name=name, panels=tuple(panels), columns=1, width=620, height=height)


def show(value: float) -> str:
    """An energy distance as the tables have it."""
    return f"{UNIT * value:.1f}"


CLAIMS = (
    Stated("kinetic.four_steps < linear", ("generate, 2-D / kinetic_optimal", "ode midpoint@4"),
           ("generate, 2-D / one_sided_linear", "ode midpoint@4"), "peer"),
    Stated("heavy_tails.four_steps < normal", ("points, 2-D / edm, df 8", "ode euler@4"),
           ("points, 2-D / edm", "ode euler@4"), "peer", expected="fails"),
)  # fmt: skip

STUDY = Study("which_bridge", SETTINGS, cases, measure, table, figures, CLAIMS)
