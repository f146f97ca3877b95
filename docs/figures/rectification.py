"""Draw ``docs/images/rectification.png`` and print the table beside it: ``python docs/figures/rectification.py``.

The first flow is exact, from a Gaussian to six Gaussians on a circle; two rounds are learnt, a minute on one core.
"""

from pathlib import Path

import torch
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.framework.figures import Axis, Figure, Panel, cloud, trails
from interpolants.methods import Rectification, one_step, straightness
from interpolants.metrics import sliced_wasserstein
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
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


def figure(bridge: Rectification) -> Figure:
    """Trajectories of the same starts under the three flows."""
    x = distributions()[0].sample(60, generator=torch.Generator().manual_seed(3)).float()
    axes = dict(zip("xy", (Axis(label=name, low=-4.2, high=4.2) for name in "xy"), strict=True))
    panels = []
    for title, flow in zip(TITLES, bridge.flows, strict=True):
        done = sample(flow, x, n_steps=100, return_path=True)
        dots = (cloud(x, "start, rho0", size=9), cloud(done.x, "end, rho1", 1, size=9))
        panels.append(Panel(series=(trails(done.path), *dots), title=title, **axes, equal=True))
    return Figure(name="rectification", panels=tuple(panels), width=990, height=380, legend_columns=2)


def main() -> None:
    """Learn, print the rows and write the figure."""
    bridge = learn()
    print("\n".join(rows(bridge)))
    save([figure(bridge)], IMAGES, dpi=100)


if __name__ == "__main__":
    main()
