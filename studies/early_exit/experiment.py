"""Does a rule that looks at each sample beat a network that is simply cut short?

Handwritten digits; a residual perceptron and a small transformer are trained, then heads and error estimates at their
layers, with the network tuned along or left as it is. Samples from the same noise by 30 steps of DDIM leave the layers
by three rules, whose thresholds are set to two mean depths, or all after a fixed layer (static). Fréchet distances to
the data in their first 20 principal components; that of a static exit at the depth of a rule is interpolated.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data import load
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.acceleration.early_exit import EarlyExit
from interpolants.generative.acceleration.layer_exit import CRITERIA
from interpolants.methods import Bridge
from interpolants.metrics import frechet_distance
from studies.common import Study

Settings = Mapping[str, Any]
PERCEPTRON, FROZEN, TRANSFORMER = "perceptron", "perceptron, frozen", "transformer"
SHARES = (0.7, 0.5)
_RUN: dict[str, Any] = {"method": "ddim", "n_steps": 30}
_MLP = {"kind": "mlp", "width": 160, "depth": 9, "residual": True, "layer_norm": True}
_DEEP = {"kind": "image_transformer", "width": 32, "depth": 6, "attention_heads": 2}

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"perceptron": [20, 10], "transformer": [4, 3], "n": 64, "batch": 32},
    "laptop": {"perceptron": [2500, 1000], "transformer": [700, 300], "n": 1000, "batch": 128},
    "full": {"perceptron": [20_000, 10_000], "transformer": [20_000, 10_000], "n": 1437, "batch": 256},
}


def cases(settings: Settings) -> Sequence[str]:
    """The networks."""
    return (PERCEPTRON, FROZEN, TRANSFORMER)


@lru_cache(maxsize=1)
def digits() -> Tensor:
    """Digits ``(N, 1, 8, 8)`` in [-1, 1]."""
    return load("digits", "train").x.float()


def learn(case: str, seed: int, settings: Settings) -> tuple[Bridge, EarlyExit]:
    """The model, and its heads."""
    first, second = settings[case.partition(",")[0]]
    loop = {"batch_size": settings["batch"], "ema": 0.995, "seed": seed}
    net = _DEEP if case == TRANSFORMER else _MLP
    model = Bridge("one_sided_linear", net=net, steps=first, lr=2e-3, **loop).fit(x1=digits(), progress=False)
    exits = EarlyExit(steps=second, tune=case != FROZEN, **loop)
    return model, exits.fit(x1=digits(), model=model)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """All rules on one network."""
    model, exits = learn(case, seed, settings)
    n, layers = settings["n"], exits.exits.n_layers
    values = {"model, distance": _distance(model.sample(n, seed=seed, **_RUN))}
    values |= _made(exits, "full", "full", 0.0, n, seed)
    for depth in range(1, layers):
        values |= _made(exits, f"static {depth}", "static", depth, n, seed)
    curve = [values[f"static {depth}, distance"] for depth in range(1, layers)] + [values["full, distance"]]
    for criterion in CRITERIA:
        for share in SHARES:
            name = f"{criterion} {share}"
            limit = exits.threshold_for(share, criterion, seed=1000 + seed, **_RUN)
            values |= _made(exits, name, criterion, limit, n, seed)
            values[f"{name}, threshold"] = limit
            same = float(np.interp(values[f"{name}, layers"], np.arange(1, layers + 1), curve))
            values[f"{name}, static distance"] = same
            values[f"{name}, share"] = values[f"{name}, layers"] / layers
    for name in ("correlation", "gap_correlation"):
        values[name] = float(exits.table[name].min())
    timed = [name for name in values if name.endswith("seconds")]
    return measured(values, _arrays(exits, curve) if seed == 0 else {}, timed=timed)


def _made(exits: EarlyExit, name: str, criterion: str, limit: float, n: int, seed: int) -> dict[str, float]:
    """Distance, mean layers and seconds of samples by one rule."""
    begun = time.process_time()  # of this process alone: the machine may be busy
    done = exits.sample(n, criterion=criterion, threshold=limit, seed=seed, details=True, **_RUN)
    seconds = time.process_time() - begun
    there = done.reports and len(done.reports[-1])
    layers = float(done.reports[-1]["layers"].mean()) if there else float(exits.exits.n_layers)
    return {
        f"{name}, distance": _distance(done.x),
        f"{name}, layers": layers,
        f"{name}, seconds": seconds,
    }


def _distance(x: Tensor) -> float:
    return frechet_distance(x, digits()).value


def _arrays(exits: EarlyExit, curve: Sequence[float]) -> dict[str, Any]:
    """Mean errors by time and layer, layers by time of two rules, and the static curve."""
    table = exits.table
    found = {"time": table["time"], "error": table["error"], "static": torch.tensor(curve)}
    for criterion in CRITERIA:
        limit = exits.threshold_for(SHARES[0], criterion, seed=1000, **_RUN)
        found[f"depth {criterion}"] = exits.depth_profile(256, criterion=criterion, threshold=limit, **_RUN)[
            "mean"
        ]
    return {name: value.numpy() for name, value in found.items()}


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Every rule beside the static exit of its depth."""
    text = results.head
    for case in results.cases:
        text += f"\n{case[0].upper()}{case[1:]}\n\n"
        head = ["rule", "threshold", "share of layers", "distance", "static, same depth", "seconds"]
        rows = [
            [name, *(results.shown(case, f"{name}, {what}") for what in _COLUMNS)]
            for name in (f"{criterion} {share}" for share in SHARES for criterion in CRITERIA)
        ]
        rows.append(
            [
                "full",
                "–",
                "1",
                results.shown(case, "full, distance"),
                "–",
                results.shown(case, "full, seconds"),
            ]
        )
        rows.append(["model before", "–", "1", results.shown(case, "model, distance"), "–", "–"])
        text += markdown(head, rows)
    text += "\nCorrelation of estimates with what they estimate, least of all layers\n\n"
    names = ("correlation", "gap_correlation")
    return text + markdown(["network", "error", "gap"], results.rows(results.cases, names))


_COLUMNS = ("threshold", "share", "distance", "static distance", "seconds")


def figures(results: Results) -> list[Figure]:
    """Errors by time, layers by time, distances against layers."""
    case = PERCEPTRON if PERCEPTRON in results.cases else results.cases[0]
    found = results.arrays(case, 0)
    if not found:
        return []
    layers = found["error"].shape[1]
    chosen = sorted({1, (layers + 1) // 2, layers})
    errors = [
        Series(
            mark="line", arrays={"x": found["time"], "y": found["error"][:, k - 1]}, name=f"layer {k}", hue=j
        )
        for j, k in enumerate(chosen)
    ]
    depths = []
    for k, criterion in enumerate(CRITERIA):
        mean = found[f"depth {criterion}"]
        arrays = {"x": np.arange(len(mean)) / len(mean), "y": mean}
        depths.append(Series(mark="line", arrays=arrays, name=criterion, hue=k))
    t = Axis(label="t")
    panels = (
        Panel(series=tuple(errors), title="Mean error in the noise", x=t, y=Axis(grid=True), legend="best"),
        Panel(
            series=tuple(depths), title="Layers used, 0.7 on average", x=t, y=Axis(grid=True), legend="best"
        ),
        _distances(results, case, layers),
    )
    return [Figure(name="early_exit", panels=panels, width=1150, height=320)]


def _distances(results: Results, case: str, layers: int) -> Panel:
    static = [(case, f"static {k}, distance") for k in range(1, layers)] + [(case, "full, distance")]
    series = [results.curve(range(1, layers + 1), static, "static", 3)]
    for k, criterion in enumerate(CRITERIA):
        names = [f"{criterion} {share}" for share in SHARES]
        x = [results.mean(case, f"{name}, layers") for name in names]
        series.append(
            results.curve(x, [(case, f"{name}, distance") for name in names], criterion, k, dash="")
        )
    full = across(1.2 * results.mean(case, "full, distance"), "1.2 x full")
    y = Axis(label="Fréchet distance", grid=True, scale="log")
    return Panel(
        series=(*series, full), title=f"Quality, {case}", x=Axis(label="mean layers"), y=y, legend="best"
    )


def _claims(case: str, label: str, fails: Sequence[str] = ()) -> list[Stated]:
    found = []
    for criterion in CRITERIA:
        name, word = f"{criterion} {SHARES[0]}", f"{label}_{criterion}"
        for says, rival in (("static", f"{name}, static distance"), ("1.2 full", "full, distance")):
            lost = f"{criterion} {says}" in fails
            found.append(
                Stated(f"{word}.distance < {says}", (case, f"{name}, distance"), (case, rival), "trivial",
                       expected="fails" if lost else "holds")
            )  # fmt: skip
    return found


CLAIMS = (
    *_claims(PERCEPTRON, "perceptron", ("gap static", "gap 1.2 full")),
    *_claims(FROZEN, "frozen", ("gap static", "gap 1.2 full")),
    *_claims(TRANSFORMER, "transformer"),
    Stated("perceptron.correlation > 0.9", (PERCEPTRON, "correlation")),
    Stated("transformer.correlation > 0.9", (TRANSFORMER, "correlation")),
)

STUDY = Study("early_exit", SETTINGS, cases, measure, table, figures, CLAIMS)
