"""A prior that you choose.

Standard normal weights give a network a prior over functions that is rarely the intended one. Matched to a
Gaussian process, the same network expects smooth functions of a chosen length scale, and its uncertainty
grows away from the data.
"""

import torch

from gallery.common import HUES, figure, label, main
from interpolants.sciml import FunctionalPrior
from interpolants.sciml.bayes.target_process import draw_functions, squared_exponential

METHOD = "docs/methods/functional_prior.md"
LENGTH = 0.4  # of the process, in standard deviations of x


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Measurements of a wave with a gap."""
    g = torch.Generator().manual_seed(3)
    x = torch.cat([4 * torch.rand(30, 1, generator=g) - 4, 2 + 2 * torch.rand(20, 1, generator=g)]).double()
    return x, torch.sin(2 * x) + 0.15 * torch.randn(50, 1, generator=g, dtype=torch.float64)


def fitted(prior: str, quick: bool) -> FunctionalPrior:
    """A network of two hidden layers."""
    small = {"match_steps": 5, "burn_in": 20, "samples": 4, "thin": 2, "chains": 2}
    whole = {"match_steps": 200, "burn_in": 2000, "samples": 25, "thin": 80}
    return FunctionalPrior(
        hidden=(40, 40), prior=prior, lengthscale=LENGTH, places=40, **(small if quick else whole)
    )


def draw(quick: bool) -> object:
    """Functions of both priors and of the process, and both posteriors."""
    x, y = rows()
    made = figure(820, 440)
    above, below = made.subplots(2, 3)
    grid = torch.linspace(-2, 2, 120, dtype=torch.float64)[:, None]
    places = x.mean() + x.std() * grid
    names = ("standard", "gaussian")
    for k, (prior, title) in enumerate(
        zip(names, ("network, weights N(0, 1)", "network, fitted prior"), strict=True)
    ):
        model = fitted(prior, quick).fit(x, y)
        above[k].plot(grid, model.functions_of_prior(grid, 8, seed=1).T, color=HUES[k], linewidth=0.9)
        label(above[k], title=title)
        answer = model.predict(places)
        low, high = (answer.quantile(p)[:, 0] for p in (0.05, 0.95))
        below[k].fill_between(places[:, 0], low, high, color=HUES[k], alpha=0.25, linewidth=0)
        below[k].plot(places, answer.mean, color=HUES[k], linewidth=1.4)
        below[k].plot(x, y, ".", color="black", markersize=3)
        below[k].set_ylim(-3, 3)
        label(below[k], title=f"posterior, 90 % (R-hat {model.r_hat:.2f})", x="x")
    covariance = squared_exponential(grid, grid, LENGTH, 1.0)
    functions = draw_functions(covariance, 8, torch.Generator().manual_seed(1))
    above[2].plot(grid, functions.T, color=HUES[2], linewidth=0.9)
    label(above[2], title="the Gaussian process")
    for axes in above:
        axes.set_ylim(-3.5, 3.5)
    below[2].bar(range(6), model.state["spreads"].tolist(), color=HUES[1])
    below[2].set_xticks(range(6), ["W1", "b1", "W2", "b2", "W3", "b3"])
    below[2].axhline(1, color="black", linewidth=0.8, linestyle="--")
    label(below[2], title="standard deviations that were fitted", x="layer")
    return made


if __name__ == "__main__":
    main(draw)
