"""Between two mixtures without latent noise, every pair of modes makes a mode of its own at inner times.

From 3 modes to 4 in the plane, for several paths. From the closed forms: the modes of the distribution of x_t, how
many pairs of modes can be told apart at time t, and how steep the velocity is. From networks of one size trained
alike: the error of the learnt velocity, and the distance of its samples from the target.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, shaded
from interpolants.framework.seeds import Results, Stated, compared, markdown
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.encoder_decoder import EncoderDecoder
from interpolants.paths.envelopes import BrownianEnvelope, ZeroEnvelope
from interpolants.paths.linear import Linear
from interpolants.paths.path import Path
from interpolants.paths.trigonometric import Trigonometric
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
PATHS: dict[str, Path] = {
    "linear, gamma = 0": Linear(envelope=ZeroEnvelope()),
    "linear, gamma = sqrt(t(1-t))": Linear(),
    "linear, gamma = sqrt(4t(1-t))": Linear(envelope=BrownianEnvelope(scale=4.0)),
    "trigonometric, gamma = 0": Trigonometric(envelope=ZeroEnvelope()),
    "encoder-decoder": EncoderDecoder(),
}
_DRAWS, _DATA, _START, _TRUTH = range(4)
_STEP = 1e-4  # of the central differences, in data units, in float64

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "times": 5, "draws": 200, "data": 1000, "net": {"width": 16, "depth": 2}, "steps": 40, "batch": 64,
        "lr": 2e-3, "ema": 0.9, "n": 300, "n_steps": 10,
    },
    "laptop": {
        "times": 41, "draws": 2000, "data": 100_000, "net": {"width": 64, "depth": 3}, "steps": 2000, "batch": 512,
        "lr": 2e-3, "ema": 0.99, "n": 5000, "n_steps": 100,
    },
    "full": {
        "times": 81, "draws": 10_000, "data": 1_000_000, "net": {"width": 256, "depth": 4}, "steps": 10_000,
        "batch": 4096, "lr": 2e-3, "ema": 0.999, "n": 20_000, "n_steps": 400,
    },
}  # fmt: skip


def problem() -> GaussianMixtureBridge:
    """Three modes on a circle to four on another, all of one size and none opposite another."""
    return GaussianMixtureBridge(_ring(3, 1.5, 0.4), _ring(4, 2.0, 0.1))


def cases(settings: Settings) -> Sequence[str]:
    """The paths."""
    return tuple(PATHS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Modes and steepness in closed form, then the learnt velocity, for one path."""
    path, bridge = PATHS[case], problem()
    values: dict[str, float] = {}
    steepness = 0.0
    for t in times(settings):
        distribution = bridge.marginal(path, t)
        x = distribution.sample(settings["draws"], generator=_generator(seed, _DRAWS))
        values[f"modes t={t:.3f}"] = len(modes(distribution))
        values[f"distinct t={t:.3f}"] = distinct(distribution, x)
        if 0.01 < t < 0.99:
            steepness += steep(bridge.fields(path), x, t) / (settings["times"] - 2)
    values["most modes"] = max(v for k, v in values.items() if k.startswith("modes "))
    values["most distinct"] = max(v for k, v in values.items() if k.startswith("distinct "))
    values["steepness"] = steepness**0.5
    return measured(values | _learnt(path, bridge, seed, settings))


def times(settings: Settings) -> list[float]:
    """Where in time to look, both ends included."""
    n = settings["times"]
    return [k / (n - 1) for k in range(n)]


def modes(distribution: GaussianMixture, tolerance: float = 1e-2) -> Tensor:
    """The maxima of a mixture's density in the plane, found by ascent from its centres, ``(M, 2)``.

    A Gaussian mixture in the plane may have maxima elsewhere, but components of one shape have none that ascent
    from the centres misses in practice; saddles are left by a small push first.
    """
    push = 1e-3 * torch.tensor([1.0, 0.618], dtype=distribution.dtype)
    x = distribution.means + push
    step = float(distribution.variances.min())
    for _ in range(4000):
        move = step * distribution.score(x)
        x = x + move
        if float(move.abs().max()) < 1e-7:
            break
    found: list[Tensor] = []
    for point in x:
        if all(float((point - other).norm()) > tolerance for other in found):
            found.append(point)
    return torch.stack(found)


def distinct(distribution: GaussianMixture, x: Tensor) -> float:
    """How many components can be told apart: ``exp`` of the information that x carries about its component."""
    weights = distribution.responsibilities(x)
    doubt = -torch.special.xlogy(weights, weights).sum(1).mean()
    prior = -torch.special.xlogy(distribution.weights, distribution.weights).sum()
    return math.exp(float(prior - doubt))


def steep(fields: Fields, x: Tensor, t: float) -> float:
    """``E |grad b|^2`` over the points, per unit of time squared."""
    time, total = torch.tensor(t, dtype=x.dtype), 0.0
    for axis in torch.eye(x.shape[1], dtype=x.dtype) * _STEP:
        ahead, behind = (fields.evaluate(x + d, time, ("velocity",))["velocity"] for d in (axis, -axis))
        total += float(((ahead - behind) / (2 * _STEP)).square().sum(1).mean())
    return total


def _learnt(path: Path, bridge: GaussianMixtureBridge, seed: int, settings: Settings) -> dict[str, float]:
    """Errors of a learnt velocity, and how far its samples are from the target."""
    g, n = _generator(seed, _DATA), settings["data"]
    x0, x1 = (distribution.sample(n, generator=g).float() for distribution in (bridge.rho0, bridge.rho1))
    train = TrainSettings(
        steps=settings["steps"],
        batch_size=settings["batch"],
        lr=settings["lr"],
        schedule="cosine",
        ema=settings["ema"],
        seed=seed,
    )
    net = {"kind": "mlp", **settings["net"]}
    fields = learn_fields(path, x0, x1, heads=("velocity",), net=net, settings=train).fields
    wrong, size = 0.0, 0.0
    exact = bridge.fields(path)
    for t in torch.linspace(0.02, 0.98, 25).tolist():
        x = bridge.marginal(path, t).sample(settings["draws"], generator=_generator(seed, _DRAWS))
        true = exact.velocity(x, t)
        wrong += float((fields.velocity(x.float(), t).double() - true).square().sum(1).mean()) / 25
        size += float(true.square().sum(1).mean()) / 25
    n = settings["n"]
    start = bridge.rho0.sample(n, generator=_generator(seed, _START)).float()
    truth, other = (bridge.rho1.sample(n, generator=_generator(seed, _TRUTH + k)).float() for k in (0, 1))
    made, ideal = (sample(f, start, method="heun", n_steps=settings["n_steps"]).x for f in (fields, exact))
    return {
        "E|db|^2": wrong,
        "E|b|^2": size,
        "relative error": (wrong / size) ** 0.5,
        "energy learnt": energy_distance(truth, made).value,
        "energy exact": energy_distance(truth, ideal).value,
        "energy floor": energy_distance(truth, other).value,
    }


def _ring(count: int, radius: float, turn: float) -> GaussianMixture:
    angle = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count + turn
    means = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(torch.ones(count).double() / count, means, torch.full((count,), 0.2**2).double())


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """What the closed forms say, what was learnt, and how often gamma = 0 was the worse."""
    names = results.cases
    head = ["path", "most modes at a time", "most pairs told apart", "rms of grad b", "E\\|b\\|^2"]
    keys = ("steepness", "E|b|^2")
    exact = [
        [name, f"{results.values(name, 'most modes')[0]:.0f}", results.shown(name, "most distinct", 2)]
        + [results.shown(name, key, 2) for key in keys]
        for name in names
    ]
    learnt = [
        [name] + [results.shown(name, key) for key in ("E|db|^2", "relative error")]
        + [results.shown(name, f"energy {key}", 2, 1000) for key in ("learnt", "exact", "floor")]
        for name in names
    ]  # fmt: skip
    words = ["path", "E\\|db\\|^2", "relative error of b", "ODE, learnt b", "ODE, exact b", "two true sets"]
    return "\n".join(
        [
            results.head,
            "The ends have 3 and 4 modes.\n",
            "**Closed forms**\n",
            markdown(head, exact),
            "**Learnt velocity: squared error, and energy distance to the target x 1000**\n",
            markdown(words, learnt),
            "**Seed by seed**\n",
            _findings(results, names),
        ]
    )


def _findings(results: Results, names: list[str]) -> str:
    first, rows = next(iter(PATHS)), []
    for key in ("E|db|^2", "relative error", "energy learnt"):
        for name in names:
            if name != first:
                text = f"{first} is worse than {name} ({key})".replace("|", "\\|")
                rows.append(compared(text, results.values(first, key), results.values(name, key)))
    return markdown(["statement", "difference", "holds in seeds"], rows)


def figures(results: Results) -> list[Figure]:
    """The distributions of x_t, and how many modes can be told apart."""
    return [_distributions(), _counts(results)]


def _distributions() -> Figure:
    bridge, side = problem(), torch.linspace(-3.2, 3.2, 120, dtype=torch.float64)
    grid, moments, panels = torch.cartesian_prod(side, side), (0.0, 0.25, 0.5, 0.75, 1.0), []
    for name, path in PATHS.items():
        for t in moments:
            distribution = bridge.marginal(path, t)
            top = modes(distribution)
            crosses = {"x": top[:, 0], "y": top[:, 1]}
            series = (
                shaded(distribution.log_prob(grid).exp().reshape(120, 120).sqrt(), 3.2),
                Series(mark="points", arrays=crosses, hue=1, symbol="x", size=12),
            )
            x = Axis(ticks=(-2, 0, 2))
            y = Axis(ticks=(-2, 0, 2), label=name if t == 0 else "")
            title = f"t = {t:g}: {len(top)} {'mode' if len(top) == 1 else 'modes'}"
            panels.append(Panel(series=series, title=title, x=x, y=y, equal=True))
    height = 175 * len(PATHS)
    return Figure(name="distributions", panels=tuple(panels), columns=len(moments), width=860, height=height)


def _counts(results: Results) -> Figure:
    moments, panels = times(results.settings), []
    for key, title, y in (
        ("modes", "Modes of the distribution of x_t", "number of maxima"),
        ("distinct", "Pairs of modes told apart from x_t", "effective number"),
    ):
        series = tuple(
            replace(
                results.curve(moments, [(name, f"{key} t={t:.3f}") for t in moments], name, k, errors=False),
                symbol="", dash=("-", "--", "-.", ":", "-")[k],
            )
            for k, name in enumerate(results.cases)
        )  # fmt: skip
        x, legend = Axis(label="time t"), "best" if panels else ""
        panels.append(Panel(series=series, title=title, x=x, y=Axis(label=y, grid=True), legend=legend))
    return Figure(name="modes", panels=tuple(panels), width=900, height=340)


_BARE, _LATENT = "linear, gamma = 0", "linear, gamma = sqrt(t(1-t))"
CLAIMS = (
    Stated("bare.modes > latent", (_BARE, "most modes"), (_LATENT, "most modes")),
    Stated("latent.modes <= 4", (_LATENT, "most modes")),
    Stated("latent.energy < bare", (_LATENT, "energy learnt"), (_BARE, "energy learnt")),
    Stated("more_latent.velocity_error < bare", ("linear, gamma = sqrt(4t(1-t))", "E|db|^2"), (_BARE, "E|db|^2"),
           expected="fails"),
)  # fmt: skip

STUDY = Study("spurious_modes", SETTINGS, cases, measure, table, figures, CLAIMS)
