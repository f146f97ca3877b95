"""Targets made from exact experts: does weighting bring samples to the distribution that was asked for?

Four tasks with known answers. ``annealing``: powers of four Gaussians in the plane, judged by the weights of the
modes. ``guidance``: classifier-free guidance of a mixture, judged by the mean. ``digits``: the product of the
distributions of two classes of handwritten digits, in two principal components. ``bridges``: the geometric average of
two bridges that differ at both ends. The last three have their truth on a grid.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data import load
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.tell import FitWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import FeynmanKac, GaussianFlow, WeightedSamples
from interpolants.metrics import energy_distance
from interpolants.paths import VP, BrownianEnvelope, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers import Systematic
from studies.common import Study

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"particles": 128, "n_steps": 20, "betas": [2.0], "strengths": [3.0], "draws": 300},
    "laptop": {
        "particles": 2048,
        "n_steps": 200,
        "betas": [2.0, 4.0],
        "strengths": [1.5, 3.0],
        "draws": 2048,
    },
    "full": {"particles": 8192, "n_steps": 500, "betas": [2.0, 4.0], "strengths": [1.5, 3.0], "draws": 8192},
}
F64 = torch.float64
PLANE = VP(base=Gaussian((2,)))
# Four modes with unequal weights and spreads.
WEIGHTS = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=F64)
STDS = torch.tensor([0.6, 0.4, 0.8, 0.5], dtype=F64)
CENTRES = torch.tensor([[2, 2], [2, -2], [-2, 2], [-2, -2]], dtype=F64)
FOUR = GaussianMixture(WEIGHTS, CENTRES, STDS.square())
# Three modes, of which the first is the condition.
THREE = GaussianMixture(
    [0.5, 0.3, 0.2],
    torch.tensor([[1.0, 0.0], [-1.0, 0.8], [-0.6, -1.2]], dtype=F64),
    torch.tensor([0.5, 0.6, 0.4], dtype=F64),
)
# Two bridges.
START = GaussianMixture(
    [0.4, 0.6], torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), torch.tensor([0.6, 0.5]).double()
)
OTHER_START = GaussianMixture([1.0], torch.tensor([[0.0, 0.3]], dtype=F64), torch.tensor([1.1], dtype=F64))
OTHER_END = GaussianMixture([1.0], torch.tensor([[0.5, 0.5]], dtype=F64), torch.tensor([0.8], dtype=F64))
BRIDGE = Linear(envelope=BrownianEnvelope(scale=0.8))

PLAIN, SCORE, FLOW, VELOCITY = "no weights", "weights, score", "weights, Gaussian flow", "weights, velocity"
BALANCED = "weights"
_TRANSPORTS = {PLAIN: "score", SCORE: "score", FLOW: "flow", VELOCITY: "pf", BALANCED: "pf"}


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Task, then method."""
    named = [
        f"annealing, beta = {beta:g}: {how}"
        for beta in settings["betas"]
        for how in (PLAIN, SCORE, FLOW, VELOCITY)
    ]
    named += [f"guidance, w = {w:g}: {how}" for w in settings["strengths"] for how in (PLAIN, BALANCED)]
    named += [f"digits, product: {how}" for how in (PLAIN, SCORE, FLOW, VELOCITY)]
    return named + [f"bridges, average: {how}" for how in (PLAIN, BALANCED)]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Draw particles for one target by one method, and judge them."""
    task, _, how = case.partition(": ")
    problem = problem_of(task)
    options: dict[str, Any] = {
        "transport": _TRANSPORTS[how],
        "n_steps": settings["n_steps"],
        **problem.options,
    }
    if options["transport"] == "flow":
        options["transport"] = GaussianFlow(std1=problem.std)
    if how == PLAIN:
        options["resampler"] = Systematic(ess=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        warnings.simplefilter("ignore", FitWarning)  # the paper's corrector is here to be compared
        sampler = FeynmanKac(problem.experts, **options)
        made = sampler.sample(seed=seed, **problem.starts(settings["particles"], seed))
    weights = torch.full((len(made.x),), 1 / len(made.x), dtype=F64) if how == PLAIN else made.weights
    values = problem.judge(made.x, weights, seed, settings)
    if how != PLAIN:
        values |= _diagnosis(made, problem.log_z)
    keep = made.x[torch.multinomial(weights, 400, replacement=True, generator=seeded(seed, 9))]
    return measured(values, {"x": keep.float().numpy()} if seed == 0 and settings["particles"] > 1000 else {})


def _diagnosis(made: WeightedSamples, log_z: float) -> dict[str, float]:
    return {
        "log Z error": abs(float(made.log_z) - log_z),
        "log Z told": float(made.log_z_error),
        "least ESS": float(made.ess.min()) / len(made.x),
        "families": float(made.families) / len(made.x),
    }


@dataclass(frozen=True)
class Problem:
    """A target with its answer.

    Attributes:
        experts: What it is made of.
        options: Settings of the sampler.
        starts: Arguments of a run for a number of particles and a seed.
        judge: Particles with weights -> numbers.
        log_z: Log of its normalising constant.
        std: Typical standard deviation of the data, for the Gaussian flow.
    """

    experts: Sequence[Any]
    options: Mapping[str, Any]
    starts: Callable[[int, int], dict[str, Any]]
    judge: Callable[[Tensor, Tensor, int, Mapping[str, Any]], dict[str, float]]
    log_z: float
    std: float = 1.0


@lru_cache(maxsize=16)
def problem_of(task: str) -> Problem:
    """The target of a task."""
    name, _, rest = task.partition(", ")
    number = rest.rpartition("= ")[2]
    makers: dict[str, Callable[[], Problem]] = {
        "annealing": lambda: annealing(float(number)),
        "guidance": lambda: guidance(float(number)),
        "digits": digits,
        "bridges": bridges,
    }
    return makers[name]()


def annealing(beta: float) -> Problem:
    """``q^beta``: mode weights ``∝ w_k^beta s_k^(2 (1 - beta))``, variances ``s_k^2 / beta``, modes apart."""
    shares = WEIGHTS**beta * STDS ** (2 * (1 - beta))
    shares = shares / shares.sum()
    log_z = float((WEIGHTS**beta * (2 * torch.pi * STDS**2) ** (1 - beta) / beta).sum().log())

    def judge(x: Tensor, weights: Tensor, seed: int, settings: Mapping[str, Any]) -> dict[str, float]:
        mode = torch.cdist(x, CENTRES).argmin(1)
        found = torch.stack([weights[mode == k].sum() for k in range(4)])
        squared = (x - CENTRES[mode]).square().sum(1) / (2 * STDS[mode].square() / beta)
        return {
            "TV of modes": 0.5 * float((found - shares).abs().sum()),
            "variance ratio": float((weights * squared).sum()),
        }

    fields = GaussianMixtureBridge(PLANE.base, FOUR).fields(PLANE)
    std = float(FOUR.covariance.diagonal().mean().sqrt())
    return Problem([(fields, beta)], {}, _drawn, judge, log_z, std)


def guidance(w: float) -> Problem:
    """``q^(1 - w) q_c^w`` with one mode as the condition."""
    one = GaussianMixture([1.0], THREE.means[:1], THREE.covariances[:1])
    whole, given = (
        GaussianMixtureBridge(PLANE.base, distribution).fields(PLANE) for distribution in (THREE, one)
    )
    truth = Grid(lambda x: (1 - w) * THREE.log_prob(x) + w * one.log_prob(x))
    return Problem([(whole, 1 - w), (given, w)], {}, _drawn, truth.judge, truth.log_z)


def digits() -> Problem:
    """The product of the distributions of threes and eights in two principal components, mixtures of 3 Gaussians."""
    distributions = digit_distributions()
    experts = [
        (GaussianMixtureBridge(PLANE.base, distribution).fields(PLANE), 1.0) for distribution in distributions
    ]
    truth = Grid(lambda x: distributions[0].log_prob(x) + distributions[1].log_prob(x))
    return Problem(experts, {}, _drawn, truth.judge, truth.log_z)


def bridges() -> Problem:
    """``sqrt(q_1 q_2)`` of two bridges; starts come from the first and are weighted by the densities."""
    one, two = (
        GaussianMixtureBridge(*ends).fields(BRIDGE) for ends in ((START, THREE), (OTHER_START, OTHER_END))
    )
    truth = Grid(lambda x: 0.5 * THREE.log_prob(x) + 0.5 * OTHER_END.log_prob(x))

    def starts(count: int, seed: int) -> dict[str, Any]:
        return {"x0": START.sample(count, generator=seeded(seed, 3))}

    return Problem([(one, 0.5), (two, 0.5)], {"eps": 0.5}, starts, truth.judge, truth.log_z)


def _drawn(count: int, seed: int) -> dict[str, Any]:
    return {"n": count, "dtype": F64}


@lru_cache(maxsize=1)
def digit_distributions() -> tuple[GaussianMixture, GaussianMixture]:
    """Threes and eights, by expectation maximisation in two principal components of unit variance."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture as Fit

    data = load("digits", "all")
    assert data.labels is not None
    x, labels = data.x.flatten(1).double().numpy(), data.labels.numpy()
    both = np.isin(labels, (3, 8))
    flat = PCA(2, whiten=True, random_state=0).fit_transform(x[both])
    distributions = []
    for digit in (3, 8):
        fit = Fit(3, random_state=0, reg_covar=1e-3).fit(flat[labels[both] == digit])
        distributions.append(
            GaussianMixture(*(torch.tensor(p) for p in (fit.weights_, fit.means_, fit.covariances_)))
        )
    return distributions[0], distributions[1]


class Grid:
    """A density in the plane on a fine grid."""

    def __init__(self, log_density: Callable[[Tensor], Tensor], reach: float = 6.0, count: int = 801) -> None:
        line = torch.linspace(-reach, reach, count, dtype=F64)
        self.x, self.step = torch.cartesian_prod(line, line), float(line[1] - line[0])
        log = log_density(self.x)
        self.weights = log.softmax(0)
        self.log_z = float(log.logsumexp(0)) + 2 * float(np.log(self.step))
        self.mean = self.weights @ self.x
        self.spread = float((self.weights @ (self.x - self.mean).square()).sum().sqrt())

    def sample(self, count: int, source: torch.Generator) -> Tensor:
        """Draws from the cells, spread evenly over each."""
        cell = torch.multinomial(self.weights, count, replacement=True, generator=source)
        jitter = torch.rand(count, 2, dtype=F64, generator=source) - 0.5
        return self.x[cell] + self.step * jitter

    def judge(self, x: Tensor, weights: Tensor, seed: int, settings: Mapping[str, Any]) -> dict[str, float]:
        """Error of the mean, and energy distance of a resampled set to true draws, beside that of two true sets."""
        count = settings["draws"]
        truth, other = (self.sample(count, seeded(seed, purpose)) for purpose in (4, 5))
        rows = torch.multinomial(weights, count, replacement=True, generator=seeded(seed, 6))
        return {
            "mean error": float((weights @ x - self.mean).norm()),
            "energy distance": energy_distance(x[rows], truth).value,
            "energy floor": energy_distance(other, truth).value,
        }


# --- table and figures ---------------------------------------------------------------------------------------


ANNEALING = ("TV of modes", "variance ratio", "log Z error", "log Z told", "least ESS")
OTHERS = ("mean error", "energy distance", "energy floor", "log Z error", "log Z told", "least ESS")


def table(results: Results) -> str:
    """Annealing, then everything that is judged on a grid, then the claims."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n"]
    for title, columns, chosen in (
        ("Annealing", ANNEALING, lambda case: case.startswith("annealing")),
        ("Guidance, products, averages", OTHERS, lambda case: not case.startswith("annealing")),
    ):
        rows = [
            [case, *(results.shown(case, name) for name in columns)]
            for case in cases(results.settings)
            if chosen(case) and results.names(case)
        ]
        parts += [f"## {title}\n", markdown(["case", *columns], rows)]
    return "\n".join(parts)


def figures(results: Results) -> list[Figure]:
    """Two targets as points, and every error as a share of that without weights."""
    panels = (
        _points(results, f"annealing, beta = {results.settings['betas'][-1]:g}"),
        _points(results, "digits, product"),
        _shares(results),
    )
    return [Figure(name="targets", panels=panels, width=1100, height=340)]


def _points(results: Results, task: str) -> Panel:
    """True draws, draws without weights, and with."""
    series = [cloud(_truth(task), "true draws", "muted", size=7, alpha=0.6)]
    for how, hue in ((PLAIN, 1), (VELOCITY, 0)):
        arrays = results.arrays(f"{task}: {how}", results.seeds[0])
        series += [cloud(arrays["x"], how, hue, size=6, alpha=0.7)] if arrays else []
    title = task[0].upper() + task[1:]
    return Panel(series=tuple(series), title=title, x=Axis(label="x"), y=Axis(label="y"), legend="best")


def _shares(results: Results) -> Panel:
    """Errors over those without weights, one row per task."""
    rows = [(f"annealing, beta = {beta:g}", "TV of modes") for beta in results.settings["betas"]]
    rows += [(f"guidance, w = {w:g}", "mean error") for w in results.settings["strengths"]]
    # At its floor the energy distance of the average is blind, with and without weights: the mean still tells.
    rows += [("digits, product", "energy distance"), ("bridges, average", "mean error")]
    series = [Series(mark="rule", arrays={"x": 1.0}, hue="muted")]
    for how, hue, symbol in ((SCORE, 1, "s"), (FLOW, 2, "^"), (VELOCITY, 0, "o"), (BALANCED, 3, "D")):
        shares = [results.mean(f"{t}: {how}", n) / results.mean(f"{t}: {PLAIN}", n) for t, n in rows]
        arrays = {"x": np.maximum(shares, 1e-3), "y": range(len(rows))}
        name = "powers add up to 1" if how == BALANCED else how
        series.append(Series(mark="points", arrays=arrays, name=name, hue=hue, symbol=symbol, size=28))
    names = tuple(f"{task}\n{number}" for task, number in rows)
    y = Axis(ticks=tuple(range(len(rows))), names=names, low=len(rows) - 0.5, high=-2.4)
    x = Axis(label="ratio", scale="log", grid=True)
    title = "Error, of that without weights"
    return Panel(
        series=tuple(series), title=title, x=x, y=y, legend="upper left", legend_columns=2, width=1.1
    )


def _truth(task: str) -> Tensor:
    source = seeded(0, 8)
    if task.startswith("annealing"):
        beta = float(task.rpartition("= ")[2])
        shares = WEIGHTS**beta * STDS ** (2 * (1 - beta))
        mode = torch.multinomial(shares, 400, replacement=True, generator=source)
        noise = torch.randn(400, 2, dtype=F64, generator=source)
        return CENTRES[mode] + (STDS[mode] / beta**0.5)[:, None] * noise
    judge = problem_of(task).judge
    grid: Grid = judge.__self__  # type: ignore[attr-defined]
    return grid.sample(400, source)


def _weighted(says: str, task: str, how: str, number: str) -> Stated:
    """A claim about a number with weights, over the same without."""
    return Stated(says, (f"{task}: {how}", number), (f"{task}: {PLAIN}", number), seeds=8)


_NAMED = {"score": (SCORE, 0.4), "flow": (FLOW, 0.4), "velocity": (VELOCITY, 0.1)}
CLAIMS: list[Stated] = []
for _beta in (2, 4):
    _task = f"annealing, beta = {_beta}"
    for _name, (_how, _share) in _NAMED.items():
        _says = f"annealing_{_beta}.{_name}"
        CLAIMS.append(_weighted(f"{_says} < {_share} no_weights", _task, _how, "TV of modes"))
        _spread = (f"{_task}: {_how}", "variance ratio")
        CLAIMS += [Stated(f"{_says}_spread {_limit}", _spread, seeds=8) for _limit in ("> 0.9", "< 1.15")]
CLAIMS += [
    _weighted(f"guidance.{name} < 0.5 no_weights", f"guidance, w = {w}", BALANCED, "mean error")
    for name, w in (("weak", "1.5"), ("strong", "3"))
]
CLAIMS += [
    _weighted(f"digits.{name} < no_weights", "digits, product", how, "energy distance")
    for name, (how, _) in _NAMED.items()
]
CLAIMS.append(_weighted("bridges.mean < no_weights", "bridges, average", BALANCED, "mean error"))


STUDY = Study("feynman_kac", SETTINGS, cases, measure, table, figures, CLAIMS)
