"""Does causal training solve what plain training fails at, with the same network and the same number of steps?

Three systems: Lotka-Volterra equations, the Allen-Cahn equation over a time in which its unstable state 0 attracts
plain training, and the first window of the Kuramoto-Sivashinsky equation. Each is solved by one network in one
window, twice: with the causal weights, and with a steepness of 0. Everything else is the same, and every seed draws its
own initial weights and points.

The smallest causal weight ``w_min`` is measured on fresh times, at the steepness ``eps n / T`` of the causal ladder's
last rung, for both: it is what a user has where the truth is unknown.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants import pde
from interpolants.foundations.tell import FitWarning
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.questions import ask
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.framework.task import Task
from interpolants.methods.questions.solution import SolutionAndResidual
from interpolants.pde.evolution import Evolution
from interpolants.sciml import CausalPINN
from interpolants.sciml.pinn.pde.lotka_volterra import LotkaVolterra
from studies.common import Study

Settings = Mapping[str, Any]
LV, AC, KS = "Lotka-Volterra", "Allen-Cahn", "Kuramoto-Sivashinsky"
CAUSAL, PLAIN = "causal", "plain"
# Above this error a run has failed; above this weight it is said to be right.
FAILED, TRUSTED = 0.1, 0.99


@dataclass(frozen=True, kw_only=True)
class SmoothAllenCahn(pde.AllenCahn):
    """The Allen-Cahn equation from ``0.2 cos(pi x)``: both phases grow out of the unstable state 0.

    The usual start has a kink at the ends of the period, whose second derivative few Fourier modes cannot follow.
    """

    def initial_at(self, x: Tensor) -> Tensor:
        """``0.2 cos(pi x)``."""
        return 0.2 * torch.cos(math.pi * x)


_SYSTEMS: dict[str, type[Evolution]] = {
    LV: LotkaVolterra,
    AC: SmoothAllenCahn,
    KS: pde.KuramotoSivashinsky,
}
LAPTOP: dict[str, Any] = {
    LV: {
        "problem": {"end": 5.5},
        "method": {"eps": [1.0, 10.0], "steps": 8000},
    },
    AC: {
        "problem": {"diffusion": 0.01, "end": 2.0},
        "method": {"eps": [0.5, 2.5], "steps": 6000, "batch_size": 40, "places": 8, "width": 32, "modes": 3,
                   "first_scale": 2.0, "lr": 5e-3, "initial_weight": 100.0},
    },
    KS: {
        "problem": {"end": 0.2},
        "method": {"eps": [3e-5, 3e-4, 3e-3], "steps": 4000, "batch_size": 32, "places": 16, "width": 40, "modes": 6,
                   "first_scale": 2.0, "lr": 5e-3, "initial_weight": 3e4},
    },
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        **{name: {**one, "method": {**one["method"], "steps": 30, "width": 8, "batch_size": 12}}
           for name, one in LAPTOP.items()},
        "times": 100, "places": 4,
    },
    "laptop": {**LAPTOP, "times": 2000, "places": 16},
    "full": {
        **{name: {**one, "method": {**one["method"], "steps": 10 * one["method"]["steps"], "width": 128, "depth": 4}}
           for name, one in LAPTOP.items()},
        "times": 2000, "places": 64,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """Each system, causally and plainly."""
    return [f"{system}, {how}" for system in _SYSTEMS for how in (CAUSAL, PLAIN)]


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One network: its error, its residual, and the causal weight on fresh times."""
    system, _, how = case.rpartition(", ")
    one = settings[system]
    problem = _SYSTEMS[system](**one["problem"])
    own = {name: value for name, value in one["method"].items() if name != "eps"}
    rungs = ladder(one, problem.end)
    own["steepness"] = rungs if how == CAUSAL else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # w_min, which is part of the answer, tells it too
        method = CausalPINN(seed=seed, **own).fit(problem)
    question = SolutionAndResidual(times=settings["times"], places=settings["places"], steepness=rungs[-1])
    found = ask(question, method, Task.of(method.roles(), {"problem": problem}))
    values = {name: found[name].value for name in ("relative_l2", "residual", "w_min")}
    kept = {"times": found.arrays["times"], "error": found.arrays["error"]}
    arrays = {name: value[:: max(1, len(value) // 200)].float().numpy() for name, value in kept.items()}
    return measured(values, arrays)


def ladder(one: Settings, end: float) -> list[float]:
    """Steepness ``eps n / T`` of each rung; the settings are the paper's eps, for each of n times of a batch."""
    times = one["method"].get("batch_size", CausalPINN().batch_size)
    return [float(eps * times / end) for eps in one["method"]["eps"]]


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Errors of every seed, and the weight that judges without the truth."""
    head = ["relative L2 error", "mean", "each seed", "w_min, each seed", "residual, rms"]
    rows = [_row(results, case) for case in cases(results.settings)]
    text = results.head + "\n" + markdown(head, rows) + "\n"
    told = [(e, w) for case in cases(results.settings) for e, w in _pairs(results, case)]
    wrong = [w for e, w in told if e > FAILED]
    fooled = sum(w > TRUSTED for w in wrong)
    text += (
        f"{len(wrong)} of {len(told)} runs have an error above {FAILED:g}; {fooled} of them a weight above "
    )
    return text + f"{TRUSTED:g} on fresh times (the largest is {max(wrong, default=0.0):.3g}).\n"


def _row(results: Results, case: str) -> list[str]:
    errors, weights = (results.values(case, name) for name in ("relative_l2", "w_min"))
    each = [", ".join(f"{value:.2g}" for value in values) for values in (errors, weights)]
    return [case, results.shown(case, "relative_l2", 3), *each, results.shown(case, "residual", 3)]


def _pairs(results: Results, case: str) -> list[tuple[float, float]]:
    return list(zip(results.values(case, "relative_l2"), results.values(case, "w_min"), strict=True))


def figures(results: Results) -> list[Figure]:
    """Error over time of each system, every seed."""
    panels = tuple(_panel(results, system) for system in _SYSTEMS)
    return [Figure(name="causal_training", panels=panels, columns=3, width=940, height=300)]


def _panel(results: Results, system: str) -> Panel:
    series = []
    for hue, how in enumerate((CAUSAL, PLAIN)):
        case = f"{system}, {how}"
        for seed in range(len(results.values(case, "relative_l2"))):
            arrays = results.arrays(case, seed)
            line = {"x": torch.tensor(arrays["times"]), "y": torch.tensor(arrays["error"]).clamp_min(1e-6)}
            name = how if seed == 0 else ""
            series.append(
                Series(mark="line", arrays=line, name=name, hue=hue, dash="-" if how == CAUSAL else "--")
            )
    axis = Axis(label="root mean square error", scale="log", grid=True)
    return Panel(series=tuple(series), title=system, x=Axis(label="t"), y=axis, legend="best")


def _claims(system: str, name: str, causal: str, plain: str) -> list[Stated]:
    own, other = ((f"{system}, {how}", "relative_l2") for how in (CAUSAL, PLAIN))
    return [
        Stated(f"{name}.causal < 0.02", own, expected=causal),
        Stated(f"{name}.plain > 0.5", other, expected=plain),
        Stated(f"{name}.causal_error < plain", own, other),
    ]


CLAIMS = (
    *_claims(LV, "lotka_volterra", "holds", "holds"),
    *_claims(AC, "allen_cahn", "fails", "holds"),
    *_claims(KS, "kuramoto_sivashinsky", "fails", "fails"),
)

STUDY = Study("causal_training", SETTINGS, cases, measure, table, figures, CLAIMS)
