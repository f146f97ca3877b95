"""Table and figure of the mixture study, and the study itself."""

from pathlib import Path

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.mixture128 import experiment


def table(results: Results) -> str:
    """Divergences against eps, what was best, what was predicted, and the findings of the paper, counted by seeds."""
    pairs = [pair for pair in experiment.PAIRS if results.values(pair, "eps*")]
    levels = results.settings["eps"]
    head = ["learnt", *(f"eps = {eps:g}" for eps in levels), "two true sets"]
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    for metric, title, digits in (
        ("kl", "KL of kernel estimates, first two coordinates (1/1000 nat)", 2),
        ("energy", "Energy distance, all coordinates", 3),
    ):
        factor = 1000 if metric == "kl" else 1
        rows = [
            [pair]
            + [_scaled(results.values(pair, f"eps={eps:g} {metric}"), factor, digits) for eps in levels]
            + [_scaled(results.values(pair, f"floor {metric}"), factor, digits)]
            for pair in pairs
        ]
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
    star, _ = mean_and_error(results.values(pair, "eps*"))
    levels = [float(eps) for eps in results.settings["eps"] if eps > 0]
    return min(levels, key=lambda eps: abs(np.log(eps / star)))


def _scaled(values: list[float], factor: float, digits: int) -> str:
    return shown([factor * value for value in values], digits)


def _errors(results: Results, pairs: list[str]) -> str:
    head = ["learnt", "relative error of b", "relative error of s", "predicted eps*", "best eps by KL, each seed",
            "best eps by energy distance, each seed"]  # fmt: skip
    rows = []
    for pair in pairs:
        numbers = [shown(results.values(pair, name)) for name in ("relative b", "relative s", "eps*")]
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
            rows.append(_row(f"{pair}: eps = 0 is worse than the best eps > 0 ({metric})", ode, low[pair]))
            near = predicted_level(results, pair)
            fixed = results.values(pair, f"eps={near:g} {metric}")
            rows.append(
                _row(f"{pair}: eps = 0 is worse than eps = {near:g}, next to eps* ({metric})", ode, fixed)
            )
        for worse, better in (("v, s", "b, s"), ("v, eta", "b, eta"), ("b, s", "b, eta"), ("v, s", "v, eta")):
            if worse in low and better in low:
                rows.append(
                    _row(
                        f"({worse}) is worse than ({better}), each at its best eps > 0 ({metric})",
                        low[worse],
                        low[better],
                    )
                )
        for worse, better in (("v, s", "b, s"), ("v, eta", "b, eta")):
            if worse in low and better in low:
                odes = [results.values(pair, f"eps=0 {metric}") for pair in (worse, better)]
                rows.append(_row(f"({worse}) is worse than ({better}) at eps = 0 ({metric})", *odes))
    return markdown(["statement", "difference", "holds in seeds"], rows)


def _lowest(results: Results, pair: str, metric: str) -> list[float]:
    levels = [eps for eps in results.settings["eps"] if eps > 0]
    curves = np.array([results.values(pair, f"eps={eps:g} {metric}") for eps in levels])
    return [float(value) for value in curves.min(0)]


def _row(text: str, worse: list[float], better: list[float]) -> list[str]:
    gap, error, wins = paired_gap(worse, better)
    return [text, f"{gap:.4f} ± {error:.4f}", f"{wins} of {len(worse)}"]


def figures(results: Results, folder: Path) -> None:
    """Divergence against eps for the four pairs, with the predicted noise levels."""
    made = figure(980, 400)
    left, right = made.subplots(1, 2)
    levels = results.settings["eps"]
    for k, pair in enumerate(pair for pair in experiment.PAIRS if results.values(pair, "eps*")):
        for axes, metric in ((left, "kl"), (right, "energy")):
            points = [mean_and_error(results.values(pair, f"eps={eps:g} {metric}")) for eps in levels]
            axes.errorbar(
                levels, [p[0] for p in points], [p[1] for p in points],
                color=HUES[k], marker=MARKS[k], ms=5, lw=1.3, capsize=2, label=f"({pair})",
            )  # fmt: skip
            star, _ = mean_and_error(results.values(pair, "eps*"))
            axes.axvline(star, color=HUES[k], lw=0.9, ls=":")
    floor, _ = mean_and_error(results.values(next(iter(experiment.PAIRS)), "floor kl"))
    left.axhline(floor, color="#5b6472", lw=0.9, ls="--", label="two true sets")
    left.set_ylim(bottom=0)
    label(
        left, title="First two coordinates", x="noise level eps", y="KL of kernel estimates (nat)", grid="y"
    )
    label(right, title="All coordinates", x="noise level eps", y="energy distance", grid="y")
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=0.5)
        axes.set_xticks(levels, [f"{eps:g}" for eps in levels])
        axes.minorticks_off()
        axes.set_xlim(-0.1, 1.2 * levels[-1])
    legend(left)
    save(made, folder / "mixture128.png")


STUDY = Study("mixture128", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
