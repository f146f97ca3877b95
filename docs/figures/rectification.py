"""Draw ``docs/images/rectification.png`` and print the table beside it: ``python docs/figures/rectification.py``.

The first flow is exact, from a Gaussian to six Gaussians on a circle; two rounds are learnt, a minute on one core.
"""

from pathlib import Path

import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.methods import Rectification, one_step, straightness
from interpolants.metrics import sliced_wasserstein
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
TITLES = ("the first flow", "after one round", "after two rounds")


def distributions() -> tuple[GaussianMixture, GaussianMixture]:
    """A standard normal distribution, and six modes on a circle of radius 3."""
    turn = torch.arange(6, dtype=torch.float64) * torch.pi / 3
    circle = 3.0 * torch.stack([turn.cos(), turn.sin()], 1)
    one = torch.ones(1, dtype=torch.float64)
    start = GaussianMixture(one, torch.zeros(1, 2, dtype=torch.float64), one)
    return start, GaussianMixture(
        torch.full((6,), 1 / 6).double(), circle, torch.full((6,), 0.35**2).double()
    )


def learn() -> Rectification:
    """Two rounds from the exact flow."""
    rho0, rho1 = distributions()
    first = GaussianMixtureBridge(rho0, rho1).fields(Linear(envelope=ZeroEnvelope()))
    draws = torch.Generator().manual_seed(0)
    x0, x1 = rho0.sample(30_000, generator=draws).float(), rho1.sample(1000, generator=draws).float()
    net = {"kind": "mlp", "width": 128, "depth": 3}
    return Rectification(first=first, rounds=2, net=net, steps=1500, batch_size=512, n_steps=50).fit(x0, x1)


def rows(bridge: Rectification) -> list[str]:
    """Cost, curvature, and sliced W2 of the samples by few steps of Euler's scheme and by the map at the start."""
    rho0, rho1 = distributions()
    draws = torch.Generator().manual_seed(1)
    x = rho0.sample(10_000, generator=draws).float()
    true, other = (rho1.sample(10_000, generator=draws).float() for _ in range(2))

    def distance(made: Tensor) -> str:
        return f"{sliced_wasserstein(made, true, generator=torch.Generator().manual_seed(2)).value:.3f}"

    lines = []
    for title, flow in zip(TITLES, bridge.flows, strict=True):
        found = straightness(flow, x, n_steps=50)
        cells = [
            f"{found.cost:.3f} ± {found.cost_error:.3f}",
            f"{found.curvature:.3f} ± {found.curvature_error:.3f}",
        ]
        cells += [distance(sample(flow, x, method="euler", n_steps=n).x) for n in (1, 2, 4, 100)]
        lines.append(" | ".join(["", title, *cells, distance(one_step(flow, x)), ""]).strip())
    lines.append(f"| true samples |  |  |  |  |  | {distance(other)} |  |")
    return lines


def draw(bridge: Rectification) -> Figure:
    """Trajectories of the same starts under the three flows."""
    x = distributions()[0].sample(60, generator=torch.Generator().manual_seed(3)).float()
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)  # type: ignore[union-attr]
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for axis, title, flow in zip(axes, TITLES, bridge.flows, strict=True):
        done = sample(flow, x, n_steps=100, return_path=True)
        paths = done.path.numpy().transpose(1, 0, 2)
        axis.add_collection(LineCollection(list(paths), colors=GREY, linewidths=0.7))
        axis.scatter(*x.T.numpy(), s=9, color=BLUE, linewidths=0, label="start, rho0", zorder=3)
        axis.scatter(*done.x.T.numpy(), s=9, color=ORANGE, linewidths=0, label="end, rho1", zorder=3)
        axis.set(title=title, aspect="equal", xlim=(-4.2, 4.2), ylim=(-4.2, 4.2), xlabel="x")
    axes[0].set_ylabel("y")
    axes[0].legend(loc="upper left", frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Learn, print the rows and write the figure."""
    bridge = learn()
    print("\n".join(rows(bridge)))
    IMAGES.mkdir(exist_ok=True)
    draw(bridge).savefig(IMAGES / "rectification.png", dpi=90)


if __name__ == "__main__":
    main()
