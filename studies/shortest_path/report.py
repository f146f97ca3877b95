"""Table and figure of the study of the shortest path, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from interpolants.paths.spectrum import radius
from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.shortest_path.experiment import (
    LEARNT,
    LEARNT_PATHS,
    PATHS,
    SAMPLERS,
    SETTINGS,
    SHORTEST,
    cases,
    measure,
    shortest,
)

_EXACT = (SHORTEST, *PATHS)
_MEASURES = {"spectrum": "mean \\|log(power / wanted)\\|", "distance": "energy distance x 1000"}


def table(results: Results) -> str:
    """Lengths and divergences, and the shortest path against the best of the others, seed by seed."""
    steps = results.settings["n_steps"]
    keys = [f"{sampler} {n}" for sampler in SAMPLERS for n in steps]
    text = (
        f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over halves of the patches.\n\n"
    )
    head = ["KL(made \\|\\| data), nats", "Fisher-Rao length", *(f"{key} steps" for key in keys)]
    rows = [
        [case, shown(results.values(case, "length"), 2), *(shown(results.values(case, key), 2) for key in keys)]
        for case in _EXACT
        if results.names(case)
    ]  # fmt: skip
    text += markdown(head, rows) + "\n"
    found = [[key, *_best(results, key)] for key in keys]
    text += markdown(["sampler and steps", "shortest / best other", "below a half in seeds"], found)
    return text + _learnt_tables(results)


def _learnt_tables(results: Results) -> str:
    """Quality of what a learnt denoiser makes, and the shortest path against the others, seed by seed."""
    steps, text = results.settings["learnt"]["n_steps"], ""
    for kind, words in _MEASURES.items():
        factor, digits = (1000, 2) if kind == "distance" else (1, 3)
        keys = [*(f"{kind} {n}" for n in steps), f"{kind} floor"]
        head = [f"learnt: {words}", *(f"{n} steps" for n in steps), "true patches"]
        rows = [
            [name, *(shown([factor * v for v in results.values(f"{LEARNT} / {name}", key)], digits) for key in keys)]
            for name in LEARNT_PATHS
        ]  # fmt: skip
        text += "\n" + markdown(head, rows)
    head, rows = ["the shortest path's is lower in seeds", *(f"{n} steps" for n in steps)], []
    for kind, words in _MEASURES.items():
        for name in LEARNT_PATHS[1:]:
            pairs = [
                [results.values(f"{LEARNT} / {k}", f"{kind} {n}") for k in (SHORTEST, name)] for n in steps
            ]
            wins = [f"{sum(a < b for a, b in zip(*pair, strict=False))} of {len(pair[0])}" for pair in pairs]
            rows.append([f"{words}, than {name}", *wins])
    rows += [
        [
            f"last training loss per pixel, {name}",
            shown(results.values(f"{LEARNT} / {name}", "training loss")),
            *("" for _ in steps[1:]),
        ]
        for name in LEARNT_PATHS
    ]
    return text + "\n" + markdown(head, rows)


def _best(results: Results, key: str) -> list[str]:
    own = results.values(SHORTEST, key)
    others = [results.values(name, key) for name in PATHS]
    if not own or any(len(values) != len(own) for values in others):
        return ["–", "–"]
    ratios = [mine / min(rest) for mine, *rest in zip(own, *others, strict=True)]
    return [shown(ratios, 2), f"{sum(ratio < 0.5 for ratio in ratios)} of {len(ratios)}"]


def figures(results: Results, folder: Path) -> None:
    """Powers along the path, the signal's share by frequency, and errors of the powers after ten steps."""
    path = shortest(0, results.settings["share"])
    distance = radius(tuple(path.spectrum.shape)).flatten()
    order = distance.argsort()
    made = figure(900, 300)
    first, second, third = made.subplots(1, 3)
    for k, t in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        power = (path.spectrum**t).flatten()
        first.scatter(distance[order], power[order], s=2, color=HUES[k], linewidths=0, label=f"t = {t:g}")
    first.set_yscale("log")
    label(first, title="Power of x_t", x="cycles per image", y="power", grid="y")
    legend(first, markerscale=4)
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    signal = path.beta(t).square().flatten(1)
    for k, f in enumerate((0, 1, 4, 16)):
        index = int((distance - f).abs().argmin())
        second.plot(t, signal[:, index], color=HUES[k], lw=1.6, label=f"|f| = {f}")
    label(second, title="Share of the signal, a²", x="time t", y="a²", grid="y")
    legend(second)
    for k, name in enumerate(_EXACT):
        arrays = results.arrays(name, 0)
        if arrays:
            error = torch.from_numpy(arrays["made"] / arrays["power"]).flatten()
            third.scatter(distance[order], error[order], s=2, color=HUES[k], linewidths=0, label=name)
    third.axhline(1, color="#777777", lw=0.8)
    third.set_yscale("log")
    label(third, title="Made / wanted, 10 steps", x="cycles per image", y="ratio of powers", grid="y")
    legend(third, markerscale=4)
    save(made, folder / "powers.png", dpi=110)
    _learnt_figure(results, folder / "learnt.png")


def _learnt_figure(results: Results, file: Path) -> None:
    """Quality against steps, and samples of the second number of steps beside patches."""
    settings = results.settings["learnt"]
    steps, made = settings["n_steps"], figure(940, 290)
    panels = made.subplots(1, 3, width_ratios=(1, 1, 0.9))
    kinds = (("spectrum", 1, "mean |log(power / wanted)|"), ("distance", 1000, "energy distance x 1000"))
    for axes, (kind, factor, words) in zip(panels, kinds, strict=False):
        for k, name in enumerate(LEARNT_PATHS):
            found = [
                mean_and_error([factor * v for v in results.values(f"{LEARNT} / {name}", f"{kind} {n}")])
                for n in steps
            ]
            errors = [error if error == error else 0.0 for _, error in found]
            axes.errorbar(
                steps,
                [mean for mean, _ in found],
                yerr=errors,
                color=HUES[k],
                marker=MARKS[k],
                ms=4.5,
                lw=1.3,
                capsize=2,
                label=name,
            )
        floor, _ = mean_and_error(
            [factor * v for v in results.values(f"{LEARNT} / {SHORTEST}", f"{kind} floor")]
        )
        axes.axhline(floor, color="#777777", lw=0.8, ls="--", label="true patches")
        axes.set(xscale="log", xticks=steps, xticklabels=[str(n) for n in steps])
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.minorticks_off()
        label(axes, title="Learnt, 16 x 16 patches", x="denoising steps", y=words, grid="y")
    legend(panels[0])
    _pictures(panels[2], results, steps[1])
    save(made, file, dpi=110)


def _pictures(axes: Any, results: Results, steps: int) -> None:
    rows = []
    for name in LEARNT_PATHS:
        arrays = results.arrays(f"{LEARNT} / {name}", 0)
        if arrays:
            rows.append((name, arrays["samples"]))
            patches = arrays["patches"]
    axes.set_axis_off()
    if not rows:
        return
    rows.append(("patches", patches))
    wall = np.concatenate(
        [np.concatenate([np.pad(tile, 1, constant_values=255) for tile in row], 1) for _, row in rows]
    )
    axes.imshow(wall, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    side = wall.shape[0] / len(rows)
    for k, (name, _) in enumerate(rows):
        axes.text(-2, (k + 0.5) * side, name, ha="right", va="center", fontsize=8)
    label(axes, title=f"{steps} steps, from one noise")


STUDY = Study("shortest_path", SETTINGS, cases, measure, table, figures)
