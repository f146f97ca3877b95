"""Free-energy difference of two sample sets with known energies, by a bridge between them.

``e^f0`` and ``e^f1`` are unnormalised densities of x0 and x1, ``f = -U/kT``. A fitted bridge carries held-out rows of
either end to the other; the log weights of its paths give bounds and Bennett's estimate of ``log Z1/Z0``, valid for any
bridge. Log densities are called on rows in data units; those of the network's units differ by the log volume of the
frame.

Source: He et al. (2025), arXiv:2504.11516; the choice of the noise level and the test of the samples are ours.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.framework.roles import count
from interpolants.framework.task import Split, Task
from interpolants.likelihood.bennett import LogRatio, bennett
from interpolants.likelihood.crooks import LogDensity, crooks_weights
from interpolants.likelihood.stein import check_samples
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.parts.start_points import draw_base
from interpolants.methods.questions.distances import real_rows

# Rows of an end, and held-out rows of an end; levels tried, paths of a trial, and fraction of test rows.
FEWEST, FEWEST_HELD_OUT = 100, 20
_LEVELS, _TRIAL, _TEST = (0.5, 0.25, 1.0, 2.0), 300, 0.3


@dataclass(frozen=True)
class WeightedPaths:
    """Log weights of a bridge's paths, and the estimates from them.

    Attributes:
        result: Bounds, Bennett's estimate, errors and overlap.
        without_path: The same from ``f1 - f0`` at the rows themselves: perturbation, and Bennett's estimate without a
            path.
        forward: Log weights of forward paths, ``(N, K)``.
        backward: Log weights of backward paths, ``(M, K)``.
        eps: Noise level, in the network's units squared.
    """

    result: LogRatio
    without_path: LogRatio | None
    forward: Tensor
    backward: Tensor
    eps: float


def free_energy(
    x0: Any,
    x1: Any,
    f0: LogDensity,
    f1: LogDensity,
    *,
    bridge: Bridge | None = None,
    n: int = 5000,
    stein: bool = True,
    seed: int = 0,
) -> LogRatio:
    """Estimate ``log Z1/Z0`` of two sample sets with known log densities; the free-energy difference is its negative.

    A ``Bridge`` is fitted to 70 % of the rows. Paths start from the others, so that the bounds hold::

        result = itp.free_energy(x0, x1, lambda x: -u0(x) / kT, lambda x: -u1(x) / kT)
        result.log_ratio, result.error, result.lower, result.upper, result.overlap

    Args:
        x0: Independent samples of ``e^f0``, ``(N, *D)``, at least 100.
        x1: Independent samples of ``e^f1``, ``(M, *D)``, at least 100.
        f0: Log density ``-U0(x)/kT`` in nats up to a constant, ``(B, *D)`` float64 -> ``(B,)``, written in torch.
        f1: The same for ``x1``.
        bridge: Bridge to fit, which is fitted in place; None for ``Bridge(path="linear", seed=seed)``. Further
            questions, such as one with more steps, go to ``bridge.ask("free_energy", log_densities=(f0, f1))``.
        n: Number of paths each way. With fewer rows there are several paths from each.
        stein: Test by Stein's identity whether the rows belong to the log densities.
        seed: Seed of the split and the paths.

    Returns:
        Estimate, error, bounds and overlap, in nats.

    Raises:
        InvalidInputError: If an end has fewer than 100 rows, rows do not belong to their log density, or a log density
            is not one number per row, or is NaN.
    """
    caller = "free_energy"
    whole(caller, "n", n, at_least=2)
    for name, x in (("x0", x0), ("x1", x1)):
        if count(x) < FEWEST:
            raise invalid(caller, f"{name} must have at least {FEWEST} rows", count(x))
    bridge = Bridge(path="linear", seed=seed) if bridge is None else bridge
    task = Task.of(bridge.roles(), {"x0": x0, "x1": x1}, Split(test=_TEST, seed=seed))
    starts = {name: real_rows(task, name) for name in ("x0", "x1")}
    logs = {"x0": f0, "x1": f1}
    if stein:  # before the fit, which takes minutes
        for name, f in logs.items():
            check_samples(caller, f"f{name[1]}", f, starts[name])
    task.fit(bridge)
    return weigh_paths(bridge, starts["x0"], starts["x1"], (f0, f1), n=n, seed=seed).result


def weigh_paths(
    bridge: FittedBridge,
    x0: Tensor | None,
    x1: Tensor,
    log_densities: tuple[LogDensity | None, LogDensity],
    *,
    n: int = 5000,
    n_steps: int = 100,
    eps: float | None = None,
    seed: int = 0,
) -> WeightedPaths:
    """Run a fitted bridge's paths from held-out rows of both ends, and estimate ``log Z1/Z0`` from their weights.

    Args:
        bridge: The bridge, without conditions.
        x0: Held-out rows of x0 in data units; None where the path has a Gaussian base.
        x1: Held-out rows of x1.
        log_densities: Those of :func:`free_energy`; the first is None where the path has a base, which is normalised.
        n: Number of paths each way.
        n_steps: Steps of a path.
        eps: Noise level; None to choose it.
        seed: Seed of the paths.

    Raises:
        InvalidInputError: If there are fewer than 20 rows, or a log density for a base.
    """
    caller, f0 = "free_energy", log_densities[0]
    for name, x in (("x0", x0), ("x1", x1)):
        if x is not None and len(x) < FEWEST_HELD_OUT:
            rule = f"{name} must have at least {FEWEST_HELD_OUT} held-out rows"
            raise invalid(caller, rule, len(x), "Pass more rows, or raise held_out.")
    base = bridge.fitted_path.base
    if (base is None) != (x0 is not None) or (base is None) != (f0 is not None):
        rule = "the first log density and rows of x0 belong to a path between two sample sets"
        remedy = "On a path with a Gaussian base log_densities is (None, f1)."
        raise invalid(caller, rule, type(bridge.fitted_path).__name__, remedy)
    states0 = draw_base(base, bridge.field_shape, n, seed, 0) if x0 is None else bridge.encoded(x0)
    states = states0, bridge.encoded(x1)
    logs = (
        bridge.density0().log_prob if f0 is None else _framed(bridge, f0),
        _framed(bridge, log_densities[1]),
    )
    if eps is None:
        few = [x[:_TRIAL] for x in states]
        eps = min(_LEVELS, key=lambda level: _width(_both_ways(bridge, few, logs, n_steps, level, seed + 1)))
    paths = [_repeated(x, n) for x in states]
    weights = _both_ways(bridge, [x for x, _ in paths], logs, n_steps, eps, seed)
    forward, backward = (w.reshape(-1, k) for w, (_, k) in zip(weights, paths, strict=True))
    direct = [logs[1](x.double()) - logs[0](x.double()) for x in states]
    return WeightedPaths(
        bennett(forward, backward, seed=seed), _without_path(*direct), forward, backward, eps
    )


def _framed(bridge: FittedBridge, log_density: LogDensity) -> LogDensity:
    """A log density of rows as one of states in the network's units."""

    def log_prob(state: Tensor) -> Any:
        rows = bridge.frame.decode(state)
        value = torch.as_tensor(log_density(rows))
        return value - bridge.frame.log_volume(rows) if value.shape == state.shape[:1] else value

    return log_prob


def _repeated(x: Tensor, n: int) -> tuple[Tensor, int]:
    """Starts of about ``n`` paths, and the number of paths from each row."""
    k = max(1, round(n / len(x)))
    return x[:n].repeat_interleave(k, 0), k


def _both_ways(
    bridge: FittedBridge,
    states: Any,
    logs: tuple[LogDensity, LogDensity],
    n_steps: int,
    eps: float,
    seed: int,
) -> list[Tensor]:
    return [
        crooks_weights(bridge.fields, x, logs, reverse=reverse, eps=eps, n_steps=n_steps, seed=seed)
        for x, reverse in zip(states, (False, True), strict=True)
    ]


def _width(weights: list[Tensor]) -> float:
    """Distance of the bounds; infinite where a path leaves the support of a density."""
    return float(weights[1].mean() - weights[0].mean())


def _without_path(forward: Tensor, backward: Tensor) -> LogRatio | None:
    """Bennett's estimate without a path; None where no row of an end has a density at the other."""
    if not all(bool(x.isfinite().any()) for x in (forward, backward)):
        return None
    return bennett(forward, backward)
