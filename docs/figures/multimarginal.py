"""Draw ``docs/images/multimarginal.png``: ``python docs/figures/multimarginal.py``.

Three Gaussians with their exact heads, and what three routes make of one of them. Nothing is trained.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.generative.multimarginal.route_fields import RouteFields
from interpolants.generative.multimarginal.routes import choose_route

IMAGES = Path(__file__).parents[1] / "images"
HUES, GREY = ("#0072b2", "#d55e00", "#007d5c"), "#777777"
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
    made = Figure(figsize=(12, 3.9), layout="constrained")
    for axes, (name, points) in zip(
        made.subplots(1, 3, sharex=True, sharey=True), ROUTES.items(), strict=True
    ):
        fields = RouteFields(heads, choose_route(points, 0, 1, 3))
        done = sample(fields, clouds[0], n_steps=100, return_path=True, invariant=False)
        axes.plot(*done.path[:, :60].permute(2, 0, 1), color=GREY, linewidth=0.5, alpha=0.6)
        for k, hue in enumerate(HUES):
            axes.scatter(*clouds[k].T, s=5, color=hue, linewidths=0, alpha=0.6, label=f"density {k}")
        axes.scatter(*done.x.T, s=5, color="black", linewidths=0, alpha=0.6, label="density 0, carried to 1")
        axes.set(title=f"{name}, length {path_length(done.path):.2f}", xlabel="x", aspect="equal")
        axes.title.set_fontsize(10)
    made.axes[0].set_ylabel("y")
    made.axes[0].legend(loc="upper left", frameon=False, fontsize=8, markerscale=2)
    return made


def path_length(path: Tensor) -> float:
    """Mean length of the trajectories, ``(n + 1, B, D)``."""
    return float(path.diff(dim=0).norm(dim=2).sum(0).mean())


if __name__ == "__main__":
    figure().savefig(IMAGES / "multimarginal.png", dpi=80)
