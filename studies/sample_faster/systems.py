"""Ways to sample: each trains what it needs, then gives its samplers with their evaluations of the network."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interpolants.dynamics import optimise_grid, sample
from interpolants.fields.protocol import Fields
from interpolants.generative.acceleration.early_exit import EarlyExit
from interpolants.generative.acceleration.encoder_propagation import EncoderPropagation
from interpolants.generative.acceleration.time_shift import TimeShift
from interpolants.methods import Bridge, FewStep, FlowMap, Rectification
from studies.sample_faster.judge import images

Settings = Mapping[str, Any]
ONCE, FEW, STRAIGHT, MAP, EXIT = "trained once", "few steps", "straight paths", "flow map", "early exit"
FITTED = "solver and map of the base"
SHARE = 0.7  # of the layers, to which thresholds of early exit are set


class Row(NamedTuple):
    """One sampler.

    Attributes:
        name: What it is called in tables.
        evaluations: Calls of the network, or of a part of it.
        make: ``make(n, seed)`` -> samples.
    """

    name: str
    evaluations: int
    make: Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Budget:
    """What a data set is worth, with a seed.

    Attributes:
        data: Name of the data set.
        seed: Seed of all trainings.
        own: Settings of the data set, see ``experiment.SETTINGS``.
    """

    data: str
    seed: int
    own: Settings

    @property
    def rows(self) -> Tensor:
        """The training images."""
        return images(self.data, self.own["rows"]).train

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, H, W)."""
        return tuple(self.rows.shape[1:])

    def loop(self, **changes: Any) -> dict[str, Any]:
        """Settings of a gradient loop."""
        given = {"steps": self.own["steps"], "batch_size": self.own["batch"], "ema": 0.995}
        return {**given, "seed": self.seed, **changes}

    def noise(self, n: int, seed: int) -> Tensor:
        """Starts."""
        return torch.randn(n, *self.shape, generator=torch.Generator().manual_seed(1000 + seed))


def base(budget: Budget) -> Bridge:
    """The U-Net that learns the noise on a variance-preserving path; kept for the next cell of its seed."""
    return _base(budget.data, budget.seed, json.dumps(budget.own))


@lru_cache(maxsize=1)
def _base(data: str, seed: int, own: str) -> Bridge:
    budget = Budget(data, seed, json.loads(own))
    made = Bridge(path="vp", heads=("noise",), net=budget.own["net"], **_plain(budget.loop()))
    return made.fit(x1=budget.rows, progress=False)


def _plain(loop: dict[str, Any]) -> dict[str, Any]:
    """Units of the data, and all rows: every way learns from the same."""
    return {**loop, "standardize": False, "held_out": 0}


def once(budget: Budget) -> Iterator[Row]:
    """What needs no further training: solvers, grids, propagation, time shift, and some of them together."""
    fields = base(budget).fields
    run = _Sampler(budget, fields)
    for k in (5, 10, 20, 50):
        yield run(f"DDIM {k}", k, method="ddim", n_steps=k)
    for k in (1, 2, 5, 10):
        yield run(f"midpoint {k}", 2 * k, method="midpoint", n_steps=k)
    for name, label in (("dpmpp_2m", "2M"), ("unipc3", "UniPC-3")):
        for k in (5, 10, 20):
            yield run(f"{label} {k}", k, method=name, n_steps=k)
    for name, label, k, calls in (("midpoint", "midpoint", 5, 10), ("dpmpp_2m", "2M", 10, 10),
                                  ("unipc3", "UniPC-3", 10, 10)):  # fmt: skip
        grid = _grid(budget, fields, k, name)
        yield run(f"{label} {k}, grid", calls, method=name, time_grid=grid)
    yield from _modified(budget, run, fields)


def _grid(budget: Budget, fields: Fields, steps: int, method: str) -> Any:
    own = budget.own["grid"]
    starts = budget.noise(own["rows"], 77)
    return optimise_grid(fields, starts, steps, method=method, cells=own["cells"])


def _modified(budget: Budget, run: "_Sampler", fields: Fields) -> Iterator[Row]:
    kept, refreshed = EncoderPropagation(2), EncoderPropagation(2, 1)
    shift = TimeShift(variance=float(budget.rows.flatten(1).var(1).mean()))
    yield run("DDIM 20, propagation", 20, method="ddim", n_steps=20, modifiers=kept)
    yield run("DDIM 20, propagation, refreshed", 20, method="ddim", n_steps=20, modifiers=refreshed)
    yield run("DDIM 10, shift", 10, method="ddim", n_steps=10, modifiers=shift)
    yield run("DDIM 20, shift", 20, method="ddim", n_steps=20, modifiers=shift)
    yield run("2M 10, shift", 10, method="dpmpp_2m", n_steps=10, modifiers=shift)
    yield run("2M 10, propagation, refreshed", 10, method="dpmpp_2m", n_steps=10, modifiers=refreshed)
    grid = _grid(budget, fields, 10, "dpmpp_2m")
    both = {"method": "dpmpp_2m", "time_grid": grid}
    yield run("2M 10, grid, propagation, refreshed", 10, modifiers=refreshed, **both)
    yield run("2M 10, grid, shift", 10, modifiers=shift, **both)


class _Sampler:
    """Rows of one model."""

    def __init__(self, budget: Budget, fields: Fields) -> None:
        self.budget, self.fields = budget, fields

    def __call__(self, name: str, evaluations: int, **options: Any) -> Row:
        def make(n: int, seed: int) -> Tensor:
            return sample(self.fields, self.budget.noise(n, seed), **options).x

        return Row(name, evaluations, make)


def few(budget: Budget) -> Iterator[Row]:
    """Two and four steps of the base, trained on as one map."""
    model, own = base(budget), budget.own["few"]
    for method, k, calls in (("ddim", 2, 2), ("ddim", 4, 4), ("midpoint", 1, 2)):
        loop = budget.loop(steps=own["steps"], batch_size=own["batch"], lr=1e-3, ema=0.98)
        settings = {**loop, "micro": own["micro"], "checkpoint_every": own["steps"]}
        made = FewStep(n_steps=k, method=method, **settings).fit(model=model, x1=budget.rows, progress=False)
        label = "DDIM" if method == "ddim" else method
        yield _Sampler(budget, model.fields)(f"{label} {k}", calls, method=method, n_steps=k)
        yield Row(f"{label} {k}, MMD", calls, lambda n, seed, made=made: made.sample(n, seed=seed))  # type: ignore[misc]


def straight(budget: Budget) -> Iterator[Row]:
    """A velocity on straight paths, and the same rectified once."""
    settings = budget.loop(n_steps=budget.own["pairs"], net=budget.own["net"])
    made = Rectification(path="one_sided_linear", rounds=1, **settings).fit(x1=budget.rows, progress=False)
    for label, flow in zip(("straight", "rectified"), made.flows, strict=True):
        run = _Sampler(budget, flow)
        for k in (1, 2, 4, 10):
            yield run(f"{label}, Euler {k}", k, method="euler", n_steps=k)
        for k in (1, 2, 5):
            yield run(f"{label}, midpoint {k}", 2 * k, method="midpoint", n_steps=k)


def flow_map(budget: Budget) -> Iterator[Row]:
    """Jumps, learnt without a teacher in twice the steps of the base, as many as rectification takes."""
    settings = {**budget.loop(steps=2 * budget.own["steps"]), "standardize": False}
    made = FlowMap(path="one_sided_linear", directions="forward", net=budget.own["net"], **settings)
    made.fit(x1=budget.rows, progress=False)
    for k in (1, 2, 4):
        yield Row(f"flow map {k}", k, lambda n, seed, k=k: made.sample(n, n_steps=k, seed=seed))  # type: ignore[misc]


def fitted(budget: Budget) -> Iterator[Row]:
    """The base on a straight path: by the midpoint rule, by fitted solvers, and as a flow map of its trajectories."""
    model, few, n = base(budget), budget.own["few"], budget.own["n"]
    straight = model.on("one_sided_linear")
    run = _Sampler(budget, straight.fields)
    for k in (1, 2):
        yield run(f"base moved, midpoint {k}", 2 * k, method="midpoint", n_steps=k)
    for n in (2, 4):
        fast = straight.fit_solver(n, pairs=max(n // 2, 100), steps=few["steps"], seed=budget.seed)
        yield run(f"base moved, fitted solver {n}", n, method=fast)
    settings = {**budget.loop(), "trajectories": max(4 * n, 128)}
    jumps = FlowMap(path="one_sided_linear", directions="forward", **settings).fit(
        model=model, progress=False
    )
    for k in (1, 2, 4):
        yield Row(f"flow map of the base {k}", k, lambda n, seed, k=k: jumps.sample(n, n_steps=k, seed=seed))  # type: ignore[misc]


def early_exit(budget: Budget) -> Iterator[Row]:
    """A transformer of its own on a straight path, in full and left early."""
    net, own = budget.own["transformer"], budget.own["exits"]
    model = Bridge(path="one_sided_linear", net=net, **_plain(budget.loop())).fit(
        x1=budget.rows, progress=False
    )
    made = EarlyExit(**budget.loop(steps=own["steps"])).fit(x1=budget.rows, model=model, progress=False)
    layers = net["depth"]
    for method, label, k in (("ddim", "DDIM", 20), ("dpmpp_2m", "2M", 10)):
        run = {"method": method, "n_steps": k}
        rules: list[tuple[str, str, float]] = [("full", "full", 0.0)]
        rules += [
            (f"static {layer}", "static", layer) for layer in sorted({round(SHARE * layers), layers - 1})
        ]
        for rule in ("relative", "absolute"):
            limit = made.threshold_for(SHARE, rule, n=own["trial"], seed=1000 + budget.seed, **run)
            rules.append((rule, rule, limit))
        for name, rule, limit in rules:
            yield Row(f"transformer, {label} {k}, {name}", k, _leaving(made, rule, limit, run))


def _leaving(made: EarlyExit, rule: str, limit: float, run: Settings) -> Callable[[int, int], Tensor]:
    return lambda n, seed: made.sample(n, criterion=rule, threshold=limit, seed=seed, **run)


# Each trains first. In this order the base of a seed is trained once for those that need it.
SYSTEMS: dict[str, Callable[[Budget], Iterator[Row]]] = {
    ONCE: once, FEW: few, FITTED: fitted, STRAIGHT: straight, MAP: flow_map, EXIT: early_exit,
}  # fmt: skip
