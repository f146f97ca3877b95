"""How contagious was it?

Ten counts of infected among 1,000 people are known of an epidemic. `Posterior` learns from simulations which rates of
contact and recovery fit to any such counts; the exact posterior is known.
"""

import torch

from gallery.common import HUES, figure, label, main
from interpolants.apps.posterior import SIR, Posterior

METHOD = "docs/methods/posterior.md"


def draw(quick: bool) -> object:
    """Epidemics of posterior draws with the counts, and their rates with the exact posterior."""
    simulator = SIR()
    pairs = simulator.sample(1200 if quick else 10_000, generator=torch.Generator().manual_seed(0))
    posterior = Posterior(simulator.prior, bounds="logit", steps=30 if quick else 3000)
    posterior.fit(pairs["theta"], pairs["x"], progress=False)

    g = torch.Generator().manual_seed(4)
    truth = torch.tensor([[0.6, 0.14]], dtype=torch.float64)
    x = simulator.simulate(truth, generator=g)[0]
    drawn = torch.as_tensor(posterior.sample(400, x=x, seed=1))
    prior = simulator.prior.sample(400, generator=g)

    made = figure(760, 330)
    left, right = made.subplots(1, 2, width_ratios=(3, 2))
    days = torch.arange(10) * 17
    for theta, hue, name in (
        (prior, "0.8", "40 draws of the prior"),
        (drawn, HUES[0], "40 draws of the posterior"),
    ):
        curves = simulator.simulate(theta[:40], generator=g)
        left.plot(days, curves.T, color=hue, linewidth=0.6)
        left.plot([], [], color=hue, label=name)
    left.plot(days, x, "v", color="black", markersize=6, label="counts")
    left.legend(fontsize=8)
    label(left, title="infected among 1,000 people", x="day")
    right.plot(*prior.T, ".", color="0.8", markersize=3, label="prior")
    if not quick:
        exact = simulator.posterior_sample(x, 400, generator=g)
        right.plot(*exact.T, ".", color=HUES[1], markersize=3, label="exact posterior")
    right.plot(*drawn.T, ".", color=HUES[0], markersize=3, label="Posterior")
    right.plot(*truth.T, "v", color="black", markersize=6, label="truth")
    near = torch.cat([drawn, truth])
    margin = 3 * drawn.std(0)
    right.set_xlim(float(near[:, 0].min() - margin[0]), float(near[:, 0].max() + margin[0]))
    right.set_ylim(float(near[:, 1].min() - margin[1]), float(near[:, 1].max() + margin[1]))
    right.legend(fontsize=8)
    label(right, title="rates per day", x="contact", y="recovery")
    return made


if __name__ == "__main__":
    main(draw)
