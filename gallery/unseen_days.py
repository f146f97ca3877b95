"""The hours of days that nobody measured.

A tensor with smooth indices, fitted to 500 of 17,472 hourly temperatures of two cities, fills in the year
with its uncertainty. 60 days are held out entirely.
"""

import torch

from gallery.common import HUES, figure, label, legend, main
from interpolants.data import load
from interpolants.sciml import FunctionalTucker

METHOD = "docs/methods/functional_tucker.md"
CITIES = ("Seattle", "San Francisco")


def entries(n: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """All rows (city, day, hour, temperature), those that are learnt from, and the days without any."""
    table = load("city_temperatures", "all").x
    order = torch.Generator().manual_seed(0)
    days = table[:, 1].unique()
    unseen = days[torch.randperm(len(days), generator=order)][:60]
    seen = table[~torch.isin(table[:, 1], unseen)]
    return table, seen[torch.randperm(len(seen), generator=order)[:n]], sorted(map(int, unseen.tolist()))


def draw(quick: bool) -> object:
    """The year of one city, what is not known of it, and two unseen days."""
    table, known, unseen = entries(150 if quick else 500)
    model = FunctionalTucker(
        [1, 2, 2] if quick else [2, 5, 5],
        modes=["discrete", "continuous", "continuous"],
        starts=1 if quick else 4,
        sweeps=5 if quick else 100,
    ).fit(known[:, :3], known[:, 3])

    made = figure(820, 560)
    above, below = made.subplots(2, 2)
    days = torch.linspace(0, 364, 60 if quick else 183, dtype=torch.float64)
    grid = torch.cartesian_prod(torch.zeros(1).double(), days, torch.arange(24).double())
    year = model.predict(grid, noise=False)
    extent = (0, 364, 0, 23)
    own = known[known[:, 0] == 0]
    for axes, values, name in (
        (above[0], year.mean, "temperature, °F"),
        (above[1], year.std, "standard deviation, °F"),
    ):
        shown = axes.imshow(
            values.reshape(len(days), 24).T.numpy(),
            origin="lower",
            aspect="auto",
            extent=extent,
            cmap="cividis",
        )
        axes.plot(*own[:, 1:3].T, ".", color="white", markersize=2.5)
        made.colorbar(shown, ax=axes, pad=0.02)
        label(axes, title=f"{CITIES[0]}: {name}", x="day of the year", y="hour")
    for axes, day in zip(below, (unseen[10], unseen[38]), strict=True):
        hours = torch.linspace(0, 23, 93, dtype=torch.float64)
        for city, name in enumerate(CITIES):
            ask = torch.stack([torch.full_like(hours, city), torch.full_like(hours, day), hours], 1)
            answer = model.predict(ask)
            low, high = answer.quantile(0.05), answer.quantile(0.95)
            axes.fill_between(hours, low, high, color=HUES[city], alpha=0.25, linewidth=0)
            axes.plot(hours, answer.mean, color=HUES[city], linewidth=1.4, label=name)
            truth = table[(table[:, 0] == city) & (table[:, 1] == day)]
            axes.plot(*truth[:, 2:].T, ".", color="black", markersize=4)
        label(axes, title=f"day {day}, never seen: mean, 90 % band, measured", x="hour", y="°F")
    legend(below[0])
    return made


if __name__ == "__main__":
    main(draw)
