"""The forecast horizon of a chaotic system.

One coordinate of Halvorsen's flow, predicted from its last ten values. A network extrapolates one path; a
bridge to the next five values draws many. Errors of the network grow at the rate of the Lyapunov exponent,
after a few faster steps.
"""

import torch

from gallery.common import HUES, figure, label, main
from interpolants.problems import dynamical_system
from interpolants.sciml import DelayGenerator, DelayNetwork

METHOD = "docs/methods/chaotic_systems.md"
STEP, EXPONENT, AHEAD = 0.1, 0.65, 70


def draw(quick: bool) -> object:
    """Members and one path from the end of what was seen, and errors over many starts beside the exponent."""
    system = dynamical_system("halvorsen")
    start = system.sample(1, generator=torch.Generator().manual_seed(3))
    seen, every, steps = (300, 450, 30) if quick else (1000, 2000, 2500)
    path = system.trajectories(start, torch.arange(every).double() * STEP)[0, :, :1]
    known = path[:seen]
    net = {"kind": "mlp", "width": 64, "depth": 3}
    bridge = {"kind": "bridge", "path": "one_sided_linear", "net": net, "steps": steps, "batch_size": 128}
    network = DelayNetwork(steps=steps).fit(known, progress=False)
    generator = DelayGenerator(generator=bridge).fit(known, progress=False)
    members = generator.forecast(members=20, steps=AHEAD, seed=1).x[0, :, :, 0]
    times = torch.arange(1, AHEAD + 1) * STEP * EXPONENT
    made = figure(820, 320)
    ahead, errors = made.subplots(1, 2, width_ratios=(1.8, 1))
    for member in members:
        ahead.plot(times, member, color=HUES[0], alpha=0.25, linewidth=0.7)
    ahead.plot(
        times, network.forecast(steps=AHEAD).x[0, 0, :, 0], color=HUES[1], linewidth=1.6, label="network"
    )
    ahead.plot(times, path[seen : seen + AHEAD, 0], color="#8a93a0", linewidth=1.6, label="what came")
    ahead.plot([], [], color=HUES[0], linewidth=0.8, label="members of the bridge")
    label(ahead, title="Halvorsen's flow, one coordinate", x="Lyapunov times ahead", y="u₁")
    ahead.legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
    origins = range(seen, every - 100, 15)
    gaps = [network.forecast(path[:k], steps=AHEAD).x[0, 0, :, 0] - path[k : k + AHEAD, 0] for k in origins]
    typical = torch.stack(gaps).abs().log().mean(0).exp()
    errors.semilogy(times, typical, color=HUES[1], label="typical error of the network")
    growing = times < 3.5
    grown = typical[4] * torch.exp(times - times[4])
    errors.semilogy(
        times[growing], grown[growing], color="#8a93a0", linestyle="--", label="growth by the exponent"
    )
    label(errors, title=f"{len(gaps)} starts", x="Lyapunov times ahead", y="geometric mean")
    errors.legend(frameon=False, fontsize=8, loc="lower right")
    return made


if __name__ == "__main__":
    main(draw)
