"""Lotka-Volterra equations by three networks of one size: causal, plain, and DeepXDE's.

DeepXDE comes with ``pip install deepxde`` (LGPL, PyTorch backend); without it a line says so.
"""

import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any

import torch

from interpolants.sciml import CausalPINN
from interpolants.sciml.pinn.pde.lotka_volterra import LotkaVolterra

TIMES = 64


def run(
    *, steps: int = 6000, seeds: int = 3, end: float = 5.0, report: Callable[[str], None] = print
) -> None:
    """Relative errors and seconds for each seed, with 2 x 50 units, 64 times in each step and Adam.

    Args:
        steps: Training steps of each network.
        seeds: Seeds.
        end: Last time of the equations.
        report: Where lines go.
    """
    problem = LotkaVolterra(end=end)
    report(f"| Lotka-Volterra, T = {end:g}, {steps} steps | relative L2, each seed | seconds, each seed |")
    report("| --- | --- | --- |")
    peers: dict[str, Callable[[LotkaVolterra, int, int], Any]] = {"causal": _causal, "plain": _plain}
    if _has_deepxde():
        peers["DeepXDE, points anew in each step"] = _deepxde
    for name, solve in peers.items():
        found = [_measured(solve, problem, steps, seed) for seed in range(seeds)]
        errors, seconds = zip(*found, strict=True)
        report(
            f"| {name} | {', '.join(f'{e:.2g}' for e in errors)} | {', '.join(f'{s:.0f}' for s in seconds)} |"
        )
    if not _has_deepxde():
        report("\nDeepXDE is not installed: pip install deepxde.")


def _has_deepxde() -> bool:
    return importlib.util.find_spec("deepxde") is not None


def _measured(
    solve: Callable[..., Any], problem: LotkaVolterra, steps: int, seed: int
) -> tuple[float, float]:
    """Relative error on 2000 times, and seconds of processor time."""
    begin = time.process_time()
    answer = solve(problem, steps, seed)
    seconds = time.process_time() - begin
    t = torch.linspace(0, problem.end, 2000, dtype=torch.float64)[:, None]
    truth = problem.truth_at(t)
    return float((torch.as_tensor(answer(t)).double() - truth).norm() / truth.norm()), seconds


def _causal(problem: LotkaVolterra, steps: int, seed: int) -> Any:
    return CausalPINN(steps=steps, batch_size=TIMES, seed=seed).fit(problem).solve


def _plain(problem: LotkaVolterra, steps: int, seed: int) -> Any:
    return CausalPINN(steepness=0.0, steps=steps, batch_size=TIMES, seed=seed).fit(problem).solve


def _deepxde(problem: LotkaVolterra, steps: int, seed: int) -> Any:
    """Its own loop: the start is exact, residual points are drawn anew, the learning rate falls along a cosine."""
    os.environ.setdefault("DDE_BACKEND", "pytorch")
    import deepxde as dde

    dde.config.set_random_seed(seed)
    start = torch.tensor(problem.start)

    def residual(t: Any, u: Any) -> list[Any]:
        rates = problem.rates_at(t[:, 0], u)
        return [dde.grad.jacobian(u, t, i=i) - rates[:, i : i + 1] for i in range(2)]

    geometry = dde.geometry.TimeDomain(0, problem.end)
    data = dde.data.PDE(geometry, residual, [], num_domain=TIMES, train_distribution="pseudo")
    net = dde.nn.FNN([1, 50, 50, 2], "tanh", "Glorot normal")
    net.apply_feature_transform(lambda t: 2 * t / problem.end - 1)
    net.apply_output_transform(lambda t, u: start + t / problem.end * u)
    model = dde.Model(data, net)
    model.compile("adam", lr=5e-3, decay=("cosine", steps, 0.0), verbose=0)
    anew = dde.callbacks.PDEPointResampler(period=1)
    model.train(iterations=steps, callbacks=[anew], display_every=10 * steps, verbose=0)
    return lambda t: model.predict(t.numpy().astype("float32"))
