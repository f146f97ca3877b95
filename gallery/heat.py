"""What was the temperature an hour ago?

Diffusion has smoothed a rod's temperature; six thermometers measure it with noise. A bridge conditional on
the readings draws initial profiles; the exact posterior is known.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main
from interpolants.problems import GaussianMixture, LinearGaussian

METHOD = "docs/methods/inverse_problems.md"
POINTS, SENSORS, NOISE = 48, 6, 0.05


def problem() -> LinearGaussian:
    """A Gaussian process prior, cooled for a while, read at six places."""
    place = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    apart = place[:, None] - place
    covariance = torch.exp(-0.5 * (apart / 0.12) ** 2) + 1e-4 * torch.eye(POINTS).double()
    spread = torch.exp(-0.5 * (apart / 0.06) ** 2)  # the heat kernel
    cool = spread / spread.sum(1, keepdim=True)
    sensors = torch.linspace(3, POINTS - 4, SENSORS).round().long()
    prior = GaussianMixture(torch.ones(1).double(), torch.zeros(1, POINTS).double(), covariance[None])
    return LinearGaussian(cool[sensors], NOISE**2, prior)


def draw(quick: bool) -> object:
    """Posterior draws for two rods, with the exact mean and band."""
    rods = problem()
    seen = rods.sample_joint(500 if quick else 20_000, generator=torch.Generator().manual_seed(0))
    bridge = itp.Bridge("one_sided_linear", net={"kind": "mlp", "width": 256, "depth": 3}, seed=0)
    bridge.fit(
        x1=seen.x.float(), cond=seen.y.float(), steps=60 if quick else 2000, batch_size=256, progress=False
    )

    place = torch.linspace(0, 1, POINTS)
    sensors = torch.linspace(3, POINTS - 4, SENSORS).round().long()
    made = figure(760, 460)
    test = rods.sample_joint(2, generator=torch.Generator().manual_seed(10))
    for k, (above, below) in enumerate(made.subplots(2, 2, sharex=True, height_ratios=(2, 1)).T):
        posterior = rods.posterior(test.y[k])
        mean, deviation = posterior.mean, posterior.covariance.diagonal().sqrt()
        drawn = bridge.sample(400, cond=test.y[k].float(), seed=1, n_steps=10 if quick else 40)
        above.fill_between(
            place, mean - 2 * deviation, mean + 2 * deviation, color="#f6d9c6", label="exact: mean ± 2 sd"
        )
        above.plot(place, mean, color=HUES[1], linewidth=1.6)
        above.plot(place, drawn[:12].T, color=HUES[0], linewidth=0.6)
        above.plot([], [], color=HUES[0], linewidth=0.8, label="12 draws of the bridge")
        above.plot(place, test.x[k], color="black", linewidth=1.4, linestyle=":", label="the truth")
        above.plot(
            place[sensors], test.y[k], "v", color="black", markersize=6, label="readings, after cooling"
        )
        label(above, title=f"rod {k + 1}", y="temperature" if k == 0 else "")
        below.plot(place, deviation, color=HUES[1], linewidth=2, label="exact")
        below.plot(place, drawn.std(0), color=HUES[0], linewidth=1.2, label="400 draws")
        label(below, x="place along the rod", y="standard deviation" if k == 0 else "")
        below.set_ylim(0, 1)
    handles, names = made.axes[0].get_legend_handles_labels()
    made.legend(handles, names, frameon=False, fontsize=8, loc="outside upper center", ncols=4)
    made.axes[2].legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    return made


if __name__ == "__main__":
    main(draw)
