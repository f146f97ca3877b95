"""Which fields to learn, and how much noise to sample with, from a Gaussian to five modes in 128 dimensions.

Learnt are the velocity b or the mean rate v, and the score s or the noise eta, each by a network of its own. Samples of
each pair at each noise level eps are compared with true ones by the Kullback-Leibler divergence between kernel
density estimates of the first two coordinates. The closed-form fields give the errors ``db`` and ``ds`` of what was
learnt, and with them the bound ``int E|db + eps ds|^2 / (4 eps)`` on the divergence of the whole distribution,
smallest at ``eps* = sqrt(int E|db|^2 / int E|ds|^2)``.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.seeds import Results, Stated, compared, markdown
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.kde_kl import kde_kl
from interpolants.paths.linear import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
PAIRS = {
    "b, s": ("velocity", "score"),
    "b, eta": ("velocity", "noise"),
    "v, s": ("mean_rate", "score"),
    "v, eta": ("mean_rate", "noise"),
}
# One Gaussian sample set per purpose; a target of its own for all seeds, as in the paper.
_DATA, _START, _TRUTH, _NOISE, _DRAWS = range(5)
_TARGET_SEED = 0

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "dim": 8, "spread": 3.0, "modes": 5, "eps": [0.0, 1.0], "data": 2000, "net": {"width": 32, "depth": 2},
        "steps": 40, "batch": 64, "lr": 2e-3, "schedule": "cosine", "every": 1, "gamma": 1.0, "ema": 0.9,
        "n": 500, "ode": "heun", "n_steps": 10, "energy_n": 300, "times": 5, "draws": 100,
    },
    "laptop": {
        "dim": 128, "spread": 7.5, "modes": 5, "eps": [0.0, 0.5, 1.0, 2.0, 4.0, 8.0], "data": 50_000,
        "net": {"width": 192, "depth": 3, "residual": True},
        "steps": 2500, "batch": 256, "lr": 2e-3, "schedule": "cosine", "every": 1, "gamma": 1.0, "ema": 0.99,
        "n": 4000, "ode": "heun", "n_steps": 100, "energy_n": 3000, "times": 50, "draws": 500,
    },
    "full": {
        "dim": 128, "spread": 7.5, "modes": 5, "eps": [0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0],
        "data": 1_000_000, "net": {"width": 512, "depth": 4, "activation": "relu"},
        "steps": 9000, "batch": 4000, "lr": 2e-3, "schedule": "step", "every": 1500, "gamma": 0.5, "ema": 0.999,
        "n": 50_000, "ode": "dopri5", "n_steps": 1000, "energy_n": 5000, "times": 100, "draws": 2000,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """The four pairs."""
    return tuple(PAIRS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Errors of the fields, and the divergence at every noise level, for one pair."""
    problem, path = _problem(settings), Linear()
    nets = {name: _learnt(name, seed, json.dumps(dict(settings))) for name in PAIRS[case]}
    learnt: dict[str, Any] = dict(nets)
    fields = LearnedFields(path, **learnt)
    values = field_errors(fields, problem, seed, settings)
    n = settings["n"]
    start, truth = _normal(n, seed, settings), _target(n, _TRUTH, seed, settings)
    other = _target(n, _DRAWS, seed, settings)
    values |= {f"floor {k}": v for k, v in distances(truth, other, seed, settings).items()}
    for eps in settings["eps"]:
        made = sample(
            fields,
            start,
            eps=eps,
            seed=1000 * seed + _NOISE,
            method=settings["ode"] if eps == 0 else "stochastic_heun",
            n_steps=settings["n_steps"],
        )
        found = distances(truth, made.x, seed, settings)
        values |= {f"eps={eps:g} {name}": value for name, value in found.items()}
    return measured(values)


def distances(truth: Tensor, made: Tensor, seed: int, settings: Settings) -> dict[str, float]:
    """Divergence of the first two coordinates' kernel estimates (nats), and energy distance in all coordinates."""
    n = settings["energy_n"]
    kl = kde_kl(truth, made, dims=(0, 1), generator=_generator(seed, _TRUTH))
    energy = energy_distance(truth[:n], made[:n], generator=_generator(seed, _TRUTH))
    return {"kl": kl.value, "energy": energy.value}


def field_errors(
    fields: Fields, problem: GaussianMixtureBridge, seed: int, settings: Settings
) -> dict[str, float]:
    """Squared errors of velocity and score, integrated over time, and what they predict."""
    exact, path, draws = problem.fields(Linear()), Linear(), settings["draws"]
    g = _generator(seed, _DRAWS)
    sums = dict.fromkeys(("b", "s", "cross", "b size", "s size"), 0.0)
    with torch.no_grad():
        for t in (torch.arange(settings["times"]) + 0.5) / settings["times"]:
            x0 = torch.randn(draws, settings["dim"], generator=g)
            x1 = problem.rho1.sample(draws, generator=g).float()
            x = path.sample(x0=x0, x1=x1, t=t, generator=g).x_t
            true = exact.evaluate(x.double(), t.double(), ("velocity", "score"))
            found = fields.evaluate(x, t, ("velocity", "score"))
            db, ds = (found[name].double() - true[name] for name in ("velocity", "score"))
            terms = {"b": db * db, "s": ds * ds, "cross": db * ds}
            terms |= {"b size": true["velocity"].square(), "s size": true["score"].square()}
            for name, term in terms.items():
                sums[name] += float(term.sum(1).mean()) / settings["times"]
    values = {
        "E|db|^2": sums["b"],
        "E|ds|^2": sums["s"],
        "relative b": (sums["b"] / sums["b size"]) ** 0.5,
        "relative s": (sums["s"] / sums["s size"]) ** 0.5,
        "eps*": (sums["b"] / sums["s"]) ** 0.5,
    }
    for eps in settings["eps"]:
        if eps > 0:
            total = sums["b"] + 2 * eps * sums["cross"] + eps**2 * sums["s"]
            values[f"eps={eps:g} bound"] = total / (4 * eps)
    return values


@lru_cache(maxsize=8)
def _learnt(field: str, seed: int, settings_text: str) -> nn.Module:
    """The network of one field; both pairs that use it share it."""
    settings = json.loads(settings_text)
    x0, x1 = (
        _normal(settings["data"], seed, settings, _DATA),
        _target(settings["data"], _DATA, seed, settings),
    )
    train = TrainSettings(
        steps=settings["steps"],
        batch_size=settings["batch"],
        lr=settings["lr"],
        schedule=settings["schedule"],
        every=settings["every"],
        gamma=settings["gamma"],
        ema=settings["ema"],
        seed=seed,
    )
    net = {"kind": "mlp", **settings["net"]}
    return learn_fields(Linear(), x0, x1, heads=(field,), net=net, settings=train).net


def _problem(settings: Settings) -> GaussianMixtureBridge:
    dim = settings["dim"]
    base = GaussianMixture([1.0], torch.zeros(1, dim).double(), torch.ones(1).double())
    target = GaussianMixture.random(settings["modes"], dim, settings["spread"], _TARGET_SEED)
    return GaussianMixtureBridge(base, target)


def _normal(n: int, seed: int, settings: Settings, purpose: int = _START) -> Tensor:
    return torch.randn(n, settings["dim"], generator=_generator(seed, purpose))


def _target(n: int, purpose: int, seed: int, settings: Settings) -> Tensor:
    return _problem(settings).rho1.sample(n, generator=_generator(seed, purpose + 10)).float()


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Divergences against eps, what was best, what was predicted, and the findings of the paper, counted by seeds."""
    pairs = [pair for pair in PAIRS if results.values(pair, "eps*")]
    levels = results.settings["eps"]
    head = ["learnt", *(f"eps = {eps:g}" for eps in levels), "two true sets"]
    parts = [results.head]
    for metric, title, digits in (
        ("kl", "KL of kernel estimates, first two coordinates (1/1000 nat)", 2),
        ("energy", "Energy distance, all coordinates", 3),
    ):
        factor = 1000 if metric == "kl" else 1
        keys = [*(f"eps={eps:g} {metric}" for eps in levels), f"floor {metric}"]
        rows = [[pair, *(results.shown(pair, key, digits, factor) for key in keys)] for pair in pairs]
        parts += [f"**{title}**\n", markdown(head, rows)]
    parts += ["**What was learnt, and the noise level it predicts**\n", _errors(results, pairs)]
    parts += ["**Seed by seed**\n", _findings(results, pairs)]
    return "\n".join(parts)


def best_levels(results: Results, pair: str, metric: str = "kl") -> list[float]:
    """The best noise level of a pair in each seed."""
    levels = results.settings["eps"]
    curves = np.array([results.values(pair, f"eps={eps:g} {metric}") for eps in levels])
    return [float(levels[i]) for i in curves.argmin(0)]


def predicted_level(results: Results, pair: str) -> float:
    """The noise level of those tried, other than 0, that is nearest to the predicted one by its ratio."""
    star = results.mean(pair, "eps*")
    levels = [float(eps) for eps in results.settings["eps"] if eps > 0]
    return min(levels, key=lambda eps: abs(np.log(eps / star)))


def _errors(results: Results, pairs: list[str]) -> str:
    head = ["learnt", "relative error of b", "relative error of s", "predicted eps*", "best eps by KL, each seed",
            "best eps by energy distance, each seed"]  # fmt: skip
    rows = []
    for pair in pairs:
        numbers = [results.shown(pair, name) for name in ("relative b", "relative s", "eps*")]
        best = [
            ", ".join(f"{eps:g}" for eps in best_levels(results, pair, metric)) for metric in ("kl", "energy")
        ]
        rows.append([pair, *numbers, *best])
    return markdown(head, rows)


def _findings(results: Results, pairs: list[str]) -> str:
    rows = []
    for metric in ("kl", "energy"):
        low = {pair: _lowest(results, pair, metric) for pair in pairs}
        for pair in pairs:
            ode = results.values(pair, f"eps=0 {metric}")
            rows.append(
                compared(f"{pair}: eps = 0 is worse than the best eps > 0 ({metric})", ode, low[pair])
            )
            near = predicted_level(results, pair)
            fixed = results.values(pair, f"eps={near:g} {metric}")
            text = f"{pair}: eps = 0 is worse than eps = {near:g}, next to eps* ({metric})"
            rows.append(compared(text, ode, fixed))
        for worse, better in (("v, s", "b, s"), ("v, eta", "b, eta"), ("b, s", "b, eta"), ("v, s", "v, eta")):
            if worse in low and better in low:
                text = f"({worse}) is worse than ({better}), each at its best eps > 0 ({metric})"
                rows.append(compared(text, low[worse], low[better]))
        for worse, better in (("v, s", "b, s"), ("v, eta", "b, eta")):
            if worse in low and better in low:
                odes = [results.values(pair, f"eps=0 {metric}") for pair in (worse, better)]
                rows.append(compared(f"({worse}) is worse than ({better}) at eps = 0 ({metric})", *odes))
    return markdown(["statement", "difference", "holds in seeds"], rows)


def _lowest(results: Results, pair: str, metric: str) -> list[float]:
    levels = [eps for eps in results.settings["eps"] if eps > 0]
    curves = np.array([results.values(pair, f"eps={eps:g} {metric}") for eps in levels])
    return [float(value) for value in curves.min(0)]


def figures(results: Results) -> list[Figure]:
    """Divergence against eps for the four pairs, with the predicted noise levels."""
    levels, panels = results.settings["eps"], []
    pairs = [pair for pair in PAIRS if results.values(pair, "eps*")]
    for metric, title, y in (
        ("kl", "First two coordinates", Axis(label="KL of kernel estimates", unit="nat", low=0, grid=True)),
        ("energy", "All coordinates", Axis(label="energy distance", grid=True)),
    ):
        series = []
        for k, pair in enumerate(pairs):
            series.append(
                results.curve(levels, [(pair, f"eps={eps:g} {metric}") for eps in levels], f"({pair})", k)
            )
            star = {"x": results.mean(pair, "eps*")}
            series.append(Series(mark="rule", arrays=star, hue=k, dash=":"))
        if metric == "kl":
            series.append(across(results.mean(pairs[0], "floor kl"), "two true sets"))
        x = Axis(
            label="noise level eps", scale="symlog", near_zero=0.5, ticks=tuple(levels),
            low=-0.1, high=1.2 * levels[-1],
        )  # fmt: skip
        panels.append(
            Panel(series=tuple(series), title=title, x=x, y=y, legend="best" if metric == "kl" else "")
        )
    return [Figure(name="mixture128", panels=tuple(panels), width=980, height=400)]


CLAIMS = (
    Stated("noise_bs.kl < ode", ("b, s", "eps=2 kl"), ("b, s", "eps=0 kl")),
    Stated("noise_beta.kl < ode", ("b, eta", "eps=2 kl"), ("b, eta", "eps=0 kl")),
    Stated("noise_bs.energy < ode", ("b, s", "eps=2 energy"), ("b, s", "eps=0 energy")),
    Stated("drift.error < velocity", ("b, s", "relative b"), ("v, s", "relative b")),
    Stated("eta.error < score", ("b, eta", "relative s"), ("b, s", "relative s"), expected="fails"),
)

STUDY = Study("mixture128", SETTINGS, cases, measure, table, figures, CLAIMS)
