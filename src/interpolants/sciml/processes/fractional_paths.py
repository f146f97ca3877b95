"""Draws of paths of a model with fractional noise: free, given values, and what follows them."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, tell
from interpolants.sciml.processes.fractional_model import FractionalModel, Grid
from interpolants.sciml.processes.guided_paths import Paths, Steering, draw_paths

# Paths drawn for each that is kept, where weights differ.
_SPARE = 8

# Nats a value by which a network may steer worse than the guide.
_GAP = 0.5


def with_noise(model: FractionalModel, x: Tensor, source: Generator) -> Tensor:
    """Values of states, standardised."""
    fresh = torch.randn(x.shape, dtype=x.dtype, generator=source)
    return x + model.value("noise") * fresh


def free_paths(model: FractionalModel, grid: Grid, count: int, source: Generator, *, noise: bool) -> Tensor:
    """Paths from the law of the first state, at the times of values, ``(count, T)``."""
    path = _unseen(model, grid, count, source, None)[0]
    path = path[:, 1:] if model.settings.increments else path[:, :: grid.every]
    return with_noise(model, path, source) if noise else path


def continued(model: FractionalModel, grid: Grid, end: Tensor, source: Generator, *, noise: bool) -> Tensor:
    """What follows last states ``(1, M, D)`` at the times of values, ``(1, M, S)``."""
    path = _unseen(model, grid, end.shape[1], source, end)[..., grid.every :: grid.every]
    return with_noise(model, path, source) if noise else path


def _unseen(
    model: FractionalModel, grid: Grid, count: int, source: Generator, start: Tensor | None
) -> Tensor:
    nothing = torch.zeros(1, len(grid.sort) + 1, dtype=torch.float64)
    steering = Steering(drift=model.drift(grid))
    return draw_paths(model.chain(grid), nothing, nothing.bool(), count, steering, source, start).x


def steered(
    model: FractionalModel, grid: Grid, y: Tensor, seen: Tensor, count: int, source: Generator
) -> Paths:
    """Paths given the values of one series: of the posterior itself where weights are equal, else chosen by them."""
    if model.settings.closed:
        return model.paths(grid, y, seen, count, source)
    many = model.paths(grid, y, seen, _SPARE * count, source)
    kept = torch.multinomial(many.log_weight[0].softmax(0), count, replacement=True, generator=source)
    return Paths(many.x[:, kept], many.end[:, kept], many.log_weight[:, kept])


def warn_of_poor_control(
    model: FractionalModel, grid: Grid, y: Tensor, seen: Tensor, paths: int, seed: int
) -> None:
    """Tell that a network alone steers worse than the guide of the linear part, so that its bound means little."""
    guided = FractionalModel(replace(model.settings, control="guide"))
    guided.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        bounds = [
            one.bound(grid, y, seen, paths, generator(seed, "comparison with the guide"))
            for one in (guided, model)
        ]
    gap = float((bounds[0] - bounds[1]).sum() / seen.sum())
    if not gap < _GAP:
        told = f"FractionalSDE.fit: the bound by the network alone is {gap:.2g} nats a value below that by the guide"
        remedy = "log_prob, H and its error mean little. Use control='both', more steps, or a larger noise"
        tell(FitWarning, f"{told}; {remedy}.")
