"""Table and figures of the study of spurious modes, and the study itself."""

from pathlib import Path

import numpy as np
import torch

from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, figure, label, legend, save
from studies.spurious_modes import experiment


def table(results: Results) -> str:
    """What the closed forms say, what was learnt, and how often gamma = 0 was the worse."""
    names = [name for name in experiment.PATHS if results.names(name)]
    head = ["path", "most modes at a time", "most pairs told apart", "rms of grad b", "E\\|b\\|^2"]
    keys = ("steepness", "E|b|^2")
    exact = [
        [
            name,
            f"{results.values(name, 'most modes')[0]:.0f}",
            shown(results.values(name, "most distinct"), 2),
        ]
        + [shown(results.values(name, key), 2) for key in keys]
        for name in names
    ]
    learnt = [
        [name] + [shown(results.values(name, key)) for key in ("E|db|^2", "relative error")]
        + [shown([1000 * v for v in results.values(name, f"energy {key}")], 2) for key in ("learnt", "exact", "floor")]
        for name in names
    ]  # fmt: skip
    words = ["path", "E\\|db\\|^2", "relative error of b", "ODE, learnt b", "ODE, exact b", "two true sets"]
    return "\n".join(
        [
            f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n",
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
    first, rows = next(iter(experiment.PATHS)), []
    for key in ("E|db|^2", "relative error", "energy learnt"):
        for name in names:
            if name != first:
                worse, better = results.values(first, key), results.values(name, key)
                n = min(len(worse), len(better))
                gap, error, wins = paired_gap(worse[:n], better[:n])
                text = f"{first} is worse than {name} ({key})".replace("|", "\\|")
                rows.append([text, f"{gap:.4f} ± {error:.4f}", f"{wins} of {n}"])
    return markdown(["statement", "difference", "holds in seeds"], rows)


def figures(results: Results, folder: Path) -> None:
    """The laws of x_t, and how many modes can be told apart."""
    _laws(folder / "laws.png")
    _counts(results, folder / "modes.png")


def _laws(path: Path) -> None:
    bridge, side = experiment.problem(), torch.linspace(-3.2, 3.2, 120, dtype=torch.float64)
    grid, moments = torch.cartesian_prod(side, side), (0.0, 0.25, 0.5, 0.75, 1.0)
    made = figure(860, 175 * len(experiment.PATHS))
    panels = made.subplots(len(experiment.PATHS), len(moments), sharex=True, sharey=True)
    for row, (name, bridge_path) in zip(panels, experiment.PATHS.items(), strict=True):
        for axes, t in zip(row, moments, strict=True):
            law = bridge.marginal(bridge_path, t)
            shade = np.sqrt(law.log_prob(grid).exp().reshape(120, 120).T.numpy())
            axes.imshow(shade, origin="lower", extent=(-3.2, 3.2, -3.2, 3.2), cmap="cividis", vmin=0)
            top = experiment.modes(law)
            axes.scatter(*top.T.numpy(), s=9, color="white", marker="x", lw=0.8)
            axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
            label(axes, title=f"t = {t:g}: {len(top)} {'mode' if len(top) == 1 else 'modes'}")
        row[0].set_ylabel(name.replace(", ", ",\n"), fontsize=8)
    save(made, path, dpi=100)


def _counts(results: Results, path: Path) -> None:
    made = figure(900, 340)
    panels = made.subplots(1, 2)
    moments = experiment.times(results.settings)
    for k, name in enumerate(name for name in experiment.PATHS if results.names(name)):
        for axes, key in zip(panels, ("modes", "distinct"), strict=True):
            heights = [mean_and_error(results.values(name, f"{key} t={t:.3f}"))[0] for t in moments]
            axes.plot(moments, heights, color=HUES[k], lw=1.6, ls=("-", "--", "-.", ":", "-")[k], label=name)
    label(panels[0], title="Modes of the law of x_t", x="time t", y="number of maxima", grid="y")
    label(panels[1], title="Pairs of modes told apart from x_t", x="time t", y="effective number", grid="y")
    legend(panels[1])
    save(made, path)


STUDY = Study("spurious_modes", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
