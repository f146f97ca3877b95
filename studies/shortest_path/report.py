"""Table and figure of the study of the shortest path, and the study itself."""

from pathlib import Path

import torch

from interpolants.paths.spectrum import radius
from studies.common import Results, Study, markdown, shown
from studies.drawing import HUES, figure, label, legend, save
from studies.shortest_path.experiment import PATHS, SAMPLERS, SETTINGS, SHORTEST, cases, measure, shortest


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
        for case in cases(results.settings)
        if results.names(case)
    ]  # fmt: skip
    text += markdown(head, rows) + "\n"
    found = [[key, *_best(results, key)] for key in keys]
    return text + markdown(["sampler and steps", "shortest / best other", "below a half in seeds"], found)


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
    for k, name in enumerate(cases(results.settings)):
        arrays = results.arrays(name, 0)
        if arrays:
            error = torch.from_numpy(arrays["made"] / arrays["power"]).flatten()
            third.scatter(distance[order], error[order], s=2, color=HUES[k], linewidths=0, label=name)
    third.axhline(1, color="#777777", lw=0.8)
    third.set_yscale("log")
    label(third, title="Made / wanted, 10 steps", x="cycles per image", y="ratio of powers", grid="y")
    legend(third, markerscale=4)
    save(made, folder / "powers.png", dpi=110)


STUDY = Study("shortest_path", SETTINGS, cases, measure, table, figures)
