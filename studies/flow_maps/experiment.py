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

from interpolants.data.images import load_digits
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.randomness import generator
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.methods.flow_settings import train_settings
from interpolants.metrics.estimate import floor
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.paths.linear import OneSidedLinear
from interpolants.problems.toys import Checkerboard
from interpolants.training.pairs import learn_fields
from studies.common import Outcome

ODE = "ode"
RULES = ("semigroup", "lagrangian", "mean_velocity", "eulerian")
DATA = ("checkerboard", "digits")
MAP_STEPS = (1, 2, 4, 8)
ODE_STEPS = (1, 2, 4, 8, 16, 32, 100)
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
    return [f"{data}: {name}" for data in DATA for name in (ODE, *RULES)]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Outcome:
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
    made[REFERENCE] = sample(fields, starts, method="heun", n_steps=100).x
    for key, x in made.items():
        found = sliced_wasserstein(x, truth[1], generator=generator(seed, _DIRECTIONS))
        values |= {key: found.value, f"{key} error": found.error}
    values |= _floor(data, seed, truth[1])
    if learnt is not None:
        values |= {key: learnt.summary()[key] for key in ("one_step_gap", "four_step_gap")}
    kept = {key: x[:3000].half().numpy() for key, x in made.items() if _pictured(data, name, seed, key)}
    return Outcome(values, kept)


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
    if name == ODE:
        found = learn_fields(
            OneSidedLinear(), None, x1, heads=("velocity",), net=net, settings=train_settings(train, seed, "study")
        )  # fmt: skip
        return found.fields, None
    made = FlowMap(
        path=OneSidedLinear(), rule=name, directions="forward", net=net, seed=seed, standardize=False, **train
    )
    made.fit(x1=x1)
    return made.fields, made


def _pictured(data: str, name: str, seed: int, key: str) -> bool:
    wanted: Sequence[str] = ("euler 4", REFERENCE) if name == ODE else ("map 1", "map 4")
    return data == "checkerboard" and seed == 0 and name in (ODE, "semigroup", "lagrangian") and key in wanted
