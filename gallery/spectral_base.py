"""A base with the frequencies of the data.

Days of electricity demand, learnt from 63 of them: a bridge from white noise, one from a Gaussian process
whose spectrum was learnt from two weeks, and one from a Student's t process with the same kernel.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main
from interpolants.data import load
from interpolants.foundations.gaussian import Gaussian
from interpolants.kernels import SpectralMixture
from interpolants.methods.rivals.spectral_gp import SpectralGP
from interpolants.metrics import energy_distance
from interpolants.paths import OneSidedLinear
from interpolants.paths.student_t import StudentT

METHOD = "docs/methods/gp_solver.md"
HOURS, LEARNT = 24, 63


def covariance(table: torch.Tensor, quick: bool) -> torch.Tensor:
    """Covariance of one day's hours under the kernel that two weeks of demand have taught, mean variance 1."""
    weeks = table[: 14 * HOURS : 3 if quick else 1]
    process = SpectralGP(components=8, steps=2 if quick else 20).fit(weeks[:, :1], weeks[:, 1:])
    day = torch.arange(HOURS, dtype=torch.float64) / HOURS
    k = SpectralMixture().gram(day, process.peaks) + 1e-3 * torch.eye(HOURS, dtype=torch.float64)
    return (k / k.diagonal().mean()).float()


def draw(quick: bool) -> object:
    """Draws of each base, and days that a bridge from it makes after 300 steps."""
    table = load("electricity_demand", "all", hourly=True, times=True).x
    demand = table[:, 1].reshape(-1, HOURS)
    days = ((demand - demand.mean()) / demand.std()).float()
    k = covariance(table, quick)
    bases = {
        "white noise": Gaussian((HOURS,)),
        "a learnt spectrum": Gaussian((HOURS,), covariance=k),
        "the same, Student's t": StudentT(4.0, (HOURS,), dispersion=k),
    }
    made = figure(820, 460)
    above, below = made.subplots(2, 4, sharex=True, sharey=True)
    hours = torch.arange(HOURS)
    for axes, title in ((above[0], "63 days to learn from"), (below[0], "21 others")):
        shown = days[:LEARNT] if axes is above[0] else days[LEARNT:]
        axes.plot(hours, shown[:20].T, color="#8a93a0", linewidth=0.8)
        label(axes, title=title, x="hour" if axes is below[0] else "", y="demand, standardised")
    for column, (name, base) in enumerate(bases.items(), start=1):
        net = {"kind": "mlp", "width": 64, "depth": 3}
        bridge = itp.Bridge(path=OneSidedLinear(base=base), net=net, held_out=0, seed=0)
        bridge.fit(x1=days[:LEARNT], steps=4 if quick else 300, batch_size=LEARNT, progress=False)
        new = bridge.sample(200, seed=1)
        start = base.sample(20, generator=torch.Generator().manual_seed(2))
        above[column].plot(hours, start.reshape(20, HOURS).T, color=HUES[1], linewidth=0.8)
        label(above[column], title=f"base: {name}")
        below[column].plot(hours, new[:20].T, color=HUES[0], linewidth=0.8)
        distance = energy_distance(new, days[LEARNT:]).value
        label(below[column], title=f"energy distance {distance:.2f}", x="hour")
    above[0].set_ylim(-3.2, 3.2)
    return made


if __name__ == "__main__":
    main(draw)
