"""The same scene, had the lamp been elsewhere.

A causal model, in which lamp and rod cause the shadow, answers a counterfactual question about one image:
sky and rod stay, the shadow follows. Without the causal graph lamp and shadow contradict each other; with
fresh noise the image is a different one.
"""

import torch

from gallery.common import figure, label, main
from interpolants.apps.causal import CausalAutoencoder
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow

METHOD = "docs/methods/causal_autoencoder.md"
ASKED = {"light": torch.linspace(3, 17, 6), "angle": torch.linspace(-35, 35, 6)}
TITLES = {"light": "the lamp set to six places", "angle": "the rod set to six angles"}


def draw(quick: bool) -> object:
    """The picture as it is, the truth for what is asked, and three answers."""
    problem = PendulumShadow()
    seen = problem.sample(300 if quick else 3000, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 320, "depth": 4, "residual": True}
    model = CausalAutoencoder(
        graph=problem.graph, net=net, spread=0.05, steps=30 if quick else 1500, batch_size=64, ema=0.99
    )
    model.fit(seen["x"], seen["factors"], progress=False)
    twins = {
        "the model": {},
        "without arrows": {"propagate": False},
        "fresh noise": {"abduction": "fresh"},
    }
    scene = problem.sample(6, generator=torch.Generator().manual_seed(11))["scene"][2].expand(6, -1)
    x = problem.images(scene)
    made = figure(820, 360)
    for axes, (name, value) in zip(made.subplots(1, 2), ASKED.items(), strict=True):
        rows = {"as it is": x, "the truth": problem.images(problem.act(scene, name, value))}
        for word, changes in twins.items():
            twin = model.clone().take_over(model.learnt()).set_params(**changes)
            rows[word] = torch.as_tensor(twin.counterfactual(x, do={name: value}))
        wide = [
            torch.nn.functional.pad(each.float(), (0, 1, 0, 1), value=1.0)[:, 0] for each in rows.values()
        ]
        sheet = torch.cat([torch.cat(list(row), 1) for row in wide])[:-1, :-1]
        axes.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=1)
        label(axes, title=TITLES[name])
        axes.set(xticks=[], yticks=[])
        if name == "light":
            axes.set_yticks([25 * k + 12 for k in range(len(rows))], list(rows), fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return made


if __name__ == "__main__":
    main(draw)
