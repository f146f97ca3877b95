"""The parameters of a linear model of greatest evidence, and the standard error of its Hurst index."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from interpolants.foundations.asked import who
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.randomness import generator
from interpolants.sciml.processes.fractional_model import FractionalModel, Grid, ModelSettings

# Difference of raw parameters by which curvature is measured, and paths where the bound is drawn.
_DIFFERENCE, _PATHS = 1e-3, 16


def best_linear(
    settings: ModelSettings, grid: Grid, y: Tensor, seen: Tensor, iterations: int
) -> dict[str, Tensor]:
    """Parameters of the model without networks that maximise its evidence, by L-BFGS.

    Raises:
        DivergedError: If one becomes NaN or infinite.
    """
    drift = "constant" if settings.drift == "constant" else "linear"
    model = FractionalModel(replace(settings, drift=drift, control="guide"))
    free = [p for p in model.parameters() if p.requires_grad]
    search = torch.optim.LBFGS(free, max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = -model.bound(grid, y, seen, 1, None).sum() / seen.sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    found = {name: value.detach() for name, value in model.state_dict().items()}
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        told = "a parameter became NaN or infinite. Set noise or hurst."
        raise DivergedError(f"{who()}: {told}")
    return found


def hurst_error(
    settings: ModelSettings, found: Mapping[str, Tensor], grid: Grid, y: Tensor, seen: Tensor
) -> Tensor:
    """Standard error of H: the inverse of the bound's curvature in all raw parameters, by the delta method.

    NaN where H is given, or the bound has no curvature.
    """
    model = FractionalModel(settings)
    model.load_state_dict(dict(found))
    if "hurst" not in model.free:
        return torch.tensor(torch.nan, dtype=torch.float64)
    free = [model.raw[name] for name in model.free]
    rows = []
    for parameter in free:
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * _DIFFERENCE
            ends.append(_slope(model, free, grid, y, seen))
            with torch.no_grad():
                parameter -= sign * _DIFFERENCE
        rows.append((ends[0] - ends[1]) / (2 * _DIFFERENCE))
    curvature = -torch.stack(rows)
    covariance = torch.linalg.pinv((curvature + curvature.T) / 2, hermitian=True)
    at, h = model.free.index("hurst"), model.value("hurst").detach()
    variance = covariance[at, at]
    return h * (1 - h) * torch.where(variance > 0, variance, torch.nan).sqrt()


def _slope(model: FractionalModel, free: list[Tensor], grid: Grid, y: Tensor, seen: Tensor) -> Tensor:
    """Gradient of the bound in the raw parameters; where it is drawn, with the same noise each time."""
    source = None if model.settings.closed else generator(model.settings.seed, "paths of the curvature")
    with torch.enable_grad():
        total = model.bound(grid, y, seen, _PATHS, source).sum()
        return torch.stack(list(torch.autograd.grad(total, free)))
