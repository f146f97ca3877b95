"""Draw ``docs/images/multimarginal.png``: ``python docs/figures/multimarginal.py``.

Three Gaussians with their exact heads, and what three routes make of one of them. Nothing is trained.
"""

from pathlib import Path

import torch
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.framework.figures import Axis, Figure, Panel, cloud, trails
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import choose_route
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
MEANS = torch.tensor([[-3.0, -1.0], [3.0, -1.0], [0.0, 3.2]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[0.8, 0.5], [0.5, 0.5]], [[0.3, 0.0], [0.0, 0.9]], [[1.2, -0.3], [-0.3, 0.25]]], dtype=torch.float64
)
ROUTES = {
    "along the edge": "straight",
    "through the barycentre": "barycentre",
    "close by the third": [[1, 0, 0], [0.15, 0.05, 0.8], [0, 1, 0]],
}


def heads(x: Tensor, alpha: Tensor) -> Tensor:
    """``g_k = m_k + alpha_k C_k C^-1 (x - m)``, by Gaussian conditioning."""
    here = torch.einsum("bk,kde->bde", alpha.square(), COVARIANCES)
    y = torch.linalg.solve(here, x - alpha @ MEANS)
    return MEANS + alpha[..., None] * torch.einsum("kde,be->bkd", COVARIANCES, y)


def figure() -> Figure:
    """The same start points along three routes: other ways, the same distribution at the end."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 300, 2, dtype=torch.float64, generator=generator)
    clouds = MEANS[:, None] + z @ torch.linalg.cholesky(COVARIANCES).mT
    axes = {"x": Axis(label="x", low=-6.5, high=5.5), "y": Axis(label="y", low=-4.5, high=5)}
    panels = []
    for name, points in ROUTES.items():
        fields = RouteFields(heads, choose_route(points, 0, 1, 3))
        done = sample(fields, clouds[0], n_steps=100, return_path=True, invariant=False)
        series = [trails(done.path[:, :60])]
        series += [cloud(clouds[k], f"density {k}", k, size=5, alpha=0.6) for k in range(3)]
        series += [cloud(done.x, "density 0, carried to 1", "muted", size=5)]
        title = f"{name}, length {path_length(done.path):.2f}"
        panels.append(Panel(series=tuple(series), title=title, **axes, equal=True))
    return Figure(name="multimarginal", panels=tuple(panels), width=960, height=330, legend_columns=4)


def path_length(path: Tensor) -> float:
    """Mean length of the trajectories, ``(n + 1, B, D)``."""
    return float(path.diff(dim=0).norm(dim=2).sum(0).mean())


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=100)
