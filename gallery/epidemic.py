"""An epidemic from ten counts.

Ten counts of infected people among 1,000 are observed. `Posterior` learns the rates of contact and recovery
from simulations, for any such counts; the exact posterior is known.
"""

import torch

from gallery.common import HUES, figure, label, legend, main
from interpolants.apps.posterior import SIR, Posterior

METHOD = "docs/methods/posterior.md"


def draw(quick: bool) -> object:
    """Epidemics of posterior draws with the counts, and the exact posterior."""
    simulator = SIR()
    pairs = simulator.sample(1200 if quick else 10_000, generator=torch.Generator().manual_seed(0))
    posterior = Posterior(simulator.prior, bounds="logit", steps=30 if quick else 3000)
    posterior.fit(pairs["theta"], pairs["x"], progress=False)

    g = torch.Generator().manual_seed(4)
    truth = torch.tensor([[0.6, 0.14]], dtype=torch.float64)
    x = simulator.simulate(truth, generator=g)[0]
    draws = torch.as_tensor(posterior.sample(400, x=x, seed=1))
    prior = simulator.prior.sample(400, generator=g)

    picture = figure(760, 330)
    counts, rates = picture.subplots(1, 2, width_ratios=(3, 2))
    days = torch.arange(10) * 17
    for theta, hue, name in (
        (prior, "0.8", "40 draws of the prior"),
        (draws, HUES[0], "40 draws of the posterior"),
    ):
        curves = simulator.simulate(theta[:40], generator=g)
        counts.plot(days, curves.T, color=hue, linewidth=0.6)
        counts.plot([], [], color=hue, label=name)
    counts.plot(days, x, "v", color="black", markersize=6, label="counts")
    legend(counts)
    label(counts, title="infected among 1,000 people", x="day")
    rates.plot(*prior.T, ".", color="0.8", markersize=3, label="prior")
    if not quick:
        exact = simulator.posterior_sample(x, 400, generator=g)
        rates.plot(*exact.T, ".", color=HUES[1], markersize=3, label="exact posterior")
    rates.plot(*draws.T, ".", color=HUES[0], markersize=3, label="Posterior")
    rates.plot(*truth.T, "v", color="black", markersize=6, label="truth")
    rows = torch.cat([draws, truth])
    margin = 3 * draws.std(0)
    rates.set_xlim(float(rows[:, 0].min() - margin[0]), float(rows[:, 0].max() + margin[0]))
    rates.set_ylim(float(rows[:, 1].min() - margin[1]), float(rows[:, 1].max() + margin[1]))
    legend(rates)
    label(rates, title="rates per day", x="contact", y="recovery")
    return picture


if __name__ == "__main__":
    main(draw)
