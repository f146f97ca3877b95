"""Table and figure of the study of Poisson flows, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.pfgmpp import experiment


def table(results: Results) -> str:
    """Energy distance by disturbance and D, the ratio that the claim is about, and how many images were drawn."""
    degrees, seeds = results.settings["degrees"], ", ".join(map(str, results.seeds))
    text = (
        f"Seeds {seeds}; mean ± standard error of the energy distance (V-statistic) to held-out digits.\n\n"
    )
    text += _numbers(results, "energy, V", 4) + "\nDifferent images among the samples, as a share.\n\n"
    text += _numbers(results, "distinct", 3)
    if {16, "inf"} <= set(degrees):
        rows = [_ratio(results, alpha) for alpha in results.settings["alphas"]]
        head = ["alpha", "distance at D = 16 / at D = inf", "seeds in which it is smaller"]
        text += "\n" + markdown(head, rows)
    return text


def _numbers(results: Results, name: str, digits: int) -> str:
    degrees = results.settings["degrees"]
    rows = [
        [f"{alpha:g}", *(shown(results.values(_case(alpha, df), name), digits) for df in degrees)]
        for alpha in results.settings["alphas"]
    ]
    rows.append(
        ["training digits", shown(results.values(experiment.TRUE, name), digits)] + [""] * (len(degrees) - 1)
    )
    return markdown(["alpha", *(f"D = {df}" for df in degrees)], rows)


def _ratio(results: Results, alpha: float) -> list[str]:
    few, normal = (results.values(_case(alpha, df), "energy, V") for df in (16, "inf"))
    ratios = [a / b for a, b in zip(few, normal, strict=True)]
    return [f"{alpha:g}", shown(ratios, 2), f"{sum(r < 1 for r in ratios)} of {len(ratios)}"]


def figures(results: Results, folder: Path) -> None:
    """Distance against D for every disturbance, and how many different images were drawn."""
    made = figure(900, 320)
    left, right = made.subplots(1, 2)
    _lines(left, results, "energy, V")
    label(
        left,
        title="Samples against held-out digits",
        x="D, degrees of freedom of the noise",
        y="energy distance",
    )
    legend(left)
    _lines(right, results, "distinct")
    label(
        right, title="Different images among the samples", x="D, degrees of freedom of the noise", y="share"
    )
    save(made, folder / "pfgmpp.png", dpi=110)


def _lines(axes: Any, results: Results, name: str) -> None:
    degrees = results.settings["degrees"]
    places = np.arange(len(degrees))
    for alpha, hue, mark in zip(results.settings["alphas"], HUES, MARKS, strict=False):
        found = [mean_and_error(results.values(_case(alpha, df), name)) for df in degrees]
        mean, error = np.array(found).T
        axes.errorbar(places, mean, np.nan_to_num(error), color=hue, marker=mark, label=f"alpha = {alpha:g}")
    floor, _ = mean_and_error(results.values(experiment.TRUE, name))
    axes.axhline(floor, color="#777777", linestyle=":", label="training digits")
    axes.set_xticks(places, [str(df) if df != "inf" else "∞" for df in degrees])


def _case(alpha: float, df: float | str) -> str:
    return f"alpha = {alpha:g}, D = {df}"


STUDY = Study(
    name="pfgmpp",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)
