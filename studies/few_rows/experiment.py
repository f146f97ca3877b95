"""Bridges between two sets of digits by number of training rows: what can 111 rows not do?

Threes to eights, and even digits to odd ones, 8 x 8 pixels, with 28 to 444 training rows of each. A quarter of as many
further rows decide which weights are kept. The test rows are held out of both: transported to the other set
by the ODE, they are compared with held-out rows of that set. Baselines: the rows unchanged, draws from a Gaussian with
the mean and covariance of the training rows, and the training rows themselves, which is what copying would reach.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.data.sets.images import load_digits
from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.metrics.energy_distance import energy_distance
from studies.common import Study

Settings = Mapping[str, Any]
SETS = {"threes to eights": ((3,), (8,)), "even to odd": ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))}
NAMES = {
    "bridge": "bridge, ODE",
    "copies": "training rows",
    "gaussian": "Gaussian fit",
    "unchanged": "unchanged",
}

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"rows": [[20], [20]], "steps": 20, "batch": 16, "width": 16, "depth": 2},
    "laptop": {
        "rows": [[28, 56, 111], [28, 111, 444]],
        "steps": 1500,
        "batch": 128,
        "width": 512,
        "depth": 4,
    },
    "full": {"rows": [[28, 56, 111], [28, 111, 444]], "steps": 6000, "batch": 128, "width": 1024, "depth": 6},
}


def cases(settings: Settings) -> Sequence[str]:
    """A pair of sets with a number of rows."""
    return [f"{name}, {n} rows" for name, rows in zip(SETS, settings["rows"], strict=True) for n in rows]


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Fit, transport held-out rows, compare."""
    name, _, size = case.partition(", ")
    n, digits = int(size.split()[0]), load_digits("all", dequantise=True)
    train, chosen_by, test = zip(*(_parts(digits, labels, n, seed) for labels in SETS[name]), strict=True)
    net = {
        "kind": "mlp", "width": settings["width"], "depth": settings["depth"], "residual": True, "layer_norm": True,
    }  # fmt: skip
    path = {"kind": "linear", "envelope": {"kind": "brownian", "scale": 1.0}}
    how: dict[str, Any] = {"steps": settings["steps"], "batch_size": settings["batch"], "lr": 2e-3}
    bridge = Bridge(path, heads=("mean_rate", "noise"), net=net, seed=seed, **how)
    bridge.fit(*train, held={"x0": chosen_by[0], "x1": chosen_by[1]}, progress=False)
    gaussian = GaussianFit().fit(x1=train[1])
    samples = {
        "bridge": bridge.transport(test[0]),
        "copies": train[1],
        "gaussian": gaussian.sample(len(test[1]), seed=seed),
        "unchanged": test[0],
    }
    scale = float(train[1].std())
    real = test[1].double() / scale
    values = {key: energy_distance(x.double() / scale, real).value for key, x in samples.items()}
    return measured(values, {"samples": samples["bridge"][:10]})


def _parts(digits: Any, labels: Sequence[int], n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training rows, rows that choose the weights, and test rows, which are the same for every n."""
    rows = digits.x[torch.isin(digits.labels, torch.tensor(labels))]
    rows = rows[torch.randperm(len(rows), generator=generator(seed, "few rows", str(labels)))]
    judged = len(rows) // 5
    return rows[judged : judged + n], rows[judged + n : judged + n + n // 4], rows[:judged]


def table(results: Results) -> str:
    """Energy distances per case."""
    heads = ("training rows of each set", *NAMES.values())
    return results.head + "\n" + markdown(heads, results.rows(results.cases, list(NAMES)))


def figures(results: Results) -> list[Figure]:
    """Distance against the number of rows, a panel for each pair of sets."""
    panels = []
    for name, rows in zip(SETS, results.settings["rows"], strict=True):
        curves = [
            results.curve(rows, [(f"{name}, {n} rows", key) for n in rows], label, hue)
            for hue, (key, label) in enumerate(list(NAMES.items())[:3])
        ]
        panels.append(
            Panel(
                series=(*curves, across(0.0, "the same distribution")),
                title=name.capitalize(),
                x=Axis(
                    label="training rows of each set",
                    scale="log2",
                    ticks=tuple(rows),
                    names=tuple(map(str, rows)),
                ),
                y=Axis(label="energy distance to held-out rows", grid=True),
                legend="below",
                legend_columns=2,
            )
        )
    return [Figure(name="few_rows", panels=tuple(panels), width=860, height=380)]


_FEW, _MANY = "threes to eights, 111 rows", "even to odd, 444 rows"
CLAIMS = (
    Stated("threes.energy < unchanged", (_FEW, "bridge"), (_FEW, "unchanged"), "trivial"),
    Stated("threes.energy < gaussian_fit", (_FEW, "bridge"), (_FEW, "gaussian"), "trivial", expected="fails"),
    Stated("odd.energy < gaussian_fit", (_MANY, "bridge"), (_MANY, "gaussian"), "trivial"),
    Stated("odd.energy < training_rows", (_MANY, "bridge"), (_MANY, "copies"), "oracle", expected="fails"),
)

STUDY = Study("few_rows", SETTINGS, cases, measure, table, figures, CLAIMS)
