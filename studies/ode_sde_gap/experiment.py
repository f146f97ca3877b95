"""Does a penalty on the Fokker-Planck residual close the gap between flow and SDE?

Nine blobs in the plane under an Ornstein-Uhlenbeck process, ``dx = -x ds + dW`` for four units of time; their log
density u is learnt by denoising, with a penalty of some weight w on the residual ``R = du/ds - ...`` of its equation.
Network, data, budget and noise are the same for all weights. Everything is judged where the process has run for 0.02,
against the exact distribution there.

Letters: s time of the process, 0 at the data; ``t = 1 - s/4`` the library's. Per unit of s the residual is a quarter of
that per unit of t, so that the weight w of the paper is ``w / 16`` here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.diagnostics import log_density_mismatch, ode_sde_gap
from interpolants.dynamics import ReverseNoise
from interpolants.fields import LearnedFields, continuity_residual
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, cloud, shaded
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.metrics import energy_distance
from interpolants.objectives import FokkerPlanckResidual, StratifiedTimes
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.vp import VariancePreservingDecay
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.problems.mixture_bridge import MixtureFields
from interpolants.training.pairs import Learnt, learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
DURATION, STOPPED = 4.0, 0.02
STOP = 1 - STOPPED / DURATION
BOX, ALONG = "box", "along the path"
_DATA, _START, _TRUE, _OTHER, _POINTS, _METRIC = range(6)

_SHARED = {"box": 4.5, "lr": 2e-3, "batch": 256, "points": 128, "weights": [0.0, 0.01, 0.1]}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        **_SHARED, "net": {"width": 24, "depth": 2}, "train": 30, "data": 2000, "n": 200, "n_steps": 40, "judged": 100,
    },
    "laptop": {
        **_SHARED, "net": {"width": 80, "depth": 3}, "train": 1500, "data": 50_000, "n": 2000, "n_steps": 50,
        "judged": 600,
    },
    "full": {
        **_SHARED, "batch": 4096, "points": 1024, "weights": [0.0, 0.01, 0.1, 1.0], "net": {"width": 128, "depth": 3},
        "train": 50_000, "data": 1_000_000, "n": 20_000, "n_steps": 400, "judged": 5000,
    },
}  # fmt: skip


@dataclass(frozen=True)
class OUPath(VariancePreservingDecay):
    """``dx = -x ds + dW`` for some time, backwards: the stationary N(0, 1/2) at t = 0, the data at t = 1."""

    duration: float = DURATION
    base: Gaussian = field(default_factory=lambda: Gaussian(scale=0.5**0.5))
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def decay(self, t: Tensor) -> Tensor:
        """Twice the time that the process has run."""
        return 2 * self.duration * (1 - t)

    def decay_rate(self, t: Tensor) -> Tensor:
        """Twice the duration."""
        return torch.full_like(t, 2 * self.duration)


PATH = OUPath()


def cases(settings: Settings) -> Sequence[str]:
    """The weights, with the residual asked for in a box, and the largest of them along the path instead."""
    first, *rest = settings["weights"]
    return (f"w = {first:g}", *(f"w = {w:g}, {BOX}" for w in rest), f"w = {rest[-1]:g}, {ALONG}")


@lru_cache(maxsize=1)
def blobs() -> GaussianMixture:
    """Nine blobs on a turned square grid, standard deviation 0.29."""
    places = [(0, 0), *((i, j) for i in (-2, 2) for j in (-2, 2)), (4, 0), (-4, 0), (0, 4), (0, -4)]
    means = 0.65 * torch.tensor(places, dtype=torch.float64)
    variance = 0.65**2 * 0.2
    return GaussianMixture(
        torch.full((9,), 1 / 9, dtype=torch.float64), means, torch.full((9, 2), variance).double()
    )


@lru_cache(maxsize=1)
def truth() -> MixtureFields:
    """The exact fields of the process."""
    return GaussianMixtureBridge(Gaussian((2,), scale=0.5**0.5), blobs()).fields(PATH)


def learn(case: str, seed: int, settings: Settings) -> Learnt:
    """The log density, with the penalty that the case names."""
    head, _, where = case.partition(", ")
    weight = float(head.removeprefix("w = "))
    box = settings["box"]
    inside = {"box": (-box, box), "box_share": 1.0} if where == BOX else {}
    term = FokkerPlanckResidual(
        PATH, weight=weight / DURATION**2, points=settings["points"], margin=1 - STOP, **inside
    )
    x1 = blobs().sample(settings["data"], generator=_generator(seed, _DATA)).float()
    return learn_fields(
        PATH,
        None,
        x1,
        heads=("log_density",),
        net={"kind": "mlp", **settings["net"]},
        times=StratifiedTimes(margin=1e-3),
        penalties=[term],
        settings=TrainSettings(
            steps=settings["train"],
            batch_size=settings["batch"],
            lr=settings["lr"],
            schedule="cosine",
            ema=0.995,
            seed=seed,
        ),
    )


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One weight: what the density says of its own flow, and where flow and SDE arrive."""
    learnt = learn(case, seed, settings)
    values = _densities(learnt.fields, seed, settings) | _residual(learnt, seed, settings)
    values["training, seconds"] = learnt.result.seconds
    samples, arrays = _samples(learnt.fields, seed, settings)
    return measured(values | samples, arrays if seed == 0 else {}, timed=("training, seconds",))


def _densities(fields: LearnedFields, seed: int, settings: Settings) -> dict[str, float]:
    """Spreads over data of u, log q (flow) and log p (truth) against each other, where the process has run for 0.02."""
    true = truth()
    x = true.marginal(STOP).sample(settings["judged"], generator=_generator(seed, _POINTS)).float()
    found = log_density_mismatch(fields, x, stop=STOP, method="rk4", n_steps=settings["n_steps"])
    exact = true.log_prob(x, STOP)
    return {
        "u - log q": found.spread,
        "log q - log p": float((found.log_prob - exact).std()),
        "u - log p": float((found.value + found.log_prob - exact).std()),
        "mean of log p - log q": float((exact - found.log_prob).mean()),
    }


def _residual(learnt: Learnt, seed: int, settings: Settings) -> dict[str, float]:
    """Root mean square residual per unit of s along the path, and the error of the score beside the noise's size."""
    term = FokkerPlanckResidual(PATH, points=4 * settings["judged"], margin=1 - STOP)
    x1 = blobs().sample(settings["judged"], generator=_generator(seed, _POINTS)).float()
    points = term.draw(None, x1, None, _generator(seed, _OTHER))
    with torch.no_grad():
        residual = continuity_residual(PATH, learnt.net, points.x, points.t)
        apart = residual.score - truth().evaluate(points.x, points.t, ("score",))["score"]
        error = (PATH.noise_std(points.t)[:, None] * apart).square().sum(1).mean()
    return {
        "residual": float(residual.value.square().mean().sqrt()) / DURATION,
        "score error": float(error.sqrt()),
    }


def _samples(fields: LearnedFields, seed: int, settings: Settings) -> tuple[dict[str, float], dict[str, Any]]:
    """Energy distances of both samplers to the truth, and of each other; bounds of their gap."""
    n = settings["n"]
    start = PATH.base.color(torch.randn(2 * n, 2, generator=_generator(seed, _START)))
    gap = ode_sde_gap(
        fields,
        start,
        eps=ReverseNoise(),
        base=PATH.base,
        n_steps=settings["n_steps"],
        stop=STOP,
        metric=energy_distance,
        bounds=128,
        seed=seed,
    )
    distribution = truth().marginal(STOP)
    true, other = (distribution.sample(n, generator=_generator(seed, k)).float() for k in (_TRUE, _METRIC))
    assert gap.score is not None
    values = {
        "ODE to truth": energy_distance(true, gap.ode).value,
        "SDE to truth": energy_distance(true, gap.sde).value,
        "ODE to SDE": gap.distance.value,
        "truth to truth": energy_distance(true, other).value,
        "KL bound": gap.score.kl_bound,
    }
    kept = {"ode": gap.ode[:1500].half().numpy(), "sde": gap.sde[:1500].half().numpy()}
    return values, kept


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


_DENSITIES = ("u - log q", "log q - log p", "u - log p", "residual", "score error")
_DISTANCES = ("ODE to truth", "SDE to truth", "ODE to SDE", "truth to truth")
# What must hold: self-consistency at the largest weight against none.
_RULE = 0.7


def table(results: Results) -> str:
    """Densities, samples, and every weight against none, seed by seed."""
    named, stds = results.cases, [f"std {name}" for name in _DENSITIES[:3]]
    head = ["nats", *stds, "residual, rms", "score error, rms", "training, s"]
    rows = results.rows(named, (*_DENSITIES, "training, seconds"))
    text = results.head + "\n" + markdown(head, rows) + "\n"
    head = ["energy distance x 1000", *_DISTANCES, "bound of KL(ODE \\|\\| SDE), nats"]
    rows = [
        [case, *(results.shown(case, name, 2, 1000) for name in _DISTANCES),
         results.shown(case, "KL bound", 4)]
        for case in named
    ]  # fmt: skip
    text += markdown(head, rows) + "\n"
    head = ["against w = 0", "std u - log q, ratio", f"at most {_RULE} in seeds", "KL bound, ratio"]
    return text + markdown(head, [_against_none(results, case) for case in named[1:]])


def _against_none(results: Results, case: str) -> list[str]:
    first = cases(results.settings)[0]
    ratios = {}
    for name in ("u - log q", "KL bound"):
        own, none = results.values(case, name), results.values(first, name)
        ratios[name] = [a / b for a, b in zip(own, none, strict=False)]
    kept = ratios["u - log q"]
    good = sum(ratio <= _RULE for ratio in kept)
    return [case, shown(kept, 2), f"{good} of {len(kept)}", shown(ratios["KL bound"], 2)]


def figures(results: Results) -> list[Figure]:
    """Self-consistency, distances to the truth, and samples of the first seed."""
    ticks = tuple(range(len(results.cases)))
    x = Axis(ticks=ticks, names=tuple(case.replace(", ", "\n") for case in results.cases))
    panels = []
    for title, unit, factor, names in (
        ("Densities over data", "nats", 1, {"u - log q": "std of u - log q", "log q - log p": "std of log q - log p"}),
        ("Samples", "energy distance x 1000", 1000, {name: name for name in (*_DISTANCES[:2], _DISTANCES[3])}),
    ):  # fmt: skip
        series = []
        for k, (name, words) in enumerate(names.items()):
            at, numbers = [tick + 0.08 * (k - 1) for tick in ticks], [(case, name) for case in results.cases]
            series.append(results.curve(at, numbers, words, k, factor=factor))
        y = Axis(label=unit, grid=True)
        panels.append(Panel(series=tuple(series), title=title, x=x, y=y, legend="best"))
    return [Figure(name="ode_sde_gap", panels=(*panels, _cloud_panel(results)), width=940, height=300)]


def _cloud_panel(results: Results) -> Panel:
    side = torch.linspace(-3.8, 3.8, 121, dtype=torch.float64)
    density = truth().log_prob(torch.cartesian_prod(side, side), STOP).exp().reshape(121, 121)
    series, last = [shaded(density, 3.8, high=2 * float(density.max()), hue="muted")], results.cases[-1]
    arrays = results.arrays(last, 0)
    series += [
        cloud(arrays[name], name.upper(), k, size=1.2) for k, name in enumerate(("ode", "sde")) if arrays
    ]
    axis = Axis(low=-3.8, high=3.8)
    return Panel(
        series=tuple(series), title=f"Samples, {last}", x=axis, y=axis, equal=True, legend="upper right"
    )


_BOX, _NONE = "w = 0.1, box", "w = 0"
CLAIMS = (
    Stated("penalty.gap < 0.7 none", (_BOX, "u - log q"), (_NONE, "u - log q")),
    Stated("along_the_path.gap < box", ("w = 0.1, along the path", "u - log q"), (_BOX, "u - log q")),
    Stated("penalty.kl_bound < none", (_BOX, "KL bound"), (_NONE, "KL bound")),
    Stated("penalty.score_error < none", (_BOX, "score error"), (_NONE, "score error"), expected="fails"),
)

STUDY = Study("ode_sde_gap", SETTINGS, cases, measure, table, figures, CLAIMS)
