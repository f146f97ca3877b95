"""Tables and pictures of the image study, and the study itself."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Results, Study, markdown, mean_and_error, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.images import experiment


def table(results: Results) -> str:
    """Variety, distance to the data and nearest neighbours, for each path and noise level."""
    head = ["path", "eps", "spread of samples of one start", "distance to the start", "energy distance to test images",
            "median distance to nearest training image", "closer to training than test images are"]  # fmt: skip
    rows = []
    for case in _measured(results):
        for eps in results.settings[experiment.LEVELS[case]]:
            keys = ("spread", "from start", "energy", "neighbour", "closer")
            rows.append(
                [case, f"{eps:g}", *(shown(results.values(case, f"eps={eps:g} {key}")) for key in keys)]
            )
    first = _measured(results)[0]
    data = ("spread of data", "start to others", "floor energy", "neighbour of data")
    rows.append(["test images", "", *(shown(results.values(first, key)) for key in data), "0.5"])
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds. "
    text += "Spread and distance are root mean squares per pixel, images in [-1, 1]; "
    text += "the spread of test images is that of unrelated ones.\n"
    return "\n".join(
        [text, markdown(head, rows), "**Does variety grow with eps, seed by seed?**\n", _grows(results)]
    )


def _grows(results: Results) -> str:
    rows = []
    for case in _measured(results):
        levels = results.settings[experiment.LEVELS[case]]
        curves = np.array([results.values(case, f"eps={eps:g} spread") for eps in levels])
        grows = int((np.diff(curves, axis=0) > 0).all(0).sum())
        rows.append([case, f"{grows} of {curves.shape[1]}"])
    return markdown(["path", "spread grows at every step of eps, in seeds"], rows)


def _measured(results: Results) -> list[str]:
    return [case for case in experiment.PATHS if results.names(case)]


def figures(results: Results, folder: Path) -> None:
    """Grids of samples, samples of one start at several noise levels, neighbours, and variety against eps."""
    shots = {case: results.arrays(case, 0) for case in _measured(results)}
    shots = {case: arrays for case, arrays in shots.items() if arrays}
    if shots:
        _grids(results, shots, folder / "samples.png")
        _one_start(results, shots, folder / "one_start.png")
        _neighbours(results, shots, folder / "neighbours.png")
    _curves(results, folder / "variety.png")


def _highest(results: Results, case: str) -> float:
    return float(results.settings[experiment.LEVELS[case]][-1])


def _frameless(axes: Any, title: str, y: str = "") -> None:
    """A title over images, which need no axis lines."""
    label(axes, title=title, y=y)
    axes.spines[:].set_visible(False)


def _grids(results: Results, shots: dict[str, Any], path: Path) -> None:
    made = figure(330 * len(shots), 350)
    for axes, (case, arrays) in zip(np.atleast_1d(made.subplots(1, len(shots))), shots.items(), strict=True):
        # The ODE of a mirror path returns what it is given.
        eps = _highest(results, case) if case == "mirror" else 0.0
        count = min(64, len(arrays[f"eps={eps:g} samples"]))
        _tiles(axes, arrays[f"eps={eps:g} samples"][:count], 8)
        _frameless(axes, f"{case}, eps = {eps:g}")
    save(made, path, dpi=100)


def _one_start(results: Results, shots: dict[str, Any], path: Path) -> None:
    made = figure(330 * len(shots), 175)
    for axes, (case, arrays) in zip(np.atleast_1d(made.subplots(1, len(shots))), shots.items(), strict=True):
        levels = results.settings[experiment.LEVELS[case]]
        rows = np.concatenate([arrays[f"eps={eps:g} again"] for eps in levels])
        each = len(arrays[f"eps={levels[0]:g} again"])
        _tiles(axes, rows, each)
        height = rows.shape[1] + 1
        axes.set_yticks([height * (k + 0.5) for k in range(len(levels))], [f"{eps:g}" for eps in levels])
        _frameless(axes, f"{case}: samples of one start", y="eps")
    save(made, path, dpi=110)


def _neighbours(results: Results, shots: dict[str, Any], path: Path) -> None:
    made = figure(330 * len(shots), 120)
    for axes, (case, arrays) in zip(np.atleast_1d(made.subplots(1, len(shots))), shots.items(), strict=True):
        eps = _highest(results, case)
        pairs = [arrays[f"eps={eps:g} {key}"][:10] for key in ("samples", "neighbours")]
        first = [arrays["start"][:10]] if case == "mirror" else []
        _tiles(axes, np.concatenate([*first, *pairs]), len(pairs[0]))
        height = pairs[0].shape[1] + 1
        words = ["start"] * len(first) + ["made", "nearest seen"]
        axes.set_yticks([height * (k + 0.5) for k in range(len(words))], words)
        _frameless(axes, f"{case}, eps = {eps:g}")
    save(made, path, dpi=110)


def _curves(results: Results, path: Path) -> None:
    made = figure(760, 320)
    panels = made.subplots(1, 2)
    for k, case in enumerate(_measured(results)):
        levels = results.settings[experiment.LEVELS[case]]
        for axes, key in zip(panels, ("spread", "energy"), strict=True):
            points = [mean_and_error(results.values(case, f"eps={eps:g} {key}")) for eps in levels]
            style = {"color": HUES[k], "marker": MARKS[k], "ms": 5, "lw": 1.2, "capsize": 2}
            axes.errorbar(levels, [p[0] for p in points], [p[1] for p in points], label=case, **style)
    first = _measured(results)[0]
    for axes, key in zip(panels, ("spread of data", "floor energy"), strict=True):
        axes.axhline(
            mean_and_error(results.values(first, key))[0],
            color="#5b6472",
            lw=0.9,
            ls="--",
            label="test images",
        )
    label(panels[0], title="Samples of one start", x="noise level eps", y="spread per pixel", grid="y")
    label(panels[1], title="All samples", x="noise level eps", y="energy distance to test images", grid="y")
    legend(panels[0])
    save(made, path)


def _tiles(axes: Any, pictures: np.ndarray[Any, Any], columns: int) -> None:
    """Pictures ``(N, H, W)`` row by row, one pixel of white between them."""
    count, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1), columns * (width + 1)), 255, dtype=np.uint8)
    for k, picture in enumerate(pictures):
        top, left = (k // columns) * (height + 1), (k % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=(), yticks=())


STUDY = Study("images", experiment.SETTINGS, experiment.cases, experiment.measure, table, figures)
