"""Tables and figure of the study of gauge freedom, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.gauge_freedom.experiment import (
    ESTIMATES,
    GRADIENT,
    LONGER,
    PLAIN,
    PROJECTION,
    SETTINGS,
    cases,
    measure,
)

_LEARNT = (PLAIN, LONGER, GRADIENT)


def table(results: Results) -> str:
    """Errors of the dimension, what was learnt, comparisons seed by seed, and the projection."""
    sigmas = results.settings["sigmas"]
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"
    named = [case for case in _LEARNT if results.names(case)]
    for prefix, head in (("", "mean \\|dimension - 2\\|"), ("mean ", "mean dimension")):
        rows = [
            [f"{case}, sigma = {s:g}", *(shown(results.values(case, f"{prefix}{e} {s:g}")) for e in ESTIMATES)]
            for s in sigmas
            for case in named
        ]  # fmt: skip
        text += "\n" + markdown([head, *ESTIMATES], rows)
    keys = ("loss", "asymmetry")
    head = ["network", *(f"{key}, sigma = {s:g}" for key in keys for s in sigmas), "training, s"]
    rows = [
        [case, *(shown(results.values(case, f"{key} {s:g}")) for key in keys for s in sigmas),
         shown(results.values(case, "training, seconds"), 1)]
        for case in named
    ]  # fmt: skip
    text += "\n" + markdown(head, rows)
    text += "\n" + markdown(["the gradient's error is lower in seeds", *ESTIMATES[:3]], _wins(results))
    names = results.names(PROJECTION)
    row = ["relative L2", *(shown(results.values(PROJECTION, name), 4) for name in names)]
    return text + "\n" + markdown(["projection of (Id + A) S", *names], [row])


def _wins(results: Results) -> list[list[str]]:
    rows = []
    for other in (PLAIN, LONGER):
        for s in results.settings["sigmas"]:
            cells = []
            for estimate in ESTIMATES[:3]:
                a, b = (results.values(case, f"{estimate} {s:g}") for case in (GRADIENT, other))
                lower = sum(x < y for x, y in zip(a, b, strict=False))
                equal = sum(x == y for x, y in zip(a, b, strict=False))
                cells.append(f"{lower} of {len(a)}" + (f", {equal} equal" if equal else ""))
            rows.append([f"than {other}, sigma = {s:g}", *cells])
    return rows


def figures(results: Results, folder: Path) -> None:
    """Errors against the noise, and the singular values of the first seed."""
    made = figure(940, 290)
    panels = made.subplots(1, 4)
    sigmas = results.settings["sigmas"]
    for axes, estimate in zip(panels[:3], ESTIMATES, strict=False):
        for k, case in enumerate(_LEARNT):
            found = [mean_and_error(results.values(case, f"{estimate} {s:g}")) for s in sigmas]
            errors = [error if error == error else 0.0 for _, error in found]
            axes.errorbar(sigmas, [mean for mean, _ in found], yerr=errors, color=HUES[k], marker=MARKS[k],
                          ms=4.5, lw=1.2, capsize=2, label=case)  # fmt: skip
        axes.set(xscale="log", xticks=sigmas, xticklabels=[f"{s:g}" for s in sigmas])
        axes.minorticks_off()
        axes.set_ylim(bottom=min(-0.02, axes.get_ylim()[0]))
        label(axes, title=f"By the {estimate}", x="noise sigma", y="mean |dimension - 2|", grid="y")
    legend(panels[0])
    _spectra(panels[3], results)
    save(made, folder / "gauge_freedom.png", dpi=110)


def _spectra(axes: Any, results: Results) -> None:
    """Median singular values of M, and the tenth and ninetieth percentile over the points, at the least noise."""
    sigma = results.settings["sigmas"][0]
    for k, case in enumerate(_LEARNT):
        values = results.arrays(case, 0).get(f"{ESTIMATES[0]} {sigma:g}")
        if values is None:
            continue
        values = values.astype("float64")
        low, high = (abs(_percentile(values, q) - _percentile(values, 50)) for q in (10, 90))
        places = [i + 1 + 0.15 * (k - 1) for i in range(values.shape[1])]
        axes.errorbar(places, _percentile(values, 50), yerr=[low, high], color=HUES[k], marker=MARKS[k],
                      ms=4, lw=0, elinewidth=1, capsize=2)  # fmt: skip
    axes.axhline(0.5, color="#777777", lw=0.8, ls="--")
    axes.set_xticks(range(1, 6))
    label(axes, title=f"-sigma² grad S, sigma = {sigma:g}", x="singular value", grid="y")


def _percentile(values: Any, q: float) -> Any:
    return np.percentile(values, q, axis=0)


STUDY = Study("gauge_freedom", SETTINGS, cases, measure, table, figures)
