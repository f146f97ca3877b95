"""Does an agent learn better with critics that model the law of their temporal-difference errors?

A pole on a cart whose force varies by 30 % from step to step. Two agents with the same networks, the same five
critics and the same number of steps differ in the loss of the critics alone: generalised Gaussian with weights against
risk and by agreement, or Gaussian with weights by agreement. Seeds are paired: the same first weights and starts.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from interpolants.foundations.randomness import key
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.questions import Measured
from interpolants.framework.scores import mean_and_error
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.framework.task import Split, Task
from interpolants.sciml.rl.episode_return import EpisodeReturn
from interpolants.sciml.rl.noisy_control import NoisyControl
from interpolants.sciml.rl.td_agent import TDAgent
from studies.common import Study

Settings = Mapping[str, Any]
OWN, GAUSSIAN = "generalised Gaussian", "Gaussian"
HEADS: dict[str, dict[str, Any]] = {
    OWN: {"head": "generalized"},
    GAUSSIAN: {"head": "gaussian"},
}
_SMALL = {"rollout": 32, "environments": 2, "batch_size": 32, "epochs": 2, "hidden": [16]}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"agent": {**_SMALL, "steps": 192}, "noise": 0.3, "episodes": 2, "bins": 3},
    "laptop": {"agent": {"steps": 60_000}, "noise": 0.3, "episodes": 20, "bins": 15},
    "full": {"agent": {"steps": 100_000}, "noise": 0.3, "episodes": 100, "bins": 25},
}
# Two-sided 95 % points of Student's t by degrees of freedom.
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
NUMBERS = ("last", "whole", "greedy")


def cases(settings: Settings) -> Sequence[str]:
    """The two losses."""
    return list(HEADS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Train an agent; play; look at its law of errors."""
    world = NoisyControl("CartPole-v1", noise=settings["noise"])
    agent = TDAgent(seed=seed, **HEADS[case], **settings["agent"])
    task = Task.of(agent.roles(), {"environment": world}, Split(by="none"))
    agent.fit(world)
    found = EpisodeReturn(episodes=settings["episodes"]).measure(agent, task)
    values = {"last": _number(found, "last_episodes"), "whole": _number(found, "whole_training")}
    values["greedy"] = _number(found, "episode_return")
    values |= _law(agent, world, seed)
    edges = torch.linspace(0, float(agent.returns[-1, 0]), settings["bins"] + 1, dtype=torch.float64)
    return measured(values, {"steps": edges[1:], "curve": _curve(agent.returns, edges)})


def _number(found: Measured, name: str) -> float:
    return float(torch.as_tensor(found.values[name], dtype=torch.float64).mean())


def _curve(returns: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Mean return of the episodes that ended between edges; that of the bin before where none did."""
    found, last = [], float(returns[0, 1])
    for low, high in pairwise(edges):
        inside = returns[(returns[:, 0] > low) & (returns[:, 0] <= high), 1]
        last = float(inside.mean()) if len(inside) else last
        found.append(last)
    return torch.tensor(found, dtype=torch.float64)


def _law(agent: TDAgent, world: NoisyControl, seed: int) -> dict[str, float]:
    """Power of the law over states of an episode, and how power and variance vary, as shares of their means."""
    told = agent.assess(_states(agent, world, seed))
    power, squared = told[:, 3], told[:, 1] ** 2
    found = {
        "power": float(power.mean()),
        "power varies": _varies(power),
        "variance varies": _varies(squared),
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _varies(x: Any) -> float:
    return float(np.std(x) / np.mean(x))


def _states(agent: TDAgent, world: NoisyControl, seed: int) -> Any:
    env = world()
    state, seen, over = env.reset(seed=key(seed, "episode to look at") % 2**31)[0], [], False
    while not over:
        seen.append(state)
        state, _, ended, cut, _ = env.step(int(agent.act(state[None])[0, 0]))
        over = ended or cut
    return np.stack(seen).astype(np.float64)


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """A row for every loss, and the paired differences with their intervals."""
    numbers = {"last": 1, "whole": 1, "greedy": 1, "power": 2, "power varies": 3, "variance varies": 3}
    head = ["loss of the critics", "return, last 20 episodes", "whole training", "likeliest actions"]
    head += ["power", "spread of the power / mean", "spread of the variance / mean"]
    text = results.head + "\n" + markdown(head, results.rows(results.cases, numbers))
    rows = [
        [f"{OWN} less {rival}", *(interval(results, name, rival) for name in NUMBERS)]
        for rival in (GAUSSIAN,)
        if rival in results.cases
    ]
    told = "\n**Paired differences** with 95 % intervals of Student's t over seeds\n\n"
    return text + told + markdown(["difference", *head[1:4]], rows)


def interval(results: Results, name: str, rival: str) -> str:
    """Mean difference over seeds and its 95 % interval."""
    pairs = [(one.values(OWN, name), one.values(rival, name)) for one in map(results.only, results.seeds)]
    gaps = [own[0] - other[0] for own, other in pairs if own and other]
    mean, error = mean_and_error(gaps)
    if not math.isfinite(error):
        return f"{mean:.1f}"
    reach = _T.get(len(gaps) - 1, 1.96) * error
    return f"{mean:.1f} ({mean - reach:.1f} to {mean + reach:.1f})"


def figures(results: Results) -> list[Figure]:
    """Learning curves, means over seeds with two standard errors."""
    series = []
    for hue, case in enumerate(results.cases):
        found = [results.arrays(case, seed) for seed in results.seeds]
        curves = np.stack([one["curve"] for one in found if one])
        steps = np.mean([one["steps"] for one in found if one], axis=0)
        error = 2 * curves.std(0, ddof=1) / math.sqrt(len(curves)) if len(curves) > 1 else 0 * steps
        mean = curves.mean(0)
        series.append(
            Series(mark="band", arrays={"x": steps, "low": mean - error, "high": mean + error}, hue=hue, alpha=0.25)
        )  # fmt: skip
        series.append(Series(mark="line", arrays={"x": steps, "y": mean}, name=case, hue=hue))
    x, y = Axis(label="steps of the environment"), Axis(label="return of an episode", low=0)
    panel = Panel(series=tuple(series), x=x, y=y, legend="below", legend_columns=3)
    return [Figure(name="td_error", panels=(panel,), width=600, height=380)]


def _claim(says: str, name: str, rival: str, expected: str = "holds") -> Stated:
    return Stated(says, (OWN, name), (rival, name), seeds=10, expected=expected)


CLAIMS = (
    _claim("last.generalised > 0.95 gaussian", "last", GAUSSIAN),
    Stated("last.generalised > 400", (OWN, "last"), seeds=10),
    _claim("whole.generalised > gaussian", "whole", GAUSSIAN, "undecided"),
)

STUDY = Study("td_error", SETTINGS, cases, measure, table, figures, CLAIMS)
