"""Flow maps by four training rules against the ODE, from Gaussian noise to a checkerboard and to images of digits.

Every case of a data set has the same number of optimizer steps, of rows per step, the same layers and learning rate.
"ode" learns the velocity alone with all rows; a map spends a part of them on its rule. Sliced W2 is taken between equal
numbers of generated and true samples, always from the same starts and along the same directions.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.couplings.minibatch_ot import MinibatchOT
from interpolants.data.sets.images import load_digits
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across, cloud
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.metrics.estimate import floor
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.paths.linear import OneSidedLinear
from interpolants.problems.toys import Checkerboard
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

ODE, OT = "ode", "ode of an OT coupling"
TRAJECTORIES, SHARED = "trajectories", "trajectories in shared steps"
# "trajectories" trains its teacher first, in as many steps; in shared steps, each has half of them.
RULES = ("semigroup", "lagrangian", "mean_velocity", "eulerian", TRAJECTORIES, SHARED)
DATA = ("checkerboard", "digits")
MAP_STEPS = (1, 2, 4, 8)
ODE_STEPS = (1, 2, 4, 8, 16, 32, 100)
MIDPOINT = (2, 4, 8)  # evaluations, two per step
REFERENCE = "heun 100"
_DATA, _START, _DIRECTIONS, _HALVES = range(4)
# Each number is the size of one thing; "rows" are samples of the data to learn from.
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "checkerboard": {"width": 32, "depth": 2, "steps": 60, "batch": 128, "rows": 2000, "n": 1000},
        "digits": {"width": 32, "depth": 2, "steps": 60, "batch": 64, "n": 400},
        "lr": 2e-3,
    },
    "laptop": {
        "checkerboard": {"width": 128, "depth": 4, "steps": 2000, "batch": 512, "rows": 50000, "n": 10000},
        "digits": {"width": 256, "depth": 4, "steps": 1500, "batch": 128, "n": 1797},
        "lr": 2e-3,
    },
    "full": {
        "checkerboard": {"width": 512, "depth": 4, "steps": 50000, "batch": 4096, "rows": 500000, "n": 50000},
        "digits": {"width": 512, "depth": 6, "steps": 20000, "batch": 256, "n": 1797},
        "lr": 1e-3,
    },
}


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Data set and training, e.g. ``"digits: lagrangian"``."""
    return [f"{data}: {name}" for data in DATA for name in (ODE, OT, *RULES)]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Train one case and measure it at all numbers of steps."""
    data, name = case.split(": ")
    sizes = settings[data]
    truth = true_samples(data, seed, sizes)
    begun = time.process_time()
    fields, learnt = _train(name, seed, truth[0], sizes, settings["lr"])
    values = {"cpu seconds": time.process_time() - begun}
    starts = torch.randn(sizes["n"], *truth[1].shape[1:], generator=generator(seed, _START))
    made: dict[str, Tensor] = {}
    for n in MAP_STEPS if learnt is not None else ():
        assert learnt is not None
        made[f"map {n}"] = learnt.transport(starts, n_steps=n)
    for n in ODE_STEPS:
        made[f"euler {n}"] = sample(fields, starts, method="euler", n_steps=n).x
    for n in MIDPOINT if name == TRAJECTORIES else ():
        made[f"midpoint {n}"] = sample(fields, starts, method="midpoint", n_steps=n // 2).x
    made[REFERENCE] = sample(fields, starts, method="heun", n_steps=100).x
    for key, x in made.items():
        found = sliced_wasserstein(x, truth[1], generator=generator(seed, _DIRECTIONS))
        values |= {key: found.value, f"{key} error": found.error}
    values |= _floor(data, seed, truth[1])
    if learnt is not None:
        values |= learnt.agreement(starts)
    kept = {key: x[:3000].half().numpy() for key, x in made.items() if _pictured(data, name, seed, key)}
    return measured(values, kept, timed=("cpu seconds",))


def true_samples(data: str, seed: int, sizes: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Samples to learn from and to compare with; for the digits, of which there are few, the same."""
    draws = generator(seed, _DATA)
    if data == "digits":
        x = torch.as_tensor(np.asarray(load_digits("all", dequantise=True).x), dtype=torch.float32)
        x = x[torch.randperm(len(x), generator=draws)]
        return x, x[: sizes["n"]]
    board = Checkerboard()
    return board.sample(sizes["rows"], generator=draws), board.sample(sizes["n"], generator=draws)


def _floor(data: str, seed: int, x: Tensor) -> dict[str, float]:
    """Two independent true sets of the size that was measured; halves of the images, of which there are no more."""
    draws = generator(seed, _HALVES)
    if data == "digits":
        return {"floor": floor(sliced_wasserstein, x, draws).value}
    other = Checkerboard().sample(len(x), generator=draws)
    return {"floor": sliced_wasserstein(x, other, generator=generator(seed, _DIRECTIONS)).value}


def _train(
    name: str, seed: int, x1: Tensor, sizes: Mapping[str, Any], lr: float
) -> tuple[Fields, FlowMap | None]:
    net = {"kind": "mlp", "width": sizes["width"], "depth": sizes["depth"]}
    train = {"steps": sizes["steps"], "batch_size": sizes["batch"], "lr": lr}
    if name in (ODE, OT):
        settings = TrainSettings(seed=seed, schedule="cosine", warmup=50, **train)
        coupling = MinibatchOT() if name == OT else None
        found = learn_fields(
            OneSidedLinear(), None, x1, heads=("velocity",), net=net, coupling=coupling, settings=settings
        )
        return found.fields, None
    if name == TRAJECTORIES:
        train["steps"] = 2 * sizes["steps"]
    rule = TRAJECTORIES if name == SHARED else name
    made = FlowMap(
        path=OneSidedLinear(), rule=rule, directions="forward", net=net, seed=seed, standardize=False, **train
    )
    made.fit(x1=x1)
    return made.fields, made


def _pictured(data: str, name: str, seed: int, key: str) -> bool:
    wanted: Sequence[str] = ("euler 4", REFERENCE) if name == ODE else ("map 1", "map 4")
    return data == "checkerboard" and seed == 0 and name in (ODE, "semigroup", "lagrangian") and key in wanted


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Sliced W2 at every number of steps, then four steps over the reference, seed by seed."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; sliced W2, mean ± standard error over seeds.\n"]
    for data in DATA:
        names = [name for name in (ODE, OT, *RULES) if results.names(f"{data}: {name}")]
        if not names:
            continue
        parts += [f"**{data}**: jumps of the map\n", _maps(results, data, names)]
        parts += [f"**{data}**: steps of Euler's scheme on the velocity\n", _odes(results, data, names)]
        if TRAJECTORIES in names:
            parts += [f"**{data}**: steps of the midpoint scheme on the teacher\n", _midpoint(results, data)]
        for jumps in (1, 4):
            title = f"**{data}**: {jumps} jump{'s' * (jumps > 1)} over the 100-step ODE\n"
            parts += [title, _ratios(results, data, names, jumps)]
    return "\n".join(parts)


def _maps(results: Results, data: str, names: list[str]) -> str:
    head = ["rule", *(f"{n}" for n in MAP_STEPS), "error of the metric", "CPU s"]
    rows = []
    for name in filter(RULES.__contains__, names):
        case = f"{data}: {name}"
        cells = [results.shown(case, f"map {n}", 4) for n in MAP_STEPS]
        own = f"{results.mean(case, 'map 4 error'):.4f}"
        rows.append([name, *cells, own, results.shown(case, "cpu seconds", 0)])
    rows.append(["true samples", results.shown(f"{data}: {names[0]}", "floor", 4), "", "", "", "", ""])
    return markdown(head, rows)


def _odes(results: Results, data: str, names: list[str]) -> str:
    head = ["velocity of", *(f"{n}" for n in ODE_STEPS), "Heun, 100", "CPU s"]
    numbers = {f"euler {n}": 4 for n in ODE_STEPS} | {REFERENCE: 4, "cpu seconds": 0}
    return markdown(head, results.rows({_words(name): f"{data}: {name}" for name in names}, numbers))


def _midpoint(results: Results, data: str) -> str:
    head = ["scheme", *(f"{n}" for n in MIDPOINT)]
    numbers = {f"midpoint {n}": 4 for n in MIDPOINT}
    return markdown(head, results.rows({"midpoint": f"{data}: {TRAJECTORIES}"}, numbers))


def _ratios(results: Results, data: str, names: list[str], jumps: int) -> str:
    head = ["rule", "over the ODE of its own network", "over the ODE of a velocity alone", "seeds below 1.3"]
    rows = []
    for name in filter(RULES.__contains__, names):
        case = f"{data}: {name}"
        map_w2 = results.values(case, f"map {jumps}")
        own = [a / b for a, b in zip(map_w2, results.values(case, REFERENCE), strict=True)]
        alone = [a / b for a, b in zip(map_w2, results.values(f"{data}: {ODE}", REFERENCE), strict=False)]
        below = sum(ratio < 1.3 for ratio in alone)
        rows.append([name, shown(own, 3), shown(alone, 3), f"{below} of {len(alone)}"])
    return markdown(head, rows)


def _words(name: str) -> str:
    titles = {ODE: "a network of its own", OT: "a network with an OT coupling", TRAJECTORIES: "the teacher",
              SHARED: "the teacher in shared steps"}  # fmt: skip
    return titles.get(name, f"the {name} map")


def figures(results: Results) -> list[Figure]:
    """Sliced W2 against steps, and samples of the checkerboard from seed 0."""
    return [_curves(results), _pictures(results)]


def _curves(results: Results) -> Figure:
    panels = []
    for data in DATA:
        series = []
        for hue, name in enumerate((*RULES[:4], ODE, TRAJECTORIES)):
            if not results.names(f"{data}: {name}"):
                continue
            steps, kind = (ODE_STEPS, "euler") if name == ODE else (MAP_STEPS, "map")
            words = "ODE, Euler" if name == ODE else f"map, {name}"
            numbers = [(f"{data}: {name}", f"{kind} {n}") for n in steps]
            series.append(results.curve(steps, numbers, words, hue))
        series.append(across(results.mean(f"{data}: {ODE}", "floor")))
        x = Axis(label="evaluations of the network", scale="log2", ticks=ODE_STEPS)
        y = Axis(label="sliced W2", unit="data units", scale="log", grid=True)
        panels.append(Panel(series=tuple(series), title=data, x=x, y=y, legend="best"))
    return Figure(name="flow_maps", panels=tuple(panels), width=1000, height=400)


def _pictures(results: Results) -> Figure:
    shots = {"true": Checkerboard().sample(3000, generator=generator(0)).numpy()}
    for name in (ODE, "semigroup", "lagrangian"):
        for key, x in results.arrays(f"checkerboard: {name}", 0).items():
            kind, steps = key.split()
            scheme = {"euler": "ODE, Euler", "heun": "ODE, Heun"}.get(kind, f"{name} map")
            shots[f"{scheme}, {steps} step{'s' if steps != '1' else ''}"] = x
    axis = Axis(low=-4.6, high=4.6, ticks=(-4, 0, 4))
    panels = tuple(
        Panel(series=(cloud(x, size=1, alpha=0.4),), title=words, x=axis, y=axis, equal=True)
        for words, x in shots.items()
    )
    return Figure(name="checkerboard", panels=panels, width=190 * len(shots), height=220)


CLAIMS = tuple(
    Stated(f"four_jumps.{data}_{rule} < 1.3 ode", (f"{data}: {rule}", "map 4"), (f"{data}: {ODE}", REFERENCE), "peer",
           expected="undecided" if (rule, data) == ("semigroup", "checkerboard") else expected)
    for rule, expected in (("semigroup", "holds"), ("eulerian", "fails"), (TRAJECTORIES, "holds")) for data in DATA
) + tuple(
    Stated(f"one_jump.{data}_{TRAJECTORIES} < {name}", (f"{data}: {TRAJECTORIES}", "map 1"), reference, "peer")
    for data in DATA
    for name, reference in (
        ("1.4 teacher", (f"{data}: {TRAJECTORIES}", REFERENCE)),
        ("semigroup", (f"{data}: semigroup", "map 1")),
        ("midpoint_2", (f"{data}: {TRAJECTORIES}", "midpoint 2")),
    )
)  # fmt: skip

STUDY = Study("flow_maps", SETTINGS, cases, measure, table, figures, CLAIMS)
