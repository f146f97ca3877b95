"""From February to July: what changed in the air over New York.

Flights of February 2013 are transported to July. Hour and distance have the largest weights, so that each
flight is mapped to a similar one. The changes along the way are shown next to the difference of the monthly
means.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main
from interpolants.data import load

METHOD = "docs/choose.md"
UNITS = torch.tensor(
    [1.0, 150.0, 40.0, 40.0]
)  # hours, miles, miles an hour, minutes: what counts as equally far


def flights_of(table: torch.Tensor, number: int) -> torch.Tensor:
    """Flights of a month: hour, distance, speed over ground, arrival delay, in ``UNITS``; whole numbers are blurred."""
    rows = table[table[:, 0] == number][:, 1:]
    rows = rows[(rows[:, 1] < 2800) & (rows[:, 3] < 300)]
    rows = rows + torch.rand(rows.shape, generator=torch.Generator().manual_seed(number)) - 0.5
    hour, distance, air_time, delay = rows.T
    return torch.stack([hour, distance, 60 * distance / air_time, delay], 1) / UNITS


def draw(quick: bool) -> object:
    """Change of speed by distance, and of delay by hour."""
    table = load("flights", "all", columns=["month", "hour", "distance", "air_time", "arr_delay"]).x
    winter, summer = flights_of(table, 2), flights_of(table, 7)
    net = {"kind": "mlp", "width": 128, "depth": 4}
    path = {"kind": "linear", "envelope": {"kind": "zero"}}
    bridge = itp.Bridge(path, coupling="minibatch_ot", net=net, standardize=False, seed=0)
    bridge.fit(winter, summer, steps=40 if quick else 1500, batch_size=256, progress=False)

    some = winter[:: 40 if quick else 5]
    change = (bridge.transport(some, n_steps=20) - some) * UNITS
    some, winter, summer = (x * UNITS for x in (some, winter, summer))
    made = figure(760, 420)
    miles, hours = torch.arange(0.0, 2800, 200), torch.arange(4.75, 22.5, 1.5)
    panels = (
        (1, 2, miles, "faster in July: speed over ground", "distance, miles", "miles an hour"),
        (0, 3, hours, "summer storms: arrival delay", "hour of departure", "minutes"),
    )
    for axes, (by, what, bins, title, x, unit) in zip(made.subplots(1, 2), panels, strict=True):
        axes.axhline(0, color="#c9ced6", linewidth=1)
        axes.scatter(
            some[:, by], change[:, what], s=2, color="#9cc9e3", linewidths=0, label="a flight carried to July"
        )
        place, means = by_bin(some[:, by], change[:, what], bins)
        axes.plot(place, means, color=HUES[0], marker="o", markersize=4, label="mean of these")
        july, february = (by_bin(month[:, by], month[:, what], bins)[1] for month in (summer, winter))
        axes.plot(
            place, july - february, "s--", color=HUES[1], markersize=4, label="July's mean - February's"
        )
        label(axes, title=title, x=x, y=f"change, {unit}")
        axes.set_ylim(-60, 90)
    made.axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    return made


def by_bin(x: torch.Tensor, y: torch.Tensor, edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Middles of the bins, and the mean of y in each; none where there are fewer than 20."""
    index = torch.bucketize(x.contiguous(), edges) - 1
    rows = [y[index == k] for k in range(len(edges) - 1)]
    means = torch.tensor([float(row.mean()) if len(row) >= 20 else torch.nan for row in rows])
    return (edges[:-1] + edges[1:]) / 2, means


if __name__ == "__main__":
    main(draw)
