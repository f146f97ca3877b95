"""Can samples between modes be told by their own trajectories?

Three modes on a line and 25 on a grid; the noise of a variance-preserving diffusion is learnt by a perceptron, on plain
inputs as published, or with the library's preconditioning. Samples further than six deviations from every mode are
wrong. A window of time and a threshold on the variance of the predicted end point are found on one run, and judged on
another, beside the exact field. Recursive training: a model learns from the samples of the one before, without those
of the largest variance, or without as many at random.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.diagnostics.trajectory_filter import TrajectoryFilter, kept_by_mode, scan_windows
from interpolants.dynamics import sample
from interpolants.dynamics.sample import Samples
from interpolants.dynamics.trajectory_statistics import TrajectoryStatistics
from interpolants.fields.protocol import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import DataWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.methods import Bridge
from interpolants.metrics.beyond_modes import beyond_modes
from interpolants.metrics.roc import roc
from interpolants.paths import VP
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from studies.common import Study

Settings = Mapping[str, Any]
LINE, GRID, SCALED, AGAIN = "line", "grid", "grid, preconditioned", "grid, recursive"
SIGMA, KEEP, DROPPED = 0.05, 0.96, 0.025
# Samplers by name: method, steps, and how many of the last steps make a window.
SAMPLERS: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "DDIM 100": ("ddim", 100, (2, 5, 10, 30, 100)),
    "ancestral 1000": ("ancestral", 1000, (10, 20, 50, 100, 300)),
}

_LINE, _GRID = {"kind": "mlp", "width": 64, "depth": 3}, {"kind": "mlp", "width": 96, "depth": 4}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {LINE: [_LINE, 40, 64], GRID: [_GRID, 40, 64], "n": 100, "again": [30, 200, 2, 50], "shortened": 10},
    "laptop": {LINE: [_LINE, 4000, 512], GRID: [_GRID, 15_000, 512], "n": 3000, "again": [12_000, 5000, 2, 250],
               "shortened": 1},
    "full": {LINE: [_LINE, 20_000, 4096], GRID: [_GRID, 100_000, 4096], "n": 60_000,
             "again": [30_000, 100_000, 5, 1000], "shortened": 1},
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Toys, and the recursion."""
    return (LINE, GRID, SCALED, AGAIN)


def toy(case: str) -> tuple[GaussianMixture, float]:
    """Modes in units of the standard deviation of the data, and the deviation of each in these units."""
    if case == LINE:
        means = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    else:
        side = torch.arange(-4, 5, 2).double()
        means = torch.cartesian_prod(side, side)
    scale = float((means.square().mean() + SIGMA**2).sqrt())
    k, d = means.shape
    spread = (SIGMA / scale) ** 2 * torch.eye(d, dtype=torch.float64).expand(k, d, d)
    return GaussianMixture(torch.full((k,), 1 / k, dtype=torch.float64), means / scale, spread), SIGMA / scale


def learn(x: Tensor, net: Settings, steps: int, batch: int, seed: int, *, scaled: bool = False) -> Fields:
    """The noise of a variance-preserving diffusion."""
    loop = {"steps": steps, "batch_size": batch, "lr": 1e-3, "ema": 0.995, "seed": seed, "held_out": 0}
    made = Bridge(path="vp", heads=("noise",), net=net, standardize=False, precondition=scaled, **loop)
    with warnings.catch_warnings():
        # The units are those of the first data, whatever a model of a model has drawn in them.
        warnings.simplefilter("ignore", DataWarning)
        return made.fit(x1=x.float(), progress=False).fields


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Rates, windows and the filter on one toy; or the recursion."""
    if case == AGAIN:
        return _recursion(seed, settings)
    mixture, deviation = toy(case)
    net, steps, batch = settings[GRID if case == SCALED else case]
    x = mixture.sample(50_000, generator=torch.Generator().manual_seed(seed))
    fields = learn(x, net, steps, batch, seed, scaled=case == SCALED)
    exact = GaussianMixtureBridge(Gaussian(), mixture).fields(VP())
    values: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    for name, (method, n_steps, lengths) in SAMPLERS.items():
        run = _Run(mixture, deviation, method, n_steps // settings["shortened"], settings["n"])
        found, curve = _judged(run, fields, exact, lengths, seed)
        values |= {f"{name}, {word}": value for word, value in found.items()}
        arrays |= {f"{name}, {word}": part for word, part in curve.items()}
    return measured(values, arrays if seed == 0 else {})


class _Run:
    """Samples of one sampler, and which of them are wrong."""

    def __init__(self, mixture: GaussianMixture, deviation: float, method: str, n_steps: int, n: int) -> None:
        self.modes, self.deviation, self.n = mixture.means, deviation, n
        self.options: dict[str, Any] = {"method": method, "n_steps": n_steps}
        self.n_steps = n_steps

    def __call__(self, fields: Fields, seed: int, modifiers: Any = ()) -> Samples:
        z = torch.randn(self.n, self.modes.shape[1], generator=torch.Generator().manual_seed(1000 + seed))
        noise = {"seed": seed} if self.options["method"] == "ancestral" else {}
        return sample(fields, z, modifiers=modifiers, on_failure="keep", **noise, **self.options)

    def wrong(self, x: Tensor) -> Tensor:
        """Beyond six deviations of every mode."""
        return beyond_modes(x, self.modes, self.deviation)

    def window(self, length: int) -> tuple[float, float]:
        """The last steps."""
        return max(0.0, 1 - (length + 0.5) / self.n_steps), 1.0


def _judged(
    run: _Run, fields: Fields, exact: Fields, lengths: Sequence[int], seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Window and threshold from a trial, everything else from fresh samples."""
    windows = {run.window(length): length for length in lengths if 2 <= length <= run.n_steps}
    trials: list[Samples] = []

    def draw(modifiers: tuple[TrajectoryStatistics, ...]) -> Samples:
        trials.append(run(fields, 2 * seed + 1, modifiers))
        return trials[-1]

    scan = scan_windows(draw, run.wrong, [*windows], statistics=("variance",))
    values = {f"area of last {windows[score.window]}": score.area for score in scan if score.curve}
    best, trial = scan[0], trials[0]
    good, place = ~run.wrong(trial.x), [*windows].index(best.window)
    chosen = TrajectoryFilter.calibrated(trial, keep=KEEP, good=good, window=best.window, report=place)
    done = run(fields, 2 * seed, chosen.observer)
    wrong, kept = run.wrong(done.x), chosen.accepts(done)
    values |= {
        "rate": float(wrong.double().mean()),
        "exact rate": float(run.wrong(run(exact, 2 * seed).x).double().mean()),
        "window": float(windows[best.window]),
        "kept": float(kept[~wrong].double().mean()),
        "rate after": float(wrong[kept].double().mean()),
        "least kept of a mode": float(
            kept_by_mode(done.x, kept, run.modes, good=~wrong).nan_to_num(1.0).min()
        ),
    }
    scores = done.reports[0]["variance"]
    if not bool(wrong.any()):
        return values, {}
    curve = roc(scores, wrong)
    values |= {"area": curve.area, "removed": float((~kept)[wrong].double().mean())}
    return values, {"false": curve.false, "true": curve.true}


def _recursion(seed: int, settings: Settings) -> Answered:
    """Rates of the generations, without the samples of the largest variance, or without some at random."""
    mixture, deviation = toy(GRID)
    steps, rows, generations, n_steps = settings["again"]
    net, _, batch = settings[GRID]
    run = _Run(mixture, deviation, "ancestral", n_steps, round(rows * (1 + DROPPED)))
    observer = TrajectoryFilter(threshold=0, window=run.window(10)).observer
    values: dict[str, float] = {}
    first = mixture.sample(rows, generator=torch.Generator().manual_seed(seed))
    start = run(learn(first, net, steps, batch, seed), seed, observer)
    for arm in ("filtered", "random"):
        x, done = first, start
        for generation in range(generations + 1):
            if generation:
                fields = learn(x, net, steps, batch, seed + 100 * generation)
                done = run(fields, seed + 100 * generation, observer)
            values[f"{arm}, generation {generation}"] = float(run.wrong(done.x).double().mean())
            order = done.reports[0]["variance"].argsort() if arm == "filtered" else torch.arange(run.n)
            x = done.x[order[:rows]]
            values[f"{arm}, kept of generation {generation}"] = float(run.wrong(x).double().mean())
    return measured(values)


# --- table and figures ---------------------------------------------------------------------------------------

_COLUMNS = ("exact rate", "rate", "window", "area", "removed", "kept", "least kept of a mode", "rate after")


def table(results: Results) -> str:
    """The filter, the windows, and the generations."""
    text = (
        results.head
        + "\nSamples beyond six deviations of every mode, and the filter (shares in per cent)\n\n"
    )
    head = ["toy", "sampler", "exact field", "learnt", "window, last steps", "area under ROC", "removed",
            "good ones kept", "least of a mode", "learnt, filtered"]  # fmt: skip
    toys = [case for case in results.cases if case != AGAIN]
    factor = {"window": (0, 1.0), "area": (3, 1.0)}
    rows = [
        [case, name, *(results.shown(case, f"{name}, {c}", *factor.get(c, (2, 100.0))) for c in _COLUMNS)]
        for case in toys
        for name in SAMPLERS
    ]
    text += markdown(head, rows) + "\nArea under the ROC by window, on the trial run\n\n"
    for name, (_, _, lengths) in SAMPLERS.items():
        columns = [f"{name}, area of last {length}" for length in lengths]
        text += (
            markdown([name, *(f"last {length}" for length in lengths)], results.rows(toys, columns)) + "\n"
        )
    if AGAIN in results.cases:
        text += f"Recursive training on the grid, {DROPPED:.1%} of the samples dropped, wrong samples in per cent\n\n"
        last = range(results.settings["again"][2] + 1)
        arms = [
            [arm, *(results.shown(AGAIN, f"{arm}, generation {k}", 2, 100) for k in last)]
            for arm in ("filtered", "random")
        ]
        text += markdown(["dropped", *(f"generation {k}" for k in last)], arms)
    return text


def figures(results: Results) -> list[Figure]:
    """ROC curves of the first seed, areas by window, and generations."""
    panels = [_curves(results), _windows(results)]
    if AGAIN in results.cases:
        panels.append(_generations(results))
    return [Figure(name="hallucinations", panels=tuple(panels), width=440 * len(panels), height=360)]


def _toys(results: Results) -> list[tuple[int, str, str]]:
    toys = [case for case in results.cases if case != AGAIN]
    return [(k, case, name) for k, (case, name) in enumerate((c, s) for c in toys for s in SAMPLERS)]


def _curves(results: Results) -> Panel:
    series = []
    for hue, case, name in _toys(results):
        found = results.arrays(case, 0)
        if f"{name}, false" in found:
            arrays = {"x": found[f"{name}, false"], "y": found[f"{name}, true"]}
            series.append(Series(mark="line", arrays=arrays, name=f"{case}, {name}", hue=hue))
    x, y = Axis(label="good samples removed"), Axis(label="wrong samples removed", grid=True)
    return Panel(series=tuple(series), title="ROC, seed 0", x=x, y=y, legend="best")


def _windows(results: Results) -> Panel:
    series = []
    for hue, case, name in _toys(results):
        n_steps, lengths = SAMPLERS[name][1], SAMPLERS[name][2]
        share = [length / n_steps for length in lengths]
        numbers = [(case, f"{name}, area of last {length}") for length in lengths]
        series.append(results.curve(share, numbers, f"{case}, {name}", hue))
    x = Axis(label="share of the steps in the window", scale="log")
    return Panel(series=tuple(series), title="Windows", x=x, y=Axis(label="area under ROC", grid=True))


def _generations(results: Results) -> Panel:
    last = range(results.settings["again"][2] + 1)
    series = tuple(
        results.curve(last, [(AGAIN, f"{arm}, generation {k}") for k in last], arm, hue, factor=100)
        for hue, arm in enumerate(("filtered", "random"))
    )
    y = Axis(label="wrong samples, per cent", grid=True)
    return Panel(series=series, title="Recursive training", x=Axis(label="generation"), y=y, legend="best")


def _claims() -> tuple[Stated, ...]:
    found = [
        Stated("grid_ancestral.area > 0.97", (GRID, "ancestral 1000, area")),
        Stated("grid_ancestral.removed > 0.95", (GRID, "ancestral 1000, removed")),
        Stated("grid_exact.rate < 0.0005", (GRID, "ancestral 1000, exact rate")),
        Stated("grid_ancestral.least_kept > 0.91", (GRID, "ancestral 1000, least kept of a mode")),
        Stated("line_exact.rate < 0.0001", (LINE, "DDIM 100, exact rate")),
        Stated("line_ancestral.rate < 0.003", (LINE, "ancestral 1000, rate")),
        Stated("line_ddim.rate > 2 ancestral", (LINE, "DDIM 100, rate"), (LINE, "ancestral 1000, rate")),
        Stated("line_ddim.area > 0.8", (LINE, "DDIM 100, area")),
    ]
    for k in (1, 2):
        own, rival = (AGAIN, f"filtered, generation {k}"), (AGAIN, f"random, generation {k}")
        found.append(Stated(f"filtered_{k}.rate < random", own, rival, "trivial"))
    return tuple(found)


STUDY = Study("hallucinations", SETTINGS, cases, measure, table, figures, _claims())
