"""From an approximate solution to the exact one.

A briefly trained process solves nonlinear Poisson equations for any parameters, with small errors. A bridge
trained on 600 solved problems maps its fields to the exact ones, also for parameters that neither model was
trained on.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, legend, main
from interpolants.foundations.randomness import generator
from interpolants.sciml import RandomGridProcess
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson

METHOD = "docs/methods/random_grid_process.md"
POINTS = 24


def fields(
    process: RandomGridProcess, family: NonlinearPoisson, n: int, seed: int
) -> tuple[torch.Tensor, ...]:
    """Points, fields of the process, true ones, and parameters of n problems."""
    z, w = family.draw(n, generator(seed, "problems"))
    x = torch.linspace(-1, 1, POINTS + 2, dtype=torch.float64)[1:-1]
    points = x[:, None].expand(n, -1, -1)
    wide = torch.cat([z, w], 1)[:, None].expand(-1, POINTS, -1)
    surrogate = process.predict(torch.cat([points, wide], 2).reshape(n * POINTS, -1)).mean.reshape(n, POINTS)
    return x, surrogate.float(), family.solution(z, w).at(points).float(), torch.cat([z, w], 1).float()


def errors(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Normalised squared error of each field."""
    return (found - truth).square().sum(1) / truth.square().sum(1)


def draw(quick: bool) -> object:
    """Train both, and compare errors on 200 problems that neither has seen."""
    family = NonlinearPoisson()
    process = RandomGridProcess(steps=20 if quick else 600, inverse_steps=1, width=48, depth=2).fit(family)
    _, surrogate, truth, known = fields(process, family, 40 if quick else 600, seed=1)
    bridge = itp.Bridge(
        path="linear", coupling="paired", net={"kind": "mlp", "width": 128, "depth": 3}, seed=0
    )
    bridge.fit(surrogate, truth, cond=known, steps=20 if quick else 3000, batch_size=128, progress=False)
    x, before, exact, known = fields(process, family, 200, seed=2)
    after = bridge.transport(before, cond=known, n_steps=20)

    made = figure(820, 300)
    left, right = made.subplots(1, 2)
    case = int(errors(before, exact).argsort()[150])
    left.plot(x, exact[case], ".", color="0.4", label="true solution")
    left.plot(x, before[case], "--", color=HUES[1], label="process")
    left.plot(x, after[case], color=HUES[0], label="after the bridge")
    label(left, title="a problem that neither has seen", x="x", y="u")
    legend(left)
    old, new = errors(before, exact), errors(after, exact)
    edges = torch.linspace(-6, 0, 31)
    for values, name, hue in ((old, "process", HUES[1]), (new, "after the bridge", HUES[0])):
        told = f"{name}: median {float(values.median()):.1e}"
        right.hist(values.log10().clamp(-6, 0).numpy(), bins=edges.numpy(), color=hue, alpha=0.6, label=told)
    label(right, title="errors of 200 problems", x="log10 of the normalised squared error", y="problems")
    legend(right)
    return made


if __name__ == "__main__":
    main(draw)
