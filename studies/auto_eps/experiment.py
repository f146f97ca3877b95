"""Is the noise level that ``auto_eps`` picks from held-out data better than none and than eps = 1?

From N(0, Id) to five Gaussians in 128 dimensions, with a target, training set and networks of its own for each seed;
velocity and noise are learnt. ``auto_eps`` sees the learnt fields and 2,000 held-out rows, never the truth. Models
with several constant levels and with the choice are then compared with the truth in two ways:

* the paper's: divergence between kernel density estimates of the first two coordinates;
* in all 128: ``sum_k p_k (KL(N_k || G_k) + log p_k/q_k)`` with ``N_k, p_k`` a true mode and its weight, ``G_k, q_k``
  the Gaussian and the share of the samples nearest to it. Samples are all that it uses; it is the divergence of a
  model whose modes are Gaussian, with a floor from true samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import Condition
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.seeds import Results, Stated, compared, markdown
from interpolants.likelihood.kl_bound import SquaredErrors, optimal_eps, squared_errors
from interpolants.methods.bridge.auto_eps import EpsChoice, auto_eps
from interpolants.metrics.kde_kl import kde_kl
from interpolants.nets.mlp import MLP
from interpolants.paths.linear import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
CASE = "five modes"
AUTO = "auto"
_DATA, _HELD_OUT, _TRUTH = range(3)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "dim": 8, "spread": 3.0, "data": 2000, "width": 32, "depth": 2, "steps": 60, "batch": 64,
        "held_out": 400, "auto_n": 160, "auto_steps": 8, "n": 800, "n_steps": 10,
        "constants": [0.0, 1.0],
    },
    "laptop": {
        "dim": 128, "spread": 7.5, "data": 20_000, "width": 256, "depth": 3, "steps": 2500, "batch": 256,
        "held_out": 2000, "auto_n": 1600, "auto_steps": 50, "n": 8000, "n_steps": 60,
        "constants": [0.0, 1.0, 2.0, 4.0, 8.0],
    },
    "full": {
        "dim": 128, "spread": 7.5, "data": 1_000_000, "width": 512, "depth": 4, "steps": 9000, "batch": 4000,
        "held_out": 20_000, "auto_n": 8000, "auto_steps": 200, "n": 50_000, "n_steps": 500,
        "constants": [0.0, 0.5, 1.0, 2.0, 4.0, 8.0],
    },
}  # fmt: skip


class Scaled(nn.Module):
    """A network that sees states of order one and answers in the target's units."""

    def __init__(self, net: nn.Module, by: float, out: float) -> None:
        super().__init__()
        self.net, self.by, self.out = net, by, out

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The field."""
        value: Tensor = self.net(x / self.by, t, cond)
        return value * self.out


def cases(settings: Settings) -> Sequence[str]:
    """There is one."""
    return (CASE,)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Learn, choose, and compare the choice with no noise and with eps = 1."""
    target = GaussianMixture.random(5, settings["dim"], settings["spread"], seed)
    fields = _learnt(target, seed, settings)
    x0, x1 = _rows(target, settings["held_out"], seed, _HELD_OUT)
    options = {"n": settings["auto_n"], "n_steps": settings["auto_steps"], "seed": seed}
    choice = auto_eps(fields, x0, x1, **options)
    exact = GaussianMixtureBridge(_start(target), target.to(dtype=torch.float32)).fields(Linear())
    few = slice(0, 400)
    errors = squared_errors(
        fields, exact, x0[few], x1[few], times=choice.errors.t.tolist(), generator=generator(seed, 5)
    )
    start, truth = _rows(target, settings["n"], seed, _TRUTH)
    values = {"predicted": choice.predicted, "best by true errors": optimal_eps(errors)}
    values["floor modes"] = _mode_kl(target, truth)
    for name, eps in (*((f"{eps:g}", eps) for eps in settings["constants"]), (AUTO, choice.eps)):
        options: dict[str, Any] = {"n_steps": settings["n_steps"], "seed": seed, "invariant": False}
        made = sample(fields, start, eps=eps, method="heun", **options).x
        kde = kde_kl(truth[:, :2], made[:, :2], generator=generator(0))
        values |= {f"kde {name}": kde.value, f"kde error {name}": kde.error}
        values[f"modes {name}"] = _mode_kl(target, made)
    return measured({**values, **_told(choice)}, _arrays(choice, errors))


def _told(choice: EpsChoice) -> dict[str, float]:
    """What was chosen, as numbers: the mean level over time, and the held-out gaps of all candidates."""
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    level = choice.eps if isinstance(choice.eps, float) else float(choice.eps.values(t, None).mean())
    gaps = {f"held-out gap of {c.name}": c.gap for c in choice.candidates if c.kind != "constant"}
    return {"chosen mean level": level, "is schedule": float(not isinstance(choice.eps, float)), **gaps}


def _arrays(choice: EpsChoice, errors: SquaredErrors) -> dict[str, Any]:
    levels = [c.eps if isinstance(c.eps, float) else np.nan for c in choice.candidates]
    scores = [[c.score, c.error, c.gap, c.gap_error] for c in choice.candidates]
    return {
        "t": choice.errors.t.numpy(),
        "velocity": choice.errors.velocity.numpy(),
        "score": choice.errors.score.numpy(),
        "true_velocity": errors.velocity.numpy(),
        "true_score": errors.score.numpy(),
        "level": np.array(levels),
        "scores": np.array(scores),
    }


def _learnt(target: GaussianMixture, seed: int, settings: Settings) -> LearnedFields:
    x0, x1 = _rows(target, settings["data"], seed, _DATA)
    spread = float(torch.cat([x0, x1]).std())
    train = TrainSettings(
        steps=settings["steps"], batch_size=settings["batch"], lr=2e-3, schedule="cosine", warmup=50,
        seed=seed, ema=0.99, clip_norm=None,
    )  # fmt: skip
    nets: dict[str, Any] = {}
    for k, (head, out) in enumerate({"velocity": spread, "noise": 1.0}.items()):
        net = MLP(target.dim, width=settings["width"], depth=settings["depth"], seed=seed + 100 * k)
        learnt = learn_fields(Linear(), x0, x1, heads=(head,), net=Scaled(net, spread, out), settings=train)
        nets[head] = learnt.net
    return LearnedFields(Linear(), **nets)


def _rows(target: GaussianMixture, n: int, seed: int, purpose: int) -> tuple[Tensor, Tensor]:
    source = generator(seed, 11, purpose)
    return torch.randn(n, target.dim, generator=source), target.sample(n, generator=source).float()


def _start(target: GaussianMixture) -> GaussianMixture:
    one = torch.ones(1, dtype=torch.float32)
    return GaussianMixture(one, torch.zeros(1, target.dim), one)


def _mode_kl(target: GaussianMixture, made: Tensor) -> float:
    made = made.double()
    label = target.responsibilities(made).argmax(1)
    total = 0.0
    for k in range(target.n_modes):
        rows = made[label == k]
        if len(rows) <= 2 * target.dim:
            return float("inf")
        model, true = torch.cov(rows.T), target.covariances[k]
        apart = target.means[k] - rows.mean(0)
        ratio = torch.linalg.solve(model, true)
        gaussian = ratio.trace() + apart @ torch.linalg.solve(model, apart) - target.dim - ratio.logdet()
        weight = target.weights[k]
        total += float(weight * (0.5 * gaussian + (weight * len(made) / len(rows)).log()))
    return total


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """What was predicted and chosen; the distance to the truth by noise level; in how many seeds the choice wins."""
    names = ("predicted", "best by true errors", "chosen mean level", "is schedule")
    heads = ("seed", "predicted constant", "the same from true errors", "mean level of the choice",
             "it is a schedule")  # fmt: skip
    columns = [results.values(CASE, name) for name in names]
    rows = [
        [str(seed), *(f"{column[i]:.3g}" for column in columns[:-1]), "yes" if columns[-1][i] else "no"]
        for i, seed in enumerate(results.seeds)
    ]
    text = markdown(heads, rows)
    models = _models(results)
    rows = [
        [words, *(results.shown(CASE, f"{metric} {m}", digits, factor) for m in models), floor]
        for metric, words, factor, digits, floor in (
            ("kde", "first two coordinates (1/1000 nat)", 1000, 1, ""),
            ("modes", "all coordinates, mode by mode (nat)", 1, 2, results.shown(CASE, "floor modes", 2)),
        )
    ]
    heads = ("divergence from the truth", *(f"eps = {m}" for m in models[:-1]), "the choice", "true samples")
    text += "\n" + markdown(heads, rows)
    return text + "\n" + _wins(results, models)


def _models(results: Results) -> list[str]:
    return [*(f"{eps:g}" for eps in results.settings["constants"]), AUTO]


def _wins(results: Results, models: Sequence[str]) -> str:
    rows = []
    for metric, words in (("kde", "first two coordinates"), ("modes", "all coordinates")):
        chosen = results.values(CASE, f"{metric} {AUTO}")
        for other in models[:-1]:
            text = f"{words}: eps = {other} is worse than the choice"
            rows.append(compared(text, results.values(CASE, f"{metric} {other}"), chosen))
    return markdown(["statement", "difference (nat)", "holds in seeds"], rows)


def figures(results: Results) -> list[Figure]:
    """The schedule of least bound by estimated and by true errors; the truth about the constants and the choice."""
    schedules = []
    for kept in filter(None, (results.arrays(CASE, seed) for seed in results.seeds)):
        for prefix, words, hue, dash in (("", "held-out rows", 1, "-"), ("true_", "true errors", 0, "--")):
            eps = np.sqrt(kept[f"{prefix}velocity"] / kept[f"{prefix}score"])
            arrays = {"x": kept["t"], "y": eps}
            schedules.append(Series(mark="line", arrays=arrays, name=words, hue=hue, dash=dash, alpha=0.6))
    levels = results.settings["constants"]
    series = (
        results.curve(levels, [(CASE, f"modes {eps:g}") for eps in levels], "constants"),
        across(results.mean(CASE, f"modes {AUTO}"), "the choice", 1, "-"),
        across(results.mean(CASE, "floor modes")),
    )
    x = Axis(label="constant eps", scale="symlog", ticks=tuple(levels))
    y = Axis(label="divergence from the truth", unit="nat", low=0, grid=True)
    left = Panel(
        series=tuple(schedules), title="Noise level of least bound", legend="best",
        x=Axis(label="t"), y=Axis(label="eps(t)", low=0, grid=True),
    )  # fmt: skip
    right = Panel(series=series, title="All 128 coordinates", x=x, y=y, legend="best")
    return [Figure(name="auto_eps", panels=(left, right), width=900, height=340)]


CLAIMS = (
    Stated("choice.modes < none", (CASE, f"modes {AUTO}"), (CASE, "modes 0"), seeds=5),
    Stated("choice.modes < one", (CASE, f"modes {AUTO}"), (CASE, "modes 1"), seeds=5),
    Stated("choice.kde < none", (CASE, f"kde {AUTO}"), (CASE, "kde 0"), seeds=5),
    Stated("choice.kde < one", (CASE, f"kde {AUTO}"), (CASE, "kde 1"), seeds=5),
    Stated("choice.modes < eight", (CASE, f"modes {AUTO}"), (CASE, "modes 8"), seeds=5, expected="fails"),
    Stated("prediction.level > 0.8 true", (CASE, "predicted"), (CASE, "best by true errors"), "oracle", 5),
)

STUDY = Study("auto_eps", SETTINGS, cases, measure, table, figures, CLAIMS)
