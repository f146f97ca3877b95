"""Does the schedule of least kinetic energy sample better in few Euler steps?

The checkerboard in the plane, whose denoiser is known in closed form, by three schedules from the same noise: with the
exact denoiser, so that all error is that of the steps, and with one learnt by the same network and budget. The energies
of the schedules on the board and on handwritten digits.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from interpolants.data import load_digits
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud
from interpolants.framework.scores import paired_gap
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.metrics import energy_distance
from interpolants.paths import (
    DataSeparation,
    KineticOptimal,
    OneSidedLinear,
    OneSidedTrigonometric,
    data_separation,
    kinetic_energy,
)
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.problems import Checkerboard
from interpolants.problems.checkerboard_bridge import CheckerboardBridge
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
# Mean square 1 per entry: each coordinate is uniform on [-sqrt 3, sqrt 3].
BOARD = Checkerboard(half_width=math.sqrt(3.0))
OPTIMAL, LINEAR, TRIGONOMETRIC = "kinetic optimal", "linear", "trigonometric"
PATHS = (OPTIMAL, LINEAR, TRIGONOMETRIC)
EXACT, LEARNT, DIGITS = "exact", "learnt", "digits"
_DATA, _START, _TRUE, _OTHER = range(4)

_SHARED = {"draws": 4, "lr": 2e-3}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        **_SHARED,
        "n_steps": [4, 8],
        "n": 200,
        "points": 50,
        "net": {"width": 32, "depth": 2},
        "batch": 128,
        "train": 20,
        "data": 1000,
        "digits": [5],
    },
    "laptop": {
        **_SHARED,
        "n_steps": [4, 8],
        "n": 4000,
        "points": 500,
        "net": {"width": 64, "depth": 3},
        "batch": 256,
        "train": 1000,
        "data": 20_000,
        "digits": [5, 50],
    },
    "full": {
        **_SHARED,
        "n_steps": [2, 4, 8, 16],
        "n": 50_000,
        "points": 10_000,
        "net": {"width": 512, "depth": 4},
        "batch": 4096,
        "train": 50_000,
        "data": 1_000_000,
        "digits": [5, 50, 1000],
    },
}


def cases(settings: Settings) -> Sequence[str]:
    """Every schedule with the exact and with a learnt denoiser, and the digits."""
    digits = [f"{DIGITS} / {n}, {how}" for n in settings["digits"] for how in ("centred", "as they are")]
    return (*(f"{kind} / {path}" for kind in (EXACT, LEARNT) for path in PATHS), *digits)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One schedule sampled with few steps, or the energies of one set of digits."""
    kind, name = case.split(" / ")
    return measured(_energies(name, seed, settings)) if kind == DIGITS else _board(kind, name, seed, settings)


@lru_cache(maxsize=2)
def separation(points: int, draws: int) -> DataSeparation:
    """Of the board, from its exact denoiser; the schedule is one and the same for all seeds."""
    path = OneSidedLinear()
    data = BOARD.sample(points, generator=_generator(0, _DATA)).double()
    data = data / data.square().mean().sqrt()
    denoiser = CheckerboardBridge(BOARD).fields(path).denoised
    return data_separation(data, denoiser=denoiser, path=path, draws=draws, normalise=False)


def schedule(name: str, settings: Settings) -> SpatiallyLinearPath:
    """A schedule from standard normal noise."""
    if name == OPTIMAL:
        distribution = separation(settings["points"], settings["draws"])
        return KineticOptimal(distribution.angles, distribution.gains)
    return OneSidedLinear() if name == LINEAR else OneSidedTrigonometric()


def fields(kind: str, path: SpatiallyLinearPath, seed: int, settings: Settings) -> LearnedFields:
    """The denoiser of the board, exact or learnt, with all that follows from it."""
    if kind == EXACT:
        return LearnedFields(path, denoised=CheckerboardBridge(BOARD).fields(path).denoised)
    x1 = BOARD.sample(settings["data"], generator=_generator(seed, _DATA))
    train = TrainSettings(
        steps=settings["train"],
        batch_size=settings["batch"],
        lr=settings["lr"],
        schedule="cosine",
        ema=0.995,
        seed=seed,
    )
    net = {"kind": "mlp", **settings["net"]}
    return learn_fields(path, None, x1, heads=("denoised",), net=net, settings=train).fields


def _board(kind: str, name: str, seed: int, settings: Settings) -> Answered:
    n, distribution = settings["n"], separation(settings["points"], settings["draws"])
    path = schedule(name, settings)
    found = fields(kind, path, seed, settings)
    start = torch.randn(n, 2, generator=_generator(seed, _START), dtype=torch.float64)
    begin = start if kind == EXACT else start.float()
    true, other = (BOARD.sample(n, generator=_generator(seed, k)).double() for k in (_TRUE, _OTHER))
    values = {
        "kinetic energy": kinetic_energy(path, distribution),
        "floor": energy_distance(true, other).value,
    }
    arrays = {}
    for steps in settings["n_steps"]:
        for method in ("euler", "ddim"):
            run = {"n_steps": steps, "time_grid": "uniform", "invariant": False, "chunk": n}
            x = sample(found, begin, method=method, **run).x.double()
            values[f"{method} {steps}"] = energy_distance(true, x).value
            values[f"{method} {steps} on the board"] = float(
                torch.isfinite(BOARD.log_prob(x)).double().mean()
            )
            if seed == 0 and kind == EXACT and method == "euler" and steps in (4, 8):
                arrays[f"{steps}"] = x[:2500].half().numpy()
    return measured(values, arrays)


def _energies(name: str, seed: int, settings: Settings) -> dict[str, float]:
    """Energies of the schedules to so many digits, in their levels 0 .. 16."""
    count, how = name.split(", ")
    x = 8 * (load_digits("all").x.double().flatten(1) + 1)
    pick = torch.randperm(len(x), generator=_generator(seed, _DATA))[: int(count)]
    x = (x - x.mean(0) if how == "centred" else x)[pick]
    distribution = data_separation(x, draws=settings["draws"] if len(x) > 100 else 64, seed=seed)
    path = KineticOptimal.fit(distribution)
    unit = (OneSidedLinear(), OneSidedTrigonometric())
    linear, trigonometric = (kinetic_energy(other, distribution) for other in unit)
    return {
        "formula": path.energy,
        OPTIMAL: kinetic_energy(path, distribution),
        LINEAR: linear,
        TRIGONOMETRIC: trigonometric,
    }


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


_METHODS = {"euler": "Euler steps", "ddim": "denoising steps"}


def table(results: Results) -> str:
    """Distances by steps, gaps over seeds, energies."""
    steps = results.settings["n_steps"]
    text = results.head
    for method, words in _METHODS.items():
        head = ["energy distance x 1000", "kinetic energy", *(f"{n} {words}" for n in steps), "true samples"]
        rows = []
        for kind in (EXACT, LEARNT):
            for path in PATHS:
                case = f"{kind} / {path}"
                keys = [f"{method} {n}" for n in steps] + ["floor"]
                numbers = [results.shown(case, key, 2, 1000) for key in keys]
                rows.append([f"{kind}, {path}", shown(results.values(case, "kinetic energy")[:1]), *numbers])
        text += "\n" + markdown(head, rows)
    text += "\n" + markdown(
        ["compared over seeds", "difference x 1000", "seeds in which it is positive"], _gaps(results)
    )
    head = ["digits", "formula 2 (1 - cos Phi)", OPTIMAL, LINEAR, TRIGONOMETRIC]
    rows = [
        [case.removeprefix(f"{DIGITS} / "), *(results.shown(case, name) for name in results.names(case))]
        for case in results.cases if case.startswith(DIGITS)
    ]  # fmt: skip
    return text + "\n" + markdown(head, rows)


def _gaps(results: Results) -> list[list[str]]:
    rows = []
    for kind in (EXACT, LEARNT):
        for method, words in _METHODS.items():
            for other in (LINEAR, TRIGONOMETRIC):
                for n in results.settings["n_steps"]:
                    a, b = (results.values(f"{kind} / {path}", f"{method} {n}") for path in (other, OPTIMAL))
                    if not a or len(a) != len(b):
                        continue
                    gap, error, above = paired_gap(a, b)
                    name = f"{kind}, {n} {words}: {other} - {OPTIMAL}"
                    difference = f"{1000 * gap:.2f} ± {1000 * error:.2f}"
                    rows.append([name, difference, f"{above} of {len(a)}"])
    return rows


def figures(results: Results) -> list[Figure]:
    """Schedules, distances against steps, and samples."""
    return [_distances(results), _samples(results)]


def _distances(results: Results) -> Figure:
    t, series = torch.linspace(0, 1, 201, dtype=torch.float64), []
    for k, name in enumerate(PATHS):
        path = schedule(name, results.settings)
        series.append(Series(mark="line", arrays={"x": t, "y": path.beta(t)}, hue=k, name=name))
        series.append(Series(mark="line", arrays={"x": t, "y": path.alpha(t)}, hue=k, dash="--"))
    axes = {"x": Axis(label="time t"), "y": Axis(label="coefficient", grid=True)}
    panels = [Panel(series=tuple(series), title="Data (solid) and noise (dashed)", **axes)]
    steps = results.settings["n_steps"]
    for kind in (EXACT, LEARNT):
        curves = tuple(
            results.curve(steps, [(f"{kind} / {name}", f"euler {n}") for n in steps], name, k, errors=False)
            for k, name in enumerate(PATHS)
        )
        axes = {
            "x": Axis(label="Euler steps", scale="log", ticks=tuple(steps)),
            "y": Axis(label="energy distance", scale="symlog", near_zero=1e-3, grid=True),
        }
        legend, title = "best" if kind == EXACT else "", f"Checkerboard, {kind} denoiser"
        panels.append(Panel(series=curves, title=title, legend=legend, **axes))
    return Figure(name="distances", panels=tuple(panels), width=900, height=290)


def _samples(results: Results) -> Figure:
    axis, panels = Axis(low=-2.2, high=2.2, ticks=(-1, 1)), []
    for n in (4, 8):
        for k, name in enumerate(PATHS):
            x = results.arrays(f"{EXACT} / {name}", 0).get(str(n))
            series = () if x is None else (cloud(x, hue=k, size=0.5),)
            panels.append(Panel(series=series, title=f"{name}, {n} steps", x=axis, y=axis, equal=True))
    return Figure(name="samples", panels=tuple(panels), columns=len(PATHS), width=660, height=470)


CLAIMS = tuple(
    Stated(f"{kind}.euler_{n} < {other}", (f"{kind} / {OPTIMAL}", f"euler {n}"), (f"{kind} / {other}", f"euler {n}"),
           expected=expected)
    for kind in (EXACT, LEARNT) for n in (4, 8) for other, expected in ((LINEAR, "holds"), (TRIGONOMETRIC, "fails"))
)  # fmt: skip

STUDY = Study("kinetic_optimal", SETTINGS, cases, measure, table, figures, CLAIMS)
