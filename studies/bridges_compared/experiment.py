"""Three solvers of the Schroedinger bridge on shared problems: mixture potentials, max-min, and entropic plans.

Gaussians in 2 and 16 dimensions (closed form), entropic-transport pairs in 2 and 16 dimensions whose plan is exact and
not Gaussian, and threes to eights in 10 principal components, where two baselines join: a barycentric map of minibatch
plans with noise, and independent pairs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.pairs import costs
from interpolants.couplings.sinkhorn import Sinkhorn
from interpolants.data.catalogue import load
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.seeds import MARKERS, Results, Stated, markdown
from interpolants.generative.schrodinger.bridge import SchrodingerBridge
from interpolants.generative.schrodinger.entropic_sb import EntropicSB
from interpolants.generative.schrodinger.interpolant_sb import InterpolantSB
from interpolants.generative.schrodinger.light_sb import LightSB
from interpolants.generative.schrodinger.problems.light_schrodinger import EOTMixturePair
from interpolants.metrics.bures_uvp import bw2_uvp, cbw2_uvp
from interpolants.metrics.energy_distance import energy_distance
from interpolants.problems.schrodinger import GaussianSchrodingerBridge
from studies.common import Study
from studies.schrodinger.experiment import problem as gaussian

Settings = Mapping[str, Any]
GAUSSIANS = {"Gaussians, 2-D": "2-D", "Gaussians, 16-D": "16-D"}
# Dimension and eps of the pairs with an exact plan.
PAIRS = {"EOT pair, 2-D": (2, 0.25), "EOT pair, 16-D": (16, 0.5)}
DIGITS = "digits 3 to 8"
LIGHT = {"light, diagonal": "diagonal", "light, full": "full"}
SOLVERS = (*LIGHT, "interpolant", "entropic")
BASELINES = ("minibatch Sinkhorn", "independent", "real eights")
DIGITS_EPS, COMPONENTS = 0.05, 10
TIMED = ("seconds", "sampling")  # CPU seconds of the fit, and of sampling
_DATA, _TEST, _SPLIT = range(3)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "data": 1000, "components": 3, "digit_components": 2, "net": {"width": 16, "depth": 2},
        "steps": 40, "batch": 64,
        "block": 128, "pairs": 2000, "starts": 20, "draws": 50, "n": 300, "n_steps": 10, "repeats": 2,
    },
    "laptop": {
        "data": 3000, "components": 6, "digit_components": 5, "net": {"width": 64, "depth": 2}, "steps": 800,
        "batch": 256, "block": 1024, "pairs": 20_000, "starts": 30, "draws": 200, "n": 2000, "n_steps": 25,
        "repeats": 10,
    },
    "full": {
        "data": 200_000, "components": 50, "digit_components": 5, "net": {"width": 128, "depth": 3}, "steps": 20_000,
        "batch": 2048, "block": 4096, "pairs": 1_000_000, "starts": 500, "draws": 4000, "n": 10_000, "n_steps": 100,
        "repeats": 50,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Every problem with every solver, and the baselines of the digits."""
    known = [
        f"{distribution} / {solver}"
        for distribution in (*GAUSSIANS, *PAIRS)
        for solver in (*SOLVERS, "exact plan")
    ]
    return (*known, *(f"{DIGITS} / {name}" for name in (*SOLVERS, *BASELINES)))


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Solve one bridge from samples, and hold it against what is known."""
    distribution, name = case.split(" / ")
    if distribution == DIGITS:
        return measured(_digits(name, seed, settings), timed=TIMED)
    return measured(_known(problem(distribution, seed), name, seed, settings), timed=TIMED)


@dataclass(frozen=True)
class Known:
    """A bridge with an exact plan: samplers of its ends, the drift, and the plan's moments and draws."""

    eps: float
    dim: int
    ends: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    pairs: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    drift: Callable[[Tensor, float], Tensor]
    draw: Callable[[Tensor, torch.Generator], Tensor]
    moments: Callable[[Tensor], tuple[Tensor, Tensor]]


def problem(distribution: str, seed: int) -> Known:
    """The problem of a case; pairs have other potentials for each seed."""
    if distribution in PAIRS:
        dim, eps = PAIRS[distribution]
        return _pair(EOTMixturePair(seed, dim, eps, covariance="full"))
    return _gaussian(gaussian(GAUSSIANS[distribution]))


def _pair(exact: EOTMixturePair) -> Known:
    def ends(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        found = exact.sample_ends(n, generator=g)
        return found.x0, found.x1

    def pairs(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        found = exact.sample_coupling(n, generator=g)
        return found.x0, found.x1

    def moments(x0: Tensor) -> tuple[Tensor, Tensor]:
        found = exact.plan.moments(x0)
        return found.mean, found.covariance

    return Known(
        exact.eps, exact.rho0.dim, ends, pairs, exact.drift,
        lambda x0, g: exact.plan.sample(x0, generator=g), moments,
    )  # fmt: skip


def _gaussian(exact: GaussianSchrodingerBridge) -> Known:
    cross, cov0 = exact.coupling_covariance, exact.rho0.covariance
    gain = torch.linalg.solve(cov0, cross).mT
    left = exact.rho1.covariance - gain @ cross
    root = torch.linalg.cholesky(left)

    def mean(x0: Tensor) -> Tensor:
        return exact.rho1.mean + (x0 - exact.rho0.mean) @ gain.mT

    def pairs(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        found = exact.sample_coupling(n, generator=g)
        return found.x0, found.x1

    def draw(x0: Tensor, g: torch.Generator) -> Tensor:
        return mean(x0) + torch.randn(x0.shape, dtype=x0.dtype, generator=g) @ root.mT

    return Known(
        exact.eps,
        exact.rho0.dim,
        lambda n, g: (exact.rho0.sample(n, generator=g), exact.rho1.sample(n, generator=g)),
        pairs,
        exact.drift,
        draw,
        lambda x0: (mean(x0), left.expand(len(x0), *left.shape)),
    )


def solver(name: str, eps: float, components: int, seed: int, settings: Settings) -> SchrodingerBridge:
    """A solver by its name in the table."""
    if name in LIGHT:
        return LightSB(eps=eps, n_components=components, covariance=LIGHT[name], seed=seed)
    net = {"kind": "mlp", **settings["net"]}
    train = {"steps": settings["steps"], "batch_size": settings["batch"], "lr": 5e-3}
    if name == "interpolant":
        return InterpolantSB(eps=eps, net=net, seed=seed, **train)
    return EntropicSB(eps=eps, net=net, seed=seed, **train, block=settings["block"], pairs=settings["pairs"])


def _known(exact: Known, name: str, seed: int, settings: Settings) -> dict[str, float]:
    g = _generator(seed, _DATA)
    x0, x1 = (x.float() for x in exact.ends(settings["data"], g))
    if name == "exact plan":  # the same measurements on the truth itself: what sampling alone leaves

        def carry(x: Tensor, s: int) -> Tensor:
            return exact.draw(x.double(), _generator(s, _TEST)).float()

        return _arrival(exact, carry, seed, settings)
    began = time.process_time()
    fitted = solver(name, exact.eps, settings["components"], seed, settings).fit(x0, x1)
    seconds = time.process_time() - began
    own = {} if name in LIGHT else {"n_steps": settings["n_steps"]}  # the light bridge needs no steps
    begun = time.process_time()
    values = _arrival(exact, lambda x, s: fitted.transport(x, seed=s, **own), seed, settings)
    values |= {"seconds": seconds, "sampling": time.process_time() - begun}
    return values | {"drift": _drift_error(exact, fitted.drift, seed)}


def _arrival(
    exact: Known, carry: Callable[[Tensor, int], Tensor], seed: int, settings: Settings
) -> dict[str, float]:
    """Error of the distribution at t = 1, and of the conditionals by their sampled moments."""
    g = _generator(seed, _TEST)
    x1 = exact.pairs(settings["n"], g)[1].float()
    fresh = exact.ends(settings["n"], g)[0].float()
    starts, draws = settings["starts"], settings["draws"]
    test = fresh[:starts]
    arrived = carry(test.repeat_interleave(draws, 0), seed + 1).double().reshape(starts, draws, -1)
    mean = arrived.mean(1)
    apart = arrived - mean[:, None]
    covariance = apart.mT @ apart / (draws - 1)
    true_mean, true_covariance = exact.moments(test.double())
    variance = float(exact.pairs(20_000, g)[1].var(0).sum())
    conditional = cbw2_uvp(mean, covariance, true_mean, true_covariance, variance=variance)
    there = carry(fresh, seed + 2)
    return {
        "conditional": conditional.value,
        "plain": bw2_uvp(there, x1).value,
        "arrived": energy_distance(there, x1).value,
    }


def _drift_error(exact: Known, drift: Callable[[Tensor, float], Tensor], seed: int) -> float:
    """Relative L2 error of the forward drift over the exact bridge's own distribution, t uniform."""
    g = _generator(seed, _TEST)
    off = whole = 0.0
    for t in ((torch.arange(20) + 0.5) / 20).tolist():
        x0, x1 = exact.pairs(500, g)
        z = torch.randn(x0.shape, dtype=x0.dtype, generator=g)
        x = (1 - t) * x0 + t * x1 + (2 * exact.eps * t * (1 - t)) ** 0.5 * z
        truth = exact.drift(x, t)
        off += float((drift(x.float(), t).double() - truth).square().sum())
        whole += float(truth.square().sum())
    return (off / whole) ** 0.5


def digits(seed: int) -> dict[str, Tensor]:
    """Threes and eights in principal components, in units of their mean standard deviation; train and held out."""
    data = load("digits", "all")
    assert data.labels is not None
    sets: dict[str, Tensor] = {}
    for name, label in (("x0", 3), ("x1", 8)):
        x = data.x[data.labels == label].flatten(1).double()
        x = x[torch.randperm(len(x), generator=_generator(seed, _SPLIT))]
        cut = round(0.6 * len(x))
        sets |= {name: x[:cut], f"test {name}": x[cut:]}
    train = torch.cat([sets["x0"], sets["x1"]])
    centre = train.mean(0)
    axes = torch.linalg.svd(train - centre, full_matrices=False).Vh[:COMPONENTS].mT
    scale = ((train - centre) @ axes).std(0).mean()
    return {name: ((x - centre) @ axes / scale).float() for name, x in sets.items()}


def _digits(name: str, seed: int, settings: Settings) -> dict[str, float]:
    sets = digits(seed)
    x0 = sets["test x0"].repeat(settings["repeats"], 1)
    g = _generator(seed, _TEST)
    began = time.process_time()
    if name == "independent":
        there = sets["x1"][torch.randint(len(sets["x1"]), (len(x0),), generator=g)]
    elif name == "real eights":  # the floor, and no transport at all
        value = energy_distance(sets["x1"], sets["test x1"]).value
        return {"arrived": value}
    elif name == "minibatch Sinkhorn":
        there = _barycentric(x0, sets["x1"], g)
    else:
        fitted = solver(name, DIGITS_EPS, settings["digit_components"], seed, settings)
        there = fitted.fit(sets["x0"], sets["x1"]).transport(x0, seed=seed)
    seconds = time.process_time() - began
    cost = float((there - x0).square().sum(1).mean()) / 2
    arrived = energy_distance(there, sets["test x1"]).value
    return {"arrived": arrived, "cost": cost, "seconds": seconds}


def _barycentric(x0: Tensor, x1: Tensor, g: torch.Generator, *, batch: int = 64) -> Tensor:
    """Conditional means of plans between batches, with the noise that the plan itself has on average."""
    found = []
    for rows in torch.randperm(len(x0), generator=g).split(batch):
        ends = x1[torch.randperm(len(x1), generator=g)[:batch]]
        unit = costs("study", x0[rows], ends)[1]
        plan = Sinkhorn(reg=4 * DIGITS_EPS / unit, n_iter=5000).plan(x0[rows], ends).plan.float() * len(rows)
        mean = plan @ ends
        spread = (plan @ ends.square() - mean.square()).clamp_min(0).mean(0).sqrt()
        moved = mean + spread * torch.randn(mean.shape, generator=g)
        found.append((rows, moved))
    there = torch.empty_like(x0)
    for rows, moved in found:
        there[rows] = moved
    return there


def _generator(seed: int, use: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + use)


# --- table and figures ---------------------------------------------------------------------------------------


KNOWN = {
    "drift": "drift, relative error",
    "conditional": "conditionals, cBW2-UVP %",
    "plain": "arrived, BW2-UVP %",
    "arrived": "arrived, energy distance",
    "seconds": "fit, CPU s",
    "sampling": "sampling, CPU s",
}


def table(results: Results) -> str:
    """Problems with an exact plan; then the digits."""
    digits = {"drift": 3, "conditional": 3, "plain": 3, "arrived": 4, "seconds": 1, "sampling": 1}
    known = [case for case in results.cases if not case.startswith(DIGITS)]
    text = markdown(["exact plan", *KNOWN.values()], results.rows(known, digits))
    rows = results.rows(
        [c for c in results.cases if c.startswith(DIGITS)], {"arrived": 3, "cost": 2, "seconds": 1}
    )
    head = ["digits", "to held-out eights, energy distance", "half the mean squared move", "CPU seconds"]
    return text + "\n" + markdown(head, rows) if rows else text


def figures(results: Results) -> list[Figure]:
    """Error of the conditionals against seconds of the fit, one panel a family of problems."""
    panels = []
    for title, distributions in (("Gaussians", GAUSSIANS), ("Pairs with an exact plan", PAIRS)):
        series = []
        for hue, solver in enumerate(SOLVERS):
            for symbol, distribution in zip(MARKERS, distributions, strict=False):
                x, y = (
                    [results.mean(f"{distribution} / {solver}", key)] for key in ("seconds", "conditional")
                )
                name = f"{solver}, {distribution.split(', ')[1]}"
                series.append(
                    Series(mark="points", arrays={"x": x, "y": y}, name=name, hue=hue, symbol=symbol, size=36)
                )
        for dash, distribution in zip((":", "--"), distributions, strict=True):
            floor = results.mean(f"{distribution} / exact plan", "conditional")
            series.append(across(floor, f"exact plan, {distribution.split(', ')[1]}", dash=dash))
        x = Axis(label="CPU seconds of the fit", scale="log", ticks=(0.2, 0.5, 1, 2, 5))
        y = Axis(label="cBW2-UVP, %", scale="log", grid=True)
        panels.append(Panel(series=tuple(series), title=title, x=x, y=y))
    return [Figure(name="bridges_compared", panels=tuple(panels), width=760, height=390, legend_columns=4)]


CLAIMS = (
    Stated(
        "light.move < minibatch", (f"{DIGITS} / light, diagonal", "cost"),
        (f"{DIGITS} / minibatch Sinkhorn", "cost"), "peer",
    ),
    Stated(
        "light.arrived < minibatch", (f"{DIGITS} / light, diagonal", "arrived"),
        (f"{DIGITS} / minibatch Sinkhorn", "arrived"), "peer", expected="fails",
    ),
    Stated(
        "light.conditional < 1.5 floor", ("Gaussians, 2-D / light, full", "conditional"),
        ("Gaussians, 2-D / exact plan", "conditional"), "floor",
    ),
)  # fmt: skip

STUDY = Study("bridges_compared", SETTINGS, cases, measure, table, figures, CLAIMS)
