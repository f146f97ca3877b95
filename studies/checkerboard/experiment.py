"""What the latent envelope gamma and the noise level eps do to samples, from a Gaussian to the checkerboard.

For every envelope the velocity and the noise are learnt, each by a network of its own (the velocity alone where
gamma = 0), and sampled by the ODE and by SDEs; for two envelopes also velocity and score. Samples are compared with the
board through kernel density estimates of one fixed bandwidth, as ``density`` explains: mean and variance of
``|log rho1 - log rhohat1|`` under the board.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, shaded
from interpolants.framework.seeds import Results, Stated, compared, markdown
from interpolants.paths.envelopes import (
    BrownianEnvelope,
    Envelope,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    ZeroEnvelope,
)
from interpolants.paths.linear import Linear
from interpolants.problems.checkerboard_bridge import CheckerboardBridge
from interpolants.problems.toys import Checkerboard
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.checkerboard.density import BoardGrid
from studies.common import Study

Settings = Mapping[str, Any]
ENVELOPES: dict[str, Envelope] = {
    "sqrt(t(1-t))": BrownianEnvelope(),
    "t(1-t)": QuadraticEnvelope(),
    "sin^2(pi t)": SineSquaredEnvelope(),
    "sigmoids": SigmoidEnvelope(),
    "0": ZeroEnvelope(),
}
# Beside the envelopes: one trained for longer, two with the score learnt in place of the noise.
LONGER, SCORE = ", longer", ", score learnt"
VARIANTS = (f"sqrt(t(1-t)){SCORE}", f"t(1-t){SCORE}", f"sqrt(t(1-t)){LONGER}")
NUMBERS = ("gap mean", "gap variance", "raw gap mean", "raw gap variance", "kl", "variation", "off board")
_DATA, _START, _NOISE, _TRUTH, _DRAWS = range(5)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "eps": [0.0, 1.0], "data": 2000, "net": {"width": 32, "depth": 2}, "steps": 60, "batch": 128, "lr": 2e-3,
        "schedule": "cosine", "every": 1, "gamma": 1.0, "ema": 0.9, "n": 1000, "n_steps": 10, "h": 0.15,
        "longer": 2, "draws": 100,
    },
    "laptop": {
        "eps": [0.0, 0.1, 0.5, 1.0, 2.5], "data": 200_000, "net": {"width": 128, "depth": 4}, "steps": 3000,
        "batch": 512, "lr": 2e-3, "schedule": "cosine", "every": 1, "gamma": 1.0, "ema": 0.999, "n": 20_000,
        "n_steps": 100, "h": 0.15, "longer": 4, "draws": 2000,
    },
    "full": {
        "eps": [0.0, 0.1, 0.5, 1.0, 2.5], "data": 3_000_000,
        "net": {"width": 512, "depth": 4, "activation": "relu"}, "steps": 7000, "batch": 10_000, "lr": 2e-3,
        "schedule": "step", "every": 1500, "gamma": 0.5, "ema": 0.999, "n": 300_000, "n_steps": 300, "h": 0.1,
        "longer": 4, "draws": 10_000,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """The envelopes and the variants."""
    return (*ENVELOPES, *VARIANTS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """All noise levels of one envelope."""
    path = Linear(envelope=ENVELOPES[case.removesuffix(LONGER).removesuffix(SCORE)])
    longer = settings["longer"] if case.endswith(LONGER) else 1
    noise = "score" if case.endswith(SCORE) else "noise"
    heads = ("velocity",) if path.envelope.is_zero else ("velocity", noise)
    networks: dict[str, Any] = {head: _learn(path, head, seed, settings, longer) for head in heads}
    fields = LearnedFields(path, **networks)
    grid = BoardGrid(Checkerboard(), settings["h"])
    start = torch.randn(settings["n"], 2, generator=_generator(seed, _START))
    values = _errors(fields, path, seed, settings)
    truth = Checkerboard().sample(settings["n"], generator=_generator(seed, _TRUTH))
    values |= {f"floor {name}": value for name, value in compare(grid, truth).items()}
    arrays = {}
    for eps in settings["eps"] if fields.has_score else (0.0,):
        options: dict[str, Any] = {"seed": 1000 * seed + _NOISE, "n_steps": settings["n_steps"]}
        made = sample(fields, start, eps=eps, method="heun", **options).x
        values |= {f"eps={eps:g} {name}": value for name, value in compare(grid, made).items()}
        if seed == 0:
            arrays[f"eps={eps:g}"] = grid.picture(grid.density(made))
    return measured(values, arrays)


def compare(grid: BoardGrid, x: Tensor) -> dict[str, float]:
    """All numbers of one sample set, named as in ``NUMBERS``."""
    density = grid.density(x)
    gap, raw = grid.gap(density), grid.raw_gap(density)
    numbers = (gap.mean, gap.variance, raw.mean, raw.variance)
    more = (grid.divergence(density), grid.variation(density), grid.off_board(x))
    return dict(zip(NUMBERS, (*numbers, *more), strict=True))


def _errors(fields: Fields, path: Linear, seed: int, settings: Settings) -> dict[str, float]:
    """Squared errors of velocity and score over t in [0.02, 0.98], and the noise level of the least bound."""
    exact, g = CheckerboardBridge().fields(path), _generator(seed, _DRAWS)
    names = ("velocity", "score") if fields.has_score else ("velocity",)
    times = torch.linspace(0.02, 0.98, 25)
    sums = np.zeros(len(names))
    with torch.no_grad():
        for t in times:
            x0 = torch.randn(settings["draws"], 2, generator=g)
            x1 = Checkerboard().sample(settings["draws"], generator=g)
            x = path.sample(x0=x0, x1=x1, t=t, generator=g).x_t
            true, found = exact.evaluate(x.double(), t.double(), names), fields.evaluate(x, t, names)
            sums += [float((found[k] - true[k]).square().sum(1).mean()) / len(times) for k in names]
    values = {f"E|d {name}|^2": float(value) for name, value in zip(names, sums, strict=True)}
    return values | ({"eps*": float((sums[0] / sums[1]) ** 0.5)} if len(names) == 2 else {})


def _learn(path: Linear, head: str, seed: int, settings: Settings, longer: int) -> nn.Module:
    g = _generator(seed, _DATA)
    x0 = torch.randn(settings["data"], 2, generator=g)
    x1 = Checkerboard().sample(settings["data"], generator=g)
    train = TrainSettings(
        steps=settings["steps"] * longer,
        batch_size=settings["batch"],
        lr=settings["lr"],
        schedule=settings["schedule"],
        every=settings["every"] * longer,
        gamma=settings["gamma"],
        ema=settings["ema"],
        seed=seed,
    )
    net = {"kind": "mlp", **settings["net"]}
    return learn_fields(path, x0, x1, heads=(head,), net=net, settings=train).net


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


_TITLES = {
    "gap mean": "Mean of |log rho1 - log rhohat1| under the board, both smoothed alike (nat)",
    "gap variance": "Variance of the same (nat^2)",
    "raw gap mean": "Mean of |log rho1 - log rhohat1|, rho1 not smoothed (nat)",
    "kl": "KL(rho1 || rhohat1), both smoothed alike (nat)",
    "variation": "Total variation, both smoothed alike",
    "off board": "Share of samples off the board",
}


def table(results: Results) -> str:
    """Every number against envelope and noise level, then the statements of the paper seed by seed."""
    names, levels = results.cases, results.settings["eps"]
    head = ["gamma", *(f"eps = {eps:g}" for eps in levels)]
    parts = [results.head]
    for number, title in _TITLES.items():
        rows = [[name, *(results.shown(name, f"eps={eps:g} {number}") for eps in levels)] for name in names]
        rows.append(["true samples", results.shown(names[0], f"floor {number}")] + [""] * (len(levels) - 1))
        parts += [f"**{title}**\n", markdown(head, rows)]
    errors = results.rows(names, ("E|d velocity|^2", "E|d score|^2", "eps*"))
    parts += ["**Squared errors of the fields, mean over t in [0.02, 0.98]**\n"]
    parts += [markdown(["gamma", "E\\|db\\|^2", "E\\|ds\\|^2", "predicted eps*"], errors)]
    parts += ["**Seed by seed**\n", _findings(results, names)]
    return "\n".join(parts)


def _findings(results: Results, names: list[str]) -> str:
    rows = []
    for number in ("gap mean", "kl", "off board"):
        for name in names:
            ode = results.values(name, f"eps=0 {number}")
            for eps in results.settings["eps"][1:]:
                sde = results.values(name, f"eps={eps:g} {number}")
                text = f"gamma = {name}: ODE is worse than SDE at eps = {eps:g} ({number})"
                rows += [compared(text, ode, sde)] if sde else []
    for number in ("gap mean", "kl"):
        first = "sqrt(t(1-t))"
        for name in names:
            if name != first and name in ENVELOPES:
                worse, better = (results.values(n, f"eps=0 {number}") for n in (name, first))
                text = f"ODE: gamma = {name} is worse than gamma = {first} ({number})"
                rows.append(compared(text, worse, better))
    return markdown(["statement", "difference", "holds in seeds"], rows)


def figures(results: Results) -> list[Figure]:
    """The numbers against eps, and pictures of the densities of seed 0."""
    return [_curves(results), _pictures(results)]


def _curves(results: Results) -> Figure:
    levels, panels = results.settings["eps"], []
    for number, title, unit in (
        ("gap mean", "On the board", "mean of |log rho1 − log rhohat1| (nat)"),
        ("kl", "Over the plane", "KL (nat)"),
        ("off board", "Off the board", "share of samples"),
    ):
        series = [_curve(results, name, number) for name in results.cases]
        series.append(across(results.mean(results.cases[0], f"floor {number}")))
        words = ("0 (ODE)", *(f"{eps:g}" for eps in levels[1:]))
        x = Axis(label="noise level eps", ticks=tuple(range(len(levels))), names=words)
        panels.append(Panel(series=tuple(series), title=title, x=x, y=Axis(label=unit, low=0, grid=True)))
    return Figure(name="checkerboard", panels=tuple(panels), width=1080, height=420, legend_columns=4)


def _curve(results: Results, case: str, number: str) -> Series:
    """Hue and mark of the envelope, line of the variant."""
    name, _, variant = case.partition(",")
    dash = {"": "-", LONGER[1:]: ":", SCORE[1:]: "--"}[variant]
    levels, hue = results.settings["eps"], list(ENVELOPES).index(name)
    numbers = [(case, f"eps={eps:g} {number}") for eps in levels]
    return results.curve(range(len(levels)), numbers, f"gamma = {case}", hue, dash=dash)


def _pictures(results: Results) -> Figure:
    names = [name for name in results.cases if name in ENVELOPES]
    grid = BoardGrid(Checkerboard(), results.settings["h"])
    truth, panels = grid.picture(grid.smoothed).astype(float), []
    axis = Axis(low=-grid.edge, high=grid.edge, ticks=(-4, 0, 4))
    first, last = results.settings["eps"][0], results.settings["eps"][-1]
    for eps in (first, last):
        shots = {name: results.arrays(name, 0).get(f"eps={eps:g}") for name in names}
        for name, shot in {"true, smoothed": truth, **shots}.items():
            if shot is None:
                panels.append(Panel(series=(), bare=True))
                continue
            shades = (shaded(shot.astype(float), grid.edge, high=1.6 * truth.max()),)
            words = ("ODE" if eps == 0 else f"SDE, eps = {eps:g}") if shot is truth else ""
            y = Axis(**{**vars(axis), "label": words})
            panels.append(Panel(series=shades, title=name if eps == first else "", x=axis, y=y, equal=True))
    columns = len(names) + 1
    return Figure(name="densities", panels=tuple(panels), columns=columns, width=180 * columns, height=380)


_ROOT, _PRODUCT = "sqrt(t(1-t))", "t(1-t)"
CLAIMS = (
    Stated("latent_noise.gap < none", (_ROOT, "eps=0 gap mean"), ("0", "eps=0 gap mean")),
    Stated("latent_noise.kl < none", (_ROOT, "eps=0 kl"), ("0", "eps=0 kl")),
    Stated("sde_of_product.gap < ode", (_PRODUCT, "eps=1 gap mean"), (_PRODUCT, "eps=0 gap mean")),
    Stated("sde_of_root.gap < ode", (_ROOT, "eps=1 gap mean"), (_ROOT, "eps=0 gap mean"), expected="fails"),
)

STUDY = Study("checkerboard", SETTINGS, cases, measure, table, figures, CLAIMS)
