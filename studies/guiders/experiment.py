"""Rules of guidance compared with the exact tilt on a mixture, and autoguidance on two moons.

The mixture has two classes of three modes each, whose fields are exact with and without the class. The tilt
``p_c^w p_u^(1 - w)`` is drawn by rejection from the class. On the moons a network is moved away from one with a tenth
of its training.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics import ReverseNoise, sample, time_grid
from interpolants.fields import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.types import Condition
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, cloud
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import (
    APG,
    APGMomentum,
    Autoguided,
    CFGPlusPlus,
    ClassifierFree,
    FeynmanKac,
    ZeroStar,
    guided,
)
from interpolants.metrics import sliced_wasserstein
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"n": 200, "n_steps": 20, "strengths": [3.0], "steps": 20, "moons": [1.0, 2.0]},
    "laptop": {"n": 4000, "n_steps": 50, "strengths": [1.5, 3.0, 5.0], "steps": 1500, "moons": [1.0, 1.5, 2.0, 3.0]},
    "full": {"n": 20_000, "n_steps": 200, "strengths": [1.5, 3.0, 5.0], "steps": 5000, "moons": [1.0, 1.5, 2.0, 3.0]},
}  # fmt: skip
RULES = (
    "linear",
    "linear, t in [0.2, 0.8]",
    "linear, SDE",
    "APG",
    "APG, momentum -0.5",
    "CFG-Zero*",
    "CFG-Zero*, zero init",
    "CFG++",
    "FeynmanKac",
)
BASE = Gaussian(event_shape=(2,))
PATH = OneSidedLinear(base=BASE)
# Radius, noise and gap of the moons.
RADIUS, NOISE = 1.0, 0.05


def cases(settings: Mapping[str, Any]) -> list[str]:
    """Every rule at every strength, and autoguidance on the moons."""
    rules = [f"{rule}, w = {w:g}" for w in settings["strengths"] for rule in RULES]
    return ["no guidance, w = 1", *rules, *(f"autoguidance of moons, w = {w:g}" for w in settings["moons"])]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Draw samples by one rule, and compare them."""
    rule, _, strength = case.rpartition(", w = ")
    if rule.startswith("autoguidance"):
        return _measure_moons(float(strength), seed, settings)
    n, w = settings["n"], float(strength)
    x, calls = _draw(rule, w, seed, settings)
    tilt, second = (tilted(n, w, seeded(seed, stream)) for stream in (1, 2))
    classes, everything = mixtures()
    posterior = (classes[0].log_prob(x) - everything.log_prob(x)).exp() / 2
    values = {
        "accuracy": float((posterior > 0.5).float().mean()),
        "diversity": float(x.var(0).sum() / tilted(n, 1.0, seeded(seed, 3)).var(0).sum()),
        "W2": sliced_wasserstein(x, tilt, generator=seeded(seed, 4)).value,
        "floor": sliced_wasserstein(second, tilt, generator=seeded(seed, 4)).value,
        "calls": float(calls),
    }
    return measured(values, {"made": x[:600].float().numpy(), "tilt": tilt[:600].float().numpy()})


class Classes(Fields):
    """Exact fields of the class 0, and of the whole mixture for the label -1."""

    def __init__(self) -> None:
        classes, everything = mixtures()
        self.path = PATH
        self.parts = {0: GaussianMixtureBridge(BASE, classes[0]).fields(PATH)}
        self.parts[-1] = GaussianMixtureBridge(BASE, everything).fields(PATH)

    def provides(self, quantity: str) -> bool:
        """Whether the exact fields provide it."""
        return bool(self.parts[0].provides(quantity))

    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        want: Sequence[str],  # prose: keep
        cond: Condition = None,
    ) -> dict[str, Tensor]:
        """The quantities of each row's label."""
        assert isinstance(cond, Tensor)
        result = {name: torch.zeros_like(x) for name in want}
        for label, part in self.parts.items():
            at = cond == label
            if bool(at.any()):
                values = part.evaluate(x[at], t if t.ndim == 0 else t[at], want)
                for name in want:
                    result[name] = result[name].masked_scatter(at[:, None], values[name])
        return result


@lru_cache(maxsize=1)
def mixtures() -> tuple[tuple[GaussianMixture, GaussianMixture], GaussianMixture]:
    """Both classes, modes by turns on a circle, and their even mixture."""
    angles = torch.arange(6, dtype=torch.float64) * math.pi / 3
    means = 1.2 * torch.stack([angles.cos(), angles.sin()], 1)
    variances = torch.tensor([0.1, 0.3, 0.2, 0.1, 0.3, 0.2], dtype=torch.float64)
    even = torch.ones(3, dtype=torch.float64) / 3
    first, second = (GaussianMixture(even, means[k::2], variances[k::2]) for k in (0, 1))
    return (first, second), GaussianMixture(torch.ones(6, dtype=torch.float64) / 6, means, variances)


def tilted(n: int, w: float, generator: torch.Generator) -> Tensor:
    """Exact draws of ``p_c^w p_u^(1 - w)``, by rejection from p_c: ``p_c/p_u`` is at most 2."""
    classes, everything = mixtures()
    accepted: list[Tensor] = []
    while sum(map(len, accepted)) < n:
        x = classes[0].sample(4 * n, generator=generator)
        ratio = (classes[0].log_prob(x) - everything.log_prob(x)).exp() / 2
        accepted.append(x[torch.rand(len(x), generator=generator, dtype=torch.float64) < ratio ** (w - 1)])
    return torch.cat(accepted)[:n]


def _draw(rule: str, w: float, seed: int, settings: Mapping[str, Any]) -> tuple[Tensor, int]:
    """Samples of class 0 and evaluations of the fields per sample, both branches counted."""
    n, steps = settings["n"], settings["n_steps"]
    fields, labels = Classes(), torch.zeros(n, dtype=torch.long)
    if rule == "FeynmanKac":
        kernel = FeynmanKac(guided(fields, labels, w), n_steps=4 * steps, method="stochastic_heun")
        weighted = kernel.sample(n, seed=seed, resample=True, dtype=torch.float64)
        return weighted.x, 2 * int(weighted.nfe)
    x = torch.randn(n, 2, dtype=torch.float64, generator=seeded(seed, 0))
    how: dict[str, Any] = {"method": "midpoint", "n_steps": steps, "cond": labels}
    rules: dict[str, Fields] = {
        "no guidance": fields,
        "linear": ClassifierFree(fields, w),
        "linear, t in [0.2, 0.8]": ClassifierFree(fields, w, (0.2, 0.8)),
        "linear, SDE": ClassifierFree(fields, w),
        "APG": APG(fields, w),
        "APG, momentum -0.5": APG(fields, w),
        "CFG-Zero*": ZeroStar(fields, w),
        "CFG-Zero*, zero init": ZeroStar(fields, w, zero_until=1 / steps),
        "CFG++": ClassifierFree(fields, CFGPlusPlus(PATH, time_grid(steps), 4 * w / steps)),
    }
    if rule == "CFG++":
        how["method"] = "ddim"
    if rule.endswith("momentum -0.5"):
        how["modifiers"] = APGMomentum(-0.5)
    if rule.endswith("SDE"):
        how |= {"method": "heun", "eps": ReverseNoise(4.0), "seed": seed, "n_steps": 4 * steps}
    run = sample(rules[rule], x, **how)
    return run.x, int(run.nfe) * (1 if rule == "no guidance" else 2)


# --- autoguidance


def moons(n: int, generator: torch.Generator) -> Tensor:
    """Two half circles with noise."""
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    arc = torch.stack([angle.cos(), angle.sin()], 1)
    arc = torch.where(upper[:, None], arc, torch.tensor([1.0, 0.5]) - arc)
    return arc + NOISE * torch.randn(n, 2, generator=generator)


def off_the_arcs(x: Tensor) -> float:
    """Share of rows further than four standard deviations from both arcs."""
    closest = torch.minimum(_distance(x), _distance(torch.tensor([1.0, 0.5]) - x))
    return float((closest > 4 * NOISE).float().mean())


def _distance(x: Tensor) -> Tensor:
    tips = torch.cdist(x, torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).amin(1)
    return torch.where(x[:, 1] >= 0, (x.norm(dim=1) - RADIUS).abs(), tips)


@lru_cache(maxsize=2)
def _learnt_moons(seed: int, steps: int) -> Fields:
    rows = moons(10_000, seeded(seed, 5))
    net = {"kind": "mlp", "width": 64, "depth": 3}
    train = TrainSettings(steps=steps, batch_size=256, lr=2e-3, seed=seed)
    return learn_fields(PATH, None, rows, heads=("velocity",), net=net, settings=train).fields


def _measure_moons(w: float, seed: int, settings: Mapping[str, Any]) -> Answered:
    strong, weak = (_learnt_moons(seed, steps) for steps in (settings["steps"], settings["steps"] // 10))
    x = torch.randn(settings["n"], 2, generator=seeded(seed, 6))
    run = sample(Autoguided(strong, weak, w), x, n_steps=settings["n_steps"])
    real, second = (moons(settings["n"], seeded(seed, stream)) for stream in (7, 8))
    values = {
        "off": off_the_arcs(run.x),
        "W2": sliced_wasserstein(run.x, real, generator=seeded(seed, 9)).value,
        "floor": sliced_wasserstein(second, real, generator=seeded(seed, 9)).value,
        "calls": float(run.nfe) * (1 if w == 1 else 2),
    }
    return measured(values, {"made": run.x[:600].float().numpy()})


# --- table and figures


COLUMNS = ("calls", "accuracy", "diversity", "W2", "floor")


def table(results: Results) -> str:
    """The rules on the mixture, and autoguidance on the moons."""
    rules = [case for case in results.cases if "moons" not in case]
    others = [case for case in results.cases if "moons" in case]
    head = ["rule", "evaluations", "accuracy", "diversity", "sliced W2 to the tilt", "two draws of the tilt"]
    first = markdown(head, results.rows(rules, COLUMNS))
    head = ["rule", "evaluations", "off the arcs", "sliced W2 to the data", "two draws of the data"]
    second = markdown(head, results.rows(others, ("calls", "off", "W2", "floor")))
    return f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error.\n\n{first}\n\n{second}"


def figures(results: Results) -> list[Figure]:
    """Samples of each rule at w = 3."""
    panels = []
    for rule in ("linear", "APG", "CFG-Zero*", "CFG++", "FeynmanKac"):
        arrays = results.arrays(f"{rule}, w = 3", results.seeds[0])
        if "made" not in arrays:
            continue
        if not panels:
            panels.append(_scatter(arrays["tilt"], "exact tilt"))
        panels.append(_scatter(arrays["made"], rule))
    return [Figure(name="guiders", panels=tuple(panels), width=1200, height=230)] if panels else []


def _scatter(x: Any, title: str) -> Panel:
    side = Axis(low=-3.0, high=3.0)
    return Panel(series=(cloud(x, size=1.5, alpha=0.5),), title=title, x=side, y=side, equal=True)


CLAIMS = (
    Stated("feynman_kac.distance < 0.5 linear", ("FeynmanKac, w = 3", "W2"), ("linear, w = 3", "W2")),
    Stated("autoguided.off < none", ("autoguidance of moons, w = 1.5", "off"), ("autoguidance of moons, w = 1", "off")),
    Stated("autoguided.distance < none", ("autoguidance of moons, w = 1.5", "W2"),
           ("autoguidance of moons, w = 1", "W2"), expected="fails"),
    Stated("much_autoguided.distance < none", ("autoguidance of moons, w = 3", "W2"),
           ("autoguidance of moons, w = 1", "W2"), expected="fails"),
    Stated("zero_init.distance < without", ("CFG-Zero*, zero init, w = 3", "W2"), ("CFG-Zero*, w = 3", "W2"),
           expected="fails"),
)  # fmt: skip

STUDY = Study("guiders", SETTINGS, cases, measure, table, figures, CLAIMS)
