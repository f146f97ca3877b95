"""Odd arguments at the public doors: an answer or an error of the library, in words; never a fault inside."""

import itertools
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interpolants import Bridge, load
from interpolants.dynamics import sample
from interpolants.foundations.errors import InterpolantsError
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.metrics import energy_distance
from interpolants.paths import OneSidedLinear
from interpolants.problems import EmpiricalBridge, GaussianMixture, GaussianMixtureBridge
from torture.rows import Row

TINY = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "batch_size": 8, "held_out": 0}
NAN, INF = float("nan"), float("inf")


def values() -> list[Any]:
    """Odd values: numbers, texts, containers, and arrays of odd types and shapes."""
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    plain = [None, True, -1, 0, 2, 10**30, 0.5, NAN, INF, -INF, 1e308, "", "x", "linear", b"x", [], {}, (), [[]],
             [1, 2], [[1, 2], [3]], {"a": 1}, {1, 2}, object(), len, 1j, range(3), ["a", "b"]]  # fmt: skip
    arrays = [x, x.double(), x.half(), x.bfloat16(), x.long(), x.bool(), x.to(torch.complex64), x[:0], x[0], x[0, 0],
              x[:, :1], x[:, :0], x[:1], x.T, x[::2], x.expand(3, 20, 2), x * NAN, x / 0, x * 1e38, x * 1e-38,
              x.clone().requires_grad_(), x.to_sparse(), torch.randn(20, 3), torch.randn(20, 2, 2)]  # fmt: skip
    numpy = [x.numpy(), x.numpy().astype(">f8"), x.numpy().astype(object), np.array(["a"] * 20), np.array(3),
             np.ma.masked_invalid(x.numpy()), np.zeros((20, 2), dtype="M8[s]"), np.zeros(20, dtype=[("a", "f4")]),
             np.asfortranarray(x.numpy()), x.numpy()[::-1]]  # fmt: skip
    return plain + arrays + numpy


def doors(work: Path) -> dict[str, Callable[[Any], Any]]:
    """Public functions, each of one odd value."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    law = GaussianMixture.random(3, 2, 1.0, 0)
    fields = GaussianMixtureBridge(Gaussian((2,)), law).fields(OneSidedLinear())
    bridge = Bridge("one_sided_linear", **TINY).fit(x1=x, progress=False)
    two = Bridge("linear", **TINY).fit(x, x + 1, cond=torch.arange(40) % 3, progress=False)
    quick = {"n_steps": 2}
    found: dict[str, Callable[[Any], Any]] = {
        "Bridge.fit(x1)": lambda v: Bridge("one_sided_linear", **TINY).fit(x1=v, progress=False),
        "Bridge.fit(x0)": lambda v: Bridge("linear", **TINY).fit(v, x, progress=False),
        "Bridge.fit(cond)": lambda v: Bridge("one_sided_linear", **TINY).fit(x1=x, cond=v, progress=False),
        "Bridge.sample(n)": lambda v: bridge.sample(_small(v), seed=0, **quick),
        "Bridge.sample(seed)": lambda v: bridge.sample(3, seed=v, **quick),
        "Bridge.sample(eps)": lambda v: bridge.sample(3, seed=0, eps=v, **quick),
        "Bridge.sample(cond)": lambda v: two.transport(x[:3], cond=v, **quick),
        "Bridge.sample(n_steps)": lambda v: bridge.sample(3, seed=0, n_steps=_small(v)),
        "Bridge.transport(x)": lambda v: two.transport(v, cond=0, **quick),
        "Bridge.log_prob(x)": lambda v: bridge.log_prob(v, method="euler", **quick),
        "Bridge(path)": lambda v: Bridge(v, **TINY),
        "Bridge(leg)": lambda v: Bridge("linear", leg=v, **TINY),
        "load": load,
        "sample(x)": lambda v: sample(fields, v, **quick),
        "sample(chunk)": lambda v: sample(fields, x, chunk=v, **quick),
        "sample(first_index)": lambda v: sample(fields, x, first_index=v, **quick),
        "sample(time_grid)": lambda v: sample(fields, x, time_grid=v, **quick),
        "sample(method)": lambda v: sample(fields, x, method=v, **quick),
        "log_prob(x)": lambda v: log_prob(fields, v, Gaussian((2,)), method="euler", **quick),
        "energy_distance": lambda v: energy_distance(v, x),
        "GaussianMixture.log_prob": law.log_prob,
        "EmpiricalBridge": EmpiricalBridge,
        "EmpiricalBridge.fields": lambda v: EmpiricalBridge(x).fields(v),
    }
    settings = (
        "steps",
        "batch_size",
        "lr",
        "net",
        "seed",
        "coupling",
        "heads",
        "times",
        "ema",
        "optimizer",
        "held_out",
    )
    for name in settings:
        found[f"Bridge({name})"] = lambda v, name=name: Bridge("linear", **{**TINY, name: v})
    return found


def _small(value: Any) -> Any:
    """A number that is asked for as a size, not so large that it is merely granted."""
    return -7 if type(value) in (int, float) and value > 1e6 else value


def attack(scale: float, work: Path) -> Row:
    """5,000 calls: each value at each door, then pairs of odd values in lists."""
    row, rng = Row("odd values at the public doors"), random.Random(0)
    odd, named = values(), doors(work)
    pairs = list(itertools.product(named.items(), odd))
    pairs += [(item, [a, b]) for item in named.items() for a, b in itertools.product(odd[:20], odd[:6])]
    rng.shuffle(pairs)
    for (name, door), value in pairs[: max(50, round(5000 * scale))]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                door(value)
                row.count()
            except (InterpolantsError, ImportError):
                row.count(refused=True)
            except Exception as error:
                told = repr(value).replace("\n", " ")[:60]
                row.count(harm=f"{name} of {told}: {type(error).__name__}: {str(error)[:100]}")
    return row
