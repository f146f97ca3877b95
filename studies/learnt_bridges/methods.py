"""Bridges that are learnt from samples, all with one network and one length of training."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import InterpolantsError
from interpolants.generative.schrodinger.entropic_sb import EntropicSB
from interpolants.generative.schrodinger.interpolant_sb import InterpolantSB
from interpolants.generative.schrodinger.light_sb import LightSB
from interpolants.likelihood.log_prob import log_prob
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.methods.rectification.rectification import Rectification
from interpolants.metrics.energy_distance import energy_distance
from studies.learnt_bridges.problems import Samples

Settings = Mapping[str, Any]
BUDGETS = (1, 2, 4, 8, 32)
NOISY_BUDGETS = (8, 32)
EPS = 0.5  # of the SDE, unless a bridge has a level of its own
POINTS, LIKELIHOOD_STEPS = 100, 25
# Paths whose states grow with the noise: a plain network does not see the data in them.
GROWING = ("ve", "edm", "edm, df 8")
TWO_SIDED = ("linear", "linear, zero", "linear, zero, minibatch_ot", "trigonometric", "encoder_decoder")
FROM_NOISE = ("linear, zero", "linear, zero, minibatch_ot")


class Learnt:
    """A bridge after its training.

    Args:
        fields: Its fields.
        solver: What made them, with ``transport``.
        eps: Level of its SDE.
    """

    def __init__(self, fields: Fields, solver: Any, eps: float = EPS) -> None:
        self.fields, self.solver, self.eps = fields, solver, eps

    def carry(self, x: Tensor, budget: int, *, reverse: bool = False) -> Tensor:
        """By the flow with so many evaluations: jumps of a map, one step of Euler, or midpoint steps."""
        if isinstance(self.solver, FlowMap):
            return self.solver.transport(x, n_steps=budget, reverse=reverse)
        method, steps = ("euler", 1) if budget == 1 else ("midpoint", budget // 2)
        return sample(self.fields, x, n_steps=steps, method=method, reverse=reverse, **_whole(x)).x

    def diffuse(self, x: Tensor, budget: int) -> Tensor:
        """By the SDE with so many evaluations."""
        return sample(
            self.fields, x, n_steps=budget, method="euler_maruyama", eps=self.eps, seed=0, **_whole(x)
        ).x


def _whole(x: Tensor) -> dict[str, Any]:
    return {"invariant": False, "chunk": len(x), "on_failure": "keep"}


def methods(
    task: str, one_sided: Mapping[str, Callable[[Tensor], Any]]
) -> dict[str, Callable[[Samples, int, Settings], Learnt]]:
    """How to learn each bridge of a task.

    Args:
        task: Name of the problem.
        one_sided: Paths from a Gaussian or Student-t base, from samples of the data.
    """
    if task == "learn to generate":
        paths = {name: partial(_from_noise, make=make, name=name) for name, make in one_sided.items()}
        flows = {"flow_map, one-sided": partial(_flow_map, path="one_sided_linear")}
        found = {**paths, **{name: partial(_interpolant, name=name) for name in FROM_NOISE}, **flows}
        return {**found, "rectification, one-sided": partial(_rectified, path="one_sided_linear")}
    return {
        **{name: partial(_interpolant, name=name) for name in TWO_SIDED},
        "rectification": partial(_rectified, path="linear"),
        "flow_map": partial(_flow_map, path="linear"),
        **{name: partial(_schrodinger, kind=name) for name in ("light_sb", "interpolant_sb", "entropic_sb")},
    }


def hold_against_truth(
    make: Callable[[Samples, int, Settings], Learnt], data: Samples, seed: int, settings: Settings
) -> dict[str, float]:
    """Distances to held-out samples by budget, both ways; cost of the transport, likelihood, seconds of the fit."""
    began = time.process_time()
    learnt = make(data, seed, settings)
    values = {"seconds": time.process_time() - began}
    start = _starts(learnt.fields, data)
    for n in BUDGETS:
        values[f"ode@{n}"] = _distance(partial(learnt.carry, start, n), data.test1)
    if learnt.fields.has_score:
        for n in NOISY_BUDGETS:
            values[f"sde@{n}"] = _distance(partial(learnt.diffuse, start, n), data.test1)
    there = learnt.carry(start, 32)
    if start is data.test0:  # a base of its own is not where the data start
        values["move"] = float((there - start).square().flatten(1).sum(1).mean()) / 2
        values["back"] = _distance(partial(learnt.carry, data.test1, 32, reverse=True), data.test0)
    if isinstance(learnt.solver, LightSB):
        drawn = learnt.solver.transport(start, seed=seed)
        values |= {"draws@0": energy_distance(drawn, data.test1).value}
        values |= {"move, draws": float((drawn - start).square().sum(1).mean()) / 2}
    nats = _nats(learnt.fields, data)
    return values if nats is None else values | {"nats": nats}


def _starts(fields: Fields, data: Samples) -> Tensor:
    path = fields.path
    if path is None or path.base is None:
        return data.test0
    noise = path.base.noise(data.test0.shape, generator=torch.Generator().manual_seed(5))
    return path.base.color(noise)


def _distance(carried: Callable[[], Tensor], true: Tensor) -> float:
    try:
        x = carried()
    except InterpolantsError:
        return math.inf
    return energy_distance(x, true).value if bool(torch.isfinite(x).all()) else math.inf


def _nats(fields: Fields, data: Samples) -> float | None:
    """Mean absolute error of the flow's log density of x1; None where the truth is not known or there is none."""
    if data.rho1 is None:
        return None
    base = data.rho0 if fields.path is None or fields.path.base is None else fields.path.base
    x = data.test1[:POINTS]
    try:
        found = log_prob(fields, x, base, method="midpoint", n_steps=LIKELIHOOD_STEPS, on_failure="keep")
    except InterpolantsError:
        return None
    return float((found.log_prob.double() - data.rho1.log_prob(x).double()).abs().mean())


def _train(seed: int, settings: Settings) -> dict[str, Any]:
    steps = {"steps": settings["steps"], "batch_size": settings["batch"], "seed": seed}
    return {**steps, "lr": 2e-3, "schedule": "cosine", "warmup": 50}


def _net(settings: Settings) -> dict[str, Any]:
    return {"kind": "mlp", **settings["net"]}


def _bridge(path: Any, x0: Tensor | None, x1: Tensor, seed: int, settings: Settings, **how: Any) -> Learnt:
    bridge = Bridge(path, net=_net(settings), standardize=False, **how, **_train(seed, settings))
    return Learnt(bridge.fit(x0, x1, progress=False).fields, bridge)


def _interpolant(data: Samples, seed: int, settings: Settings, *, name: str) -> Learnt:
    path, *words = name.split(", ")
    kind: Any = {"kind": path, "envelope": {"kind": "zero"}} if "zero" in words else path
    coupling = "minibatch_ot" if "minibatch_ot" in words else "independent"
    return _bridge(kind, data.x0, data.x1, seed, settings, coupling=coupling)


def _from_noise(
    data: Samples, seed: int, settings: Settings, *, make: Callable[[Tensor], Any], name: str
) -> Learnt:
    how: dict[str, Any] = {}
    if name in GROWING:
        how = {"precondition": True, "times": "noise", "heads": "denoised"}
    elif name == "kinetic_optimal":
        how = {"heads": "denoised"}  # for centred data the target of the velocity has no variance at t = 0
    return _bridge(make(data.x1), None, data.x1, seed, settings, **how)


def _rectified(data: Samples, seed: int, settings: Settings, *, path: str) -> Learnt:
    made = Rectification(path=path, net=_net(settings), n_steps=25, **_train(seed, settings))
    done = made.fit(None if path.startswith("one_sided") else data.x0, data.x1)
    return Learnt(done.fields, done)


def _flow_map(data: Samples, seed: int, settings: Settings, *, path: str) -> Learnt:
    train = {name: value for name, value in _train(seed, settings).items() if name != "seed"}
    made = FlowMap(path=path, net=_net(settings), seed=seed, standardize=False, **train)
    done = made.fit(None if path.startswith("one_sided") else data.x0, data.x1)
    return Learnt(done.fields, done)


def _schrodinger(data: Samples, seed: int, settings: Settings, *, kind: str) -> Learnt:
    solver: Any
    if kind == "light_sb":
        solver = LightSB(eps=data.eps, n_components=settings["components"], seed=seed)
    else:
        how = {"eps": data.eps, "net": _net(settings), **_train(seed, settings)}
        solver = (
            InterpolantSB(**how) if kind == "interpolant_sb" else EntropicSB(**how, block=512, pairs=10_000)
        )
    done = solver.fit(data.x0, data.x1)
    return Learnt(done.fields, done, data.eps)
