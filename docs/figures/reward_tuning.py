"""Draw the figure of ``docs/methods/reward_tuning.md``: ``python docs/figures/reward_tuning.py``, with its numbers."""

import math
from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, curve
from interpolants.methods import Bridge
from interpolants.problems import EightGaussians
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
RADIUS, SD = 3.0, 0.4
DIRECTION = torch.tensor([0.6, 0.3])
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)


def reward(rows: torch.Tensor) -> torch.Tensor:
    """``0.6 x + 0.3 y``."""
    return rows @ DIRECTION.to(rows)


def exact(strength: float) -> tuple[float, float]:
    """KL divergence and mean reward of the tilted mixture: a mixture of moved Gaussians with other weights."""
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    means = reward(RADIUS * torch.stack([angle.cos(), angle.sin()], 1))
    variance = SD**2 * float(DIRECTION.square().sum())
    mean = float((strength * means).softmax(0) @ means) + strength * variance
    log_z = float(torch.logsumexp(strength * means, 0)) - math.log(8) + strength**2 * variance / 2
    return strength * mean - log_z, mean


def figure() -> Figure:
    """Samples before and after, and the frontier of reward and KL divergence."""
    rows = EightGaussians(radius=RADIUS, noise=SD).sample(20_000, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 128, "depth": 3}
    bridge = Bridge("one_sided_linear", net=net, steps=3000, seed=0).fit(x1=rows, progress=False)
    tuned = {strength: bridge.tune(reward, strength) for strength in STRENGTHS}
    for strength, model in tuned.items():
        kl, mean = exact(strength)
        print(f"strength {strength}: exact reward {mean:.3f}, KL {kl:.3f}\n{model.bill()}\n")
    x, y = (Axis(label=f"{name} coordinate", low=-5.0, high=5.0) for name in ("first", "second"))
    samples = {"Trained bridge": bridge, "Tuned, strength 1": tuned[1.0]}
    panels = [
        Panel(
            series=(cloud(model.sample(2000, seed=1), hue=hue, alpha=0.4),), title=title, x=x, y=y, equal=True
        )
        for hue, (title, model) in enumerate(samples.items())
    ]
    truth = torch.tensor([exact(strength) for strength in torch.linspace(0, 2, 41).tolist()])
    values = [model.bill().values for model in tuned.values()]
    points = {name: torch.tensor([bill[f"{name}_new"] for bill in values]) for name in ("kl", "reward")}
    last = tuned[STRENGTHS[-1]].state["frontier"]
    series = (
        curve(truth[:, 0], truth[:, 1], name="tilts of the mixture, exact", hue="muted"),
        curve(last["kl"], last["reward"], name="tilts of the trained bridge", hue=0),
        Series(
            mark="points",
            arrays={"x": points["kl"], "y": points["reward"]},
            name="tuned bridges",
            hue=1,
            size=5.0,
        ),
    )
    axes = {"x": Axis(label="KL divergence", unit="nats", low=0), "y": Axis(label="mean reward")}
    panels.append(Panel(series=series, title="Reward against KL divergence", legend="below", **axes))
    return Figure(name="reward_tuning", panels=tuple(panels), width=1000, height=340)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=110)
