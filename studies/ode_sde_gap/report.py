"""Table and figure of the study of the gap between flow and SDE, and the study itself."""

from pathlib import Path
from typing import Any

import torch

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.ode_sde_gap.experiment import SETTINGS, STOP, cases, measure, truth

_DENSITIES = ("u - log q", "log q - log p", "u - log p", "residual", "score error")
_DISTANCES = ("ODE to truth", "SDE to truth", "ODE to SDE", "truth to truth")
# What must hold: self-consistency at the largest weight against none.
_RULE = 0.7


def table(results: Results) -> str:
    """Densities, samples, and every weight against none, seed by seed."""
    named = [case for case in cases(results.settings) if results.names(case)]
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n\n"
    head = [
        "nats",
        *(f"std {name}" for name in _DENSITIES[:3]),
        "residual, rms",
        "score error, rms",
        "training, s",
    ]
    names = (*_DENSITIES, "training, seconds")
    rows = [[case, *(shown(results.values(case, name)) for name in names)] for case in named]
    text += markdown(head, rows) + "\n"
    head = ["energy distance x 1000", *_DISTANCES, "bound of KL(ODE \\|\\| SDE), nats"]
    rows = [
        [case, *(shown([1000 * v for v in results.values(case, name)], 2) for name in _DISTANCES),
         shown(results.values(case, "KL bound"), 4)]
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


def figures(results: Results, folder: Path) -> None:
    """Self-consistency, distances to the truth, and samples of the first seed."""
    named = [case for case in cases(results.settings) if results.names(case)]
    made = figure(940, 300)
    first, second, third = made.subplots(1, 3)
    places = range(len(named))
    for k, (name, words) in enumerate((("u - log q", "u - log q"), ("log q - log p", "log q - log p"))):
        _points(first, results, named, name, k, f"std of {words}", 1.0)
    label(first, title="Densities over data", y="nats", grid="y")
    for k, name in enumerate(("ODE to truth", "SDE to truth", "truth to truth")):
        _points(second, results, named, name, k, name, 1000.0)
    label(second, title="Samples", y="energy distance x 1000", grid="y")
    for axes in (first, second):
        axes.set_xticks(places, [case.replace(", ", "\n") for case in named], fontsize=7)
        low, high = axes.get_ylim()
        axes.set_ylim(min(0.0, low), high + 0.3 * (high - low))  # room for the legend
        legend(axes, loc="upper left")
    _samples(third, results, named)
    save(made, folder / "ode_sde_gap.png", dpi=110)


def _points(
    axes: Any, results: Results, named: list[str], name: str, k: int, words: str, factor: float
) -> None:
    found = [mean_and_error([factor * v for v in results.values(case, name)]) for case in named]
    errors = [error if error == error else 0.0 for _, error in found]
    axes.errorbar(
        [place + 0.08 * (k - 1) for place in range(len(named))],
        [mean for mean, _ in found],
        yerr=errors,
        color=HUES[k],
        marker=MARKS[k],
        ms=4.5,
        lw=1.2,
        capsize=2,
        label=words,
    )


def _samples(axes: Any, results: Results, named: list[str]) -> None:
    arrays = results.arrays(named[-1], 0)
    if arrays:
        for k, name in enumerate(("ode", "sde")):
            axes.scatter(*arrays[name].astype("float32").T, s=1.2, color=HUES[k], lw=0, label=name.upper())
    side = torch.linspace(-3.8, 3.8, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    density = truth().log_prob(grid, STOP).exp().reshape(121, 121).T
    axes.contour(side, side, density, levels=[0.01, 0.04], colors="#777777", linewidths=0.6)
    axes.set(xlim=(-3.8, 3.8), ylim=(-3.8, 3.8), aspect="equal")
    label(axes, title=f"Samples, {named[-1]}")
    legend(axes, markerscale=4, loc="upper right")


STUDY = Study("ode_sde_gap", SETTINGS, cases, measure, table, figures)
